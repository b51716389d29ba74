//! Every cell of the state table from every side: six states, before and after the windows, every
//! call, every sender. What PROTOCOL lists is done, everything else reverts for its reason.

use market::{Outcome, State, Terms, document::Purpose, escrow::Revert};
use primitives::Seconds;
use settlement::{Call, Reason, Sent, Settlement};

use crate::{deal::amount, pair::Pair, people::Who};

const STATES: [State; 6] =
    [State::None, State::Open, State::Stopped, State::Claimed, State::Settled, State::Cancelled];

const SENDERS: [Who; 5] =
    [Who::Renter, Who::RenterKey, Who::Provider, Who::ProviderKey, Who::Stranger];

/// Within the windows of the deal, or after all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    During,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Open,
    OpenByAuthorization,
    Cancel,
    TopUp,
    Present,
    Stop,
    StopSigned,
    Claim,
    ClaimFloor,
    Settle,
    SettleAsRenter,
    SettleAsProvider,
    Contest,
    ContestSigned,
    Finalize,
    Expire,
}

const ACTS: [Act; 16] = [
    Act::Open,
    Act::OpenByAuthorization,
    Act::Cancel,
    Act::TopUp,
    Act::Present,
    Act::Stop,
    Act::StopSigned,
    Act::Claim,
    Act::ClaimFloor,
    Act::Settle,
    Act::SettleAsRenter,
    Act::SettleAsProvider,
    Act::Contest,
    Act::ContestSigned,
    Act::Finalize,
    Act::Expire,
];

/// PROTOCOL's table: the state after the call, or why it is refused.
fn expected(state: State, moment: Moment, act: Act, who: Who) -> Result<State, Reason> {
    let wrong_state = Err(Reason::Table(Revert::WrongState));
    let wrong_time = Err(Reason::Table(Revert::WrongTime));
    let during = |then| if moment == Moment::During { Ok(then) } else { wrong_time };
    let after = |then| if moment == Moment::After { Ok(then) } else { wrong_time };
    let unless = |holds: bool, reason, then| if holds { then } else { Err(reason) };
    let live = matches!(state, State::Open | State::Stopped | State::Claimed);
    let takes_receipts = matches!(state, State::Open | State::Stopped);
    match act {
        Act::Open | Act::OpenByAuthorization if state == State::None => during(State::Open),
        Act::Cancel | Act::TopUp if who != Who::Renter => Err(Reason::Sender),
        Act::Cancel if state == State::None => Ok(State::Cancelled),
        Act::TopUp if state == State::Open => during(State::Open),
        Act::Present if takes_receipts => during(state),
        Act::Stop if state == State::Open => {
            unless(who.is_renter_side(), Reason::RenterConsent, Ok(State::Stopped))
        }
        Act::StopSigned if state == State::Open => Ok(State::Stopped),
        Act::Claim | Act::ClaimFloor if !who.is_provider_side() => Err(Reason::Sender),
        Act::Claim | Act::ClaimFloor if takes_receipts => during(State::Claimed),
        Act::Settle if live => Ok(State::Settled),
        Act::SettleAsRenter if live => {
            unless(who.is_renter_side(), Reason::RenterConsent, Ok(State::Settled))
        }
        Act::SettleAsProvider if live => {
            unless(who.is_provider_side(), Reason::ProviderConsent, Ok(State::Settled))
        }
        Act::Contest if state == State::Claimed => match moment {
            Moment::During => {
                unless(who.is_renter_side(), Reason::RenterConsent, Ok(State::Settled))
            }
            Moment::After => wrong_time,
        },
        Act::ContestSigned if state == State::Claimed => during(State::Settled),
        Act::Finalize if matches!(state, State::Stopped | State::Claimed) => after(State::Settled),
        Act::Expire if state == State::Open => after(State::Settled),
        _ => wrong_state,
    }
}

