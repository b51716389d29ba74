//! Tests of the exits: wanted moves are never refused, and every deal comes to an end.

use primitives::{Address, Amount, B256, BasisPoints, DealId, Rate};
use proptest::prelude::*;

use super::*;
use crate::{document::Kind, outcome::Outcome};

const WINDOWS: Windows = Windows { dispute: Seconds(600), accept: Seconds(120) };

fn terms() -> Terms {
    Terms {
        renter: Address::repeat_byte(1),
        provider: Address::repeat_byte(2),
        renter_key: Address::repeat_byte(3),
        provider_key: Address::repeat_byte(4),
        session: B256::ZERO,
        token: Address::repeat_byte(5),
        cap: Amount::new(7_200).expect("small"),
        rate: Rate::per_hour(3_600).expect("small"),
        fee: BasisPoints(300),
        kind: Kind::Lease,
        accept_by: UnixSeconds(1_000),
        expiry: UnixSeconds(5_500),
        grace: Seconds(60),
        gateway: Address::ZERO,
        open_fee: Amount::ZERO,
        close_fee: Amount::ZERO,
        nonce: 1,
        spec: B256::ZERO,
    }
}

fn receipt(seconds: u64, outcome: Outcome) -> Receipt {
    Receipt {
        deal: DealId::default(),
        amount: terms().rate.charge_down(Seconds(seconds)),
        seconds: Seconds(seconds),
        outcome,
        result: B256::ZERO,
        meter: B256::ZERO,
    }
}

fn open_at(now: u64) -> Slot {
    Slot::default().open(&terms(), &WINDOWS, UnixSeconds(now)).expect("in time")
}

#[test]
fn a_co_signed_end_is_settled_at_once_from_either_side() {
    let (slot, end, now) = (open_at(1_000), receipt(50, Outcome::Completed), UnixSeconds(1_060));
    let renter = RenterSide { terminal: Some(&end), wants_out: false };
    let provider = ProviderSide { terminal: Some(&end), ..ProviderSide::default() };
    assert_eq!(renter_move(&slot, &terms(), &WINDOWS, now, renter), Move::Settle);
    assert_eq!(provider_move(&slot, &terms(), &WINDOWS, now, provider), Move::Settle);
}

#[test]
fn a_vanished_provider_costs_the_renter_no_more_than_what_was_signed() {
    let (terms, held) = (terms(), RenterSide { terminal: None, wants_out: true });
    let slot = open_at(1_000);
    assert_eq!(renter_move(&slot, &terms, &WINDOWS, UnixSeconds(1_100), held), Move::Stop);
    let slot = slot.stop(&WINDOWS, UnixSeconds(1_100)).expect("open");
    assert_eq!(renter_move(&slot, &terms, &WINDOWS, UnixSeconds(1_699), held), Move::Wait);
    assert_eq!(renter_move(&slot, &terms, &WINDOWS, UnixSeconds(1_700), held), Move::Finalize);
}

#[test]
fn a_vanished_renter_pays_the_last_signed_receipt_and_at_most_grace() {
    let running = receipt(100, Outcome::Running);
    let held = ProviderSide {
        running: Some(&running),
        unsigned: Seconds(500),
        wants_out: true,
        ..ProviderSide::default()
    };
    let (slot, now) = (open_at(1_000), UnixSeconds(1_700));
    let wanted = provider_move(&slot, &terms(), &WINDOWS, now, held);
    assert_eq!(wanted, Move::Claim { extra: Seconds(60) });
    let slot = slot
        .claim(&terms(), &WINDOWS, Some(&running), Seconds(60), now)
        .expect("the move was proposed");
    let after = UnixSeconds(2_300);
    assert_eq!(provider_move(&slot, &terms(), &WINDOWS, after, held), Move::Finalize);
    let (_, split) = slot.finalize(&terms(), after).expect("the window is over");
    assert_eq!(split.charge(), Amount::new(160).expect("small"));
}