fn call(pair: &Pair, terms: &Terms, act: Act) -> Call {
    let place = &pair.place;
    let deal = place.id(terms);
    let terminal = place.receipt(terms, 20, Outcome::Completed);
    let owned = || terms.clone();
    let by_renter = |purpose| Some(place.intent(Who::RenterKey, purpose));
    match act {
        Act::Open => place.open(terms),
        Act::OpenByAuthorization => place.open_by_authorization(terms, Who::Renter),
        Act::Cancel => Call::Cancel { terms: owned(), intent: None },
        Act::TopUp => {
            Call::TopUp { terms: owned(), more: amount(500), session: None, intent: None }
        }
        Act::Present => Call::Present { terms: owned(), proof: place.running(terms, 12) },
        Act::Stop => Call::Stop { terms: owned(), intent: None },
        Act::StopSigned => Call::Stop { terms: owned(), intent: by_renter(Purpose::Stop { deal }) },
        Act::Claim => {
            let proof = Some(place.running(terms, 15));
            Call::Claim { terms: owned(), proof, extra: Seconds(5) }
        }
        Act::ClaimFloor => Call::Claim { terms: owned(), proof: None, extra: Seconds(0) },
        Act::Settle => Call::Settle { terms: owned(), proof: place.cosigned(terminal) },
        Act::SettleAsRenter => {
            let proof = place.signed_by(terminal, None, Some(Who::ProviderKey));
            Call::Settle { terms: owned(), proof }
        }
        Act::SettleAsProvider => {
            let proof = place.signed_by(terminal, Some(Who::RenterKey), None);
            Call::Settle { terms: owned(), proof }
        }
        Act::Contest => Call::Contest { terms: owned(), intent: None },
        Act::ContestSigned => {
            Call::Contest { terms: owned(), intent: by_renter(Purpose::Contest { deal }) }
        }
        Act::Finalize => Call::Finalize { terms: owned() },
        Act::Expire => Call::Expire { terms: owned() },
    }
}

/// A fresh deal in this state, ten seconds' pay presented where money is locked, at this moment.
async fn reach(pair: &Pair, state: State, moment: Moment) -> Terms {
    let terms = pair.terms();
    let path: &[(Who, Act)] = match state {
        State::None => &[],
        State::Open => &[(Who::Stranger, Act::Open)],
        State::Stopped => &[(Who::Stranger, Act::Open), (Who::RenterKey, Act::Stop)],
        State::Claimed => &[(Who::Stranger, Act::Open), (Who::ProviderKey, Act::Claim)],
        State::Settled => &[(Who::Stranger, Act::Open), (Who::Stranger, Act::Settle)],
        State::Cancelled => &[(Who::Renter, Act::Cancel)],
    };
    for (who, act) in path {
        pair.done(*who, call(pair, &terms, *act)).await;
    }
    match moment {
        // Time to have run for the seconds in the receipts.
        Moment::During => {}
        Moment::After => pair.clock.advance(5_000),
    }
    terms
}

#[tokio::test]
async fn every_call_in_every_state_by_every_sender_does_what_the_table_says() {
    let pair = Pair::new().await;
    for moment in [Moment::During, Moment::After] {
        for state in STATES {
            let mut terms = reach(&pair, state, moment).await;
            for act in ACTS {
                for who in SENDERS {
                    let wanted = expected(state, moment, act, who);
                    let sent = pair.send(who, call(&pair, &terms, act)).await;
                    let cell = format!("{act:?} by {who:?} in {state:?}, {moment:?}");
                    match (&sent, wanted) {
                        (Sent::Done(_), Ok(then)) => {
                            let id = pair.place.id(&terms);
                            let slot = pair.real(who).slot(id).await.unwrap();
                            assert_eq!(slot.state, then, "{cell}");
                            terms = reach(&pair, state, moment).await;
                        }
                        (Sent::Refused(refusal), Err(reason)) => {
                            assert_eq!(refusal.reason, reason, "{cell}");
                        }
                        _ => panic!("{cell}: {sent:?}, wanted {wanted:?}"),
                    }
                }
            }
        }
    }
}