#[test]
fn a_provider_that_only_waits_still_claims_before_the_deal_expires() {
    let running = receipt(100, Outcome::Running);
    let held = ProviderSide { running: Some(&running), ..ProviderSide::default() };
    let slot = open_at(1_000);
    let late = Slot::deadline(&terms(), &WINDOWS).minus(Seconds(300));
    let before = late.minus(Seconds(1));
    assert_eq!(provider_move(&slot, &terms(), &WINDOWS, before, held), Move::Wait);
    let wanted = provider_move(&slot, &terms(), &WINDOWS, late, held);
    assert_eq!(wanted, Move::Claim { extra: Seconds(0) });
}

#[test]
fn with_nothing_signed_the_provider_lets_the_deal_expire() {
    let held = ProviderSide { wants_out: true, ..ProviderSide::default() };
    let slot = open_at(1_000);
    let deadline = Slot::deadline(&terms(), &WINDOWS);
    let before = deadline.minus(Seconds(1));
    assert_eq!(provider_move(&slot, &terms(), &WINDOWS, before, held), Move::Wait);
    assert_eq!(provider_move(&slot, &terms(), &WINDOWS, deadline, held), Move::Expire);
}

fn carry_out(
    slot: &Slot,
    wanted: &Move,
    now: UnixSeconds,
    held: &Held,
) -> Result<Slot, crate::escrow::Revert> {
    let terms = terms();
    Ok(match wanted {
        Move::Wait | Move::Done => *slot,
        Move::Stop => slot.stop(&WINDOWS, now)?,
        Move::Claim { extra } => {
            slot.claim(&terms, &WINDOWS, held.running.as_ref(), *extra, now)?
        }
        Move::Settle => {
            let end = held.terminal.as_ref().expect("proposed with a terminal receipt");
            slot.settle(&terms, &WINDOWS, end, now)?.0
        }
        Move::Contest => slot.contest(&terms, now)?.0,
        Move::Finalize => slot.finalize(&terms, now)?.0,
        Move::Expire => slot.expire(&terms, &WINDOWS, now)?.0,
    })
}

#[derive(Clone, Debug)]
struct Held {
    running: Option<Receipt>,
    terminal: Option<Receipt>,
    unsigned: Seconds,
    renter_out: bool,
    provider_out: bool,
}

fn held() -> impl Strategy<Value = Held> {
    let outcome = prop_oneof![
        Just(Outcome::Completed),
        Just(Outcome::Failed),
        Just(Outcome::Stopped),
        Just(Outcome::ProviderFault)
    ];
    let running = prop::option::of((1u64..9_000).prop_map(|s| receipt(s, Outcome::Running)));
    let terminal = prop::option::of((1u64..9_000, outcome).prop_map(|(s, o)| receipt(s, o)));
    (running, terminal, 0u64..200, any::<bool>(), any::<bool>()).prop_map(
        |(running, terminal, unsigned, renter_out, provider_out)| Held {
            running,
            terminal,
            unsigned: Seconds(unsigned),
            renter_out,
            provider_out,
        },
    )
}

proptest! {
    #[test]
    fn every_wanted_move_is_accepted_and_every_deal_ends(
        held in held(),
        steps in prop::collection::vec((any::<bool>(), 0u64..900), 0..40),
    ) {
        let terms = terms();
        let mut now = UnixSeconds(1_000);
        let mut slot = open_at(now.0);
        let deadline = Slot::deadline(&terms, &WINDOWS).plus(Seconds(3 * WINDOWS.dispute.0));
        let ending = std::iter::repeat_n([(true, 700), (false, 0)], 40).flatten();
        for (renter_turn, passing) in steps.into_iter().chain(ending) {
            now = now.plus(Seconds(passing));
            let wanted = if renter_turn {
                let side = RenterSide { terminal: held.terminal.as_ref(), wants_out: held.renter_out };
                renter_move(&slot, &terms, &WINDOWS, now, side)
            } else {
                let side = ProviderSide {
                    terminal: held.terminal.as_ref(),
                    running: held.running.as_ref(),
                    unsigned: held.unsigned,
                    wants_out: held.provider_out,
                };
                provider_move(&slot, &terms, &WINDOWS, now, side)
            };
            let next = carry_out(&slot, &wanted, now, &held);
            prop_assert!(next.is_ok(), "{wanted:?} was proposed at {now:?} on {slot:?}, refused: {next:?}");
            slot = next.expect("just checked");
        }
        prop_assert!(now > deadline);
        prop_assert_eq!(slot.state, State::Settled);
    }
}
