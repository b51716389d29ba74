//! Sessions: what a key may do alone, and how a session counts. Every call goes to the contracts and
//! to the ledger, and `used` is compared after each.

use market::{Outcome, Session, Terms, document::batch, escrow::Revert, session::Breach};
use primitives::{Amount, Rate, UnixSeconds};
use settlement::{Call, Reason, Settlement, Skipped};

use crate::{
    deal::{CAP, amount, session},
    pair::Pair,
    people::Who,
};

/// What one deal of the tests takes: cap and both fees.
const ONE: u128 = CAP.units() + 7 + 11;

async fn used(pair: &Pair, it: &Session) -> u128 {
    let id = it.id(&pair.place.escrow);
    pair.real(Who::Stranger).session(id).await.unwrap().used
}

fn deal(pair: &Pair, it: &Session) -> Terms {
    pair.place.within(it, pair.terms())
}

fn settle(pair: &Pair, terms: &Terms, seconds: u64) -> Call {
    Call::Settle { terms: terms.clone(), proof: pair.place.completed(terms, seconds) }
}

#[tokio::test]
async fn a_key_opens_deals_alone_until_the_cap_is_out_and_a_settled_one_frees_it() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 2 * ONE, pair.now());
    let [one, other, third] = std::array::from_fn(|_| deal(&pair, &it));
    pair.done(Who::Stranger, pair.place.open_in(&it, &one)).await;
    assert_eq!(used(&pair, &it).await, ONE);
    // The grant was seen: whatever comes with later opens is not read.
    let again = pair.place.open_in_by(&it, &other, Who::Stranger, Who::RenterKey);
    pair.done(Who::ProviderKey, again).await;
    let above = Reason::Session(Breach::Cap);
    pair.refused(Who::Stranger, pair.place.open_in(&it, &third), above).await;
    pair.done(Who::Stranger, settle(&pair, &one, 20)).await;
    assert_eq!(used(&pair, &it).await, ONE + 20_000 + 7 + 11, "what it cost stays used");
    pair.refused(Who::Stranger, pair.place.open_in(&it, &third), above).await;
    let small = Terms { cap: amount(CAP.units() - 20_018), ..deal(&pair, &it) };
    pair.done(Who::Stranger, pair.place.open_in(&it, &small)).await;
    assert_eq!(used(&pair, &it).await, 2 * ONE);
}

#[tokio::test]
async fn a_key_stays_within_what_the_renter_signed() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 10 * ONE, pair.now());
    let refused = async |call, reason| pair.refused(Who::Stranger, call, reason).await;
    let breach = Reason::Session;

    let terms = deal(&pair, &it);
    let ungranted = pair.place.open_in_by(&it, &terms, Who::RenterKey, Who::RenterKey);
    refused(ungranted, breach(Breach::Ungranted)).await;
    let foreign = pair.place.open_in_by(&it, &terms, Who::Renter, Who::Stranger);
    refused(foreign, Reason::RenterConsent).await;
    let dear = Rate::per_hour(it.max_rate.units_per_hour() + 1).unwrap();
    let dear = Terms { rate: dear, ..deal(&pair, &it) };
    refused(pair.place.open_in(&it, &dear), breach(Breach::Rate)).await;
    let outside = pair.terms();
    refused(pair.place.open_in(&it, &outside), breach(Breach::Other)).await;
    // The renter's own signature over the terms does not stand for the session.
    refused(pair.place.open(&terms), Reason::Terms).await;
    refused(pair.place.open_by_authorization(&terms, Who::Renter), Reason::Terms).await;
    let over = Session { expiry: pair.now(), ..it.clone() };
    let late = deal(&pair, &over);
    refused(pair.place.open_in(&over, &late), breach(Breach::Expired)).await;
    let poor = Session { cap: Amount::MAX, ..it.clone() };
    let rich = Terms { cap: amount(900_000_000_000), ..deal(&pair, &poor) };
    refused(pair.place.open_in(&poor, &rich), Reason::Funds).await;
    let unencodable = Session { expiry: UnixSeconds(1 << 40), ..it.clone() };
    let terms = deal(&pair, &unencodable);
    refused(pair.place.open_in(&unencodable, &terms), Reason::Terms).await;
    assert_eq!(used(&pair, &it).await, 0);
}

#[tokio::test]
async fn the_key_tops_up_within_the_cap_and_the_renter_whatever_the_cap() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, ONE + 500, pair.now());
    let terms = deal(&pair, &it);
    pair.done(Who::Stranger, pair.place.open_in(&it, &terms)).await;
    let top_up = |units, session: Option<&Session>| {
        let (more, session) = (amount(units), session.cloned());
        Call::TopUp { terms: terms.clone(), more, session, intent: None }
    };
    pair.refused(Who::RenterKey, top_up(501, Some(&it)), Reason::Session(Breach::Cap)).await;
    pair.done(Who::RenterKey, top_up(500, Some(&it))).await;
    let other = session(&pair.place, 2, 10 * ONE, pair.now());
    let foreign = top_up(1, Some(&other));
    pair.refused(Who::RenterKey, foreign, Reason::Session(Breach::Other)).await;
    pair.refused(Who::RenterKey, top_up(1, None), Reason::Sender).await;
    pair.refused(Who::Stranger, top_up(1, Some(&it)), Reason::RenterConsent).await;
    pair.done(Who::Renter, top_up(3_000, None)).await;
    assert_eq!(used(&pair, &it).await, ONE + 3_500);
    pair.refused(Who::RenterKey, top_up(1, Some(&it)), Reason::Session(Breach::Cap)).await;
}

#[tokio::test]
async fn a_revoked_session_opens_nothing_and_its_open_deals_end_as_agreed() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 10 * ONE, pair.now());
    let terms = deal(&pair, &it);
    pair.done(Who::Stranger, pair.place.open_in(&it, &terms)).await;
    let revoke = Call::RevokeSession { session: it.clone(), intent: None };
    pair.refused(Who::RenterKey, revoke.clone(), Reason::Sender).await;
    pair.done(Who::Renter, revoke.clone()).await;
    let revoked = Reason::Session(Breach::Revoked);
    pair.refused(Who::Renter, revoke, revoked).await;
    pair.refused(Who::Stranger, pair.place.open_in(&it, &deal(&pair, &it)), revoked).await;
    let more = amount(1);
    let top_up = Call::TopUp { terms: terms.clone(), more, session: None, intent: None };
    pair.refused(Who::Renter, top_up, revoked).await;
    pair.done(Who::Stranger, settle(&pair, &terms, 30)).await;
    assert_eq!(used(&pair, &it).await, 30_000 + 18);
}

#[tokio::test]
async fn the_session_key_cancels_what_it_signed() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 10 * ONE, pair.now());
    let terms = deal(&pair, &it);
    let cancel = Call::Cancel { terms: terms.clone(), intent: None };
    pair.refused(Who::Stranger, cancel.clone(), Reason::Sender).await;
    pair.done(Who::RenterKey, cancel).await;
    let wrong_state = Reason::Table(Revert::WrongState);
    pair.refused(Who::Stranger, pair.place.open_in(&it, &terms), wrong_state).await;
    let own = Call::Cancel { terms: pair.terms(), intent: None };
    pair.refused(Who::RenterKey, own, Reason::Sender).await;
}

/// An `OpenBatch` of these deals in one session, signed by both sides.
fn open_batch(pair: &Pair, it: &Session, deals: &[Terms]) -> Call {
    let place = &pair.place;
    let ids = deals.iter().map(|terms| place.id(terms).0).collect();
    let digest = batch(ids, &place.escrow);
    Call::OpenBatch {
        openings: deals.iter().map(|terms| (terms.clone(), 0)).collect(),
        grants: vec![place.granted(it, Who::Renter)],
        renter: Some(Who::RenterKey.key().sign(digest)),
        provider: Some(Who::ProviderKey.key().sign(digest)),
    }
}

fn settle_batch(pair: &Pair, deals: &[Terms], seconds: u64) -> Call {
    let place = &pair.place;
    let closing = |it: &Terms| (it.clone(), place.receipt(it, seconds, Outcome::Completed));
    let closings: Vec<_> = deals.iter().map(closing).collect();
    let digests = closings.iter().map(|(_, receipt)| receipt.digest(&place.escrow)).collect();
    let digest = batch(digests, &place.escrow);
    Call::SettleBatch {
        closings,
        renter: Some(Who::RenterKey.key().sign(digest)),
        provider: Some(Who::ProviderKey.key().sign(digest)),
    }
}

#[tokio::test]
async fn a_batch_opens_and_settles_what_it_can_and_tells_what_it_left_out() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 3 * ONE, pair.now());
    let deals: Vec<_> = (0..4).map(|_| deal(&pair, &it)).collect();
    pair.done(Who::Stranger, pair.place.open_in(&it, &deals[1])).await;
    let opened = pair.done(Who::Stranger, open_batch(&pair, &it, &deals)).await;
    let left_out = |index: usize, reason: Reason| Skipped {
        deal: pair.place.id(&deals[index]),
        refusal: reason.into(),
    };
    let twice = left_out(1, Reason::Table(Revert::WrongState));
    let above = left_out(3, Reason::Session(Breach::Cap));
    assert_eq!(opened.skipped, [twice, above]);
    assert_eq!(used(&pair, &it).await, 3 * ONE);
    // Both sides see the openings, and the money is there once for each.
    let real = pair.real(Who::Stranger);
    let opening = real.opening(pair.place.id(&deals[2])).await.unwrap();
    assert_eq!(opening.map(|opening| opening.tx), Some(opened.tx));

    let settled = pair.done(Who::Stranger, settle_batch(&pair, &deals, 40)).await;
    assert_eq!(settled.skipped, [left_out(3, Reason::Table(Revert::WrongState))]);
    assert_eq!(used(&pair, &it).await, 3 * (40_000 + 18));
    let closing = real.closing(pair.place.id(&deals[0])).await.unwrap().unwrap();
    assert_eq!((closing.tx, closing.split.charge()), (settled.tx, amount(40_000)));
}

#[tokio::test]
async fn a_batch_speaks_for_those_alone_who_signed_or_sent_it() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 10 * ONE, pair.now());
    let deals: Vec<_> = (0..2).map(|_| deal(&pair, &it)).collect();
    let strip = |call: Call| match call {
        Call::OpenBatch { openings, grants, provider, .. } => {
            Call::OpenBatch { openings, grants, provider, renter: None }
        }
        Call::SettleBatch { closings, provider, .. } => {
            Call::SettleBatch { closings, provider, renter: None }
        }
        other => other,
    };
    let sent = pair.done(Who::Stranger, strip(open_batch(&pair, &it, &deals))).await;
    assert_eq!(sent.skipped.len(), 2, "a stranger agrees to nothing");
    let sent = pair.done(Who::RenterKey, strip(open_batch(&pair, &it, &deals))).await;
    assert_eq!(sent.skipped, []);
    // Another's deal in the batch: each item needs both sides.
    let mut foreign = deal(&pair, &it);
    foreign.renter_key = Who::Stranger.address();
    pair.clock.advance(5);
    let mixed = [deals[0].clone(), foreign];
    let sent = pair.done(Who::RenterKey, strip(settle_batch(&pair, &mixed, 3))).await;
    assert_eq!(sent.skipped.len(), 1);
    let none = settle_batch(&pair, &[], 3);
    pair.refused(Who::Stranger, none, Reason::BatchSize).await;
    let Call::OpenBatch { grants, renter, provider, .. } = open_batch(&pair, &it, &deals) else {
        unreachable!("it is a batch")
    };
    let nowhere = vec![(deals[0].clone(), 7)];
    let call = Call::OpenBatch { openings: nowhere, grants, renter, provider };
    pair.refused(Who::Stranger, call, Reason::Terms).await;
}

#[tokio::test]
async fn every_item_of_a_large_batch_gets_the_gas_it_needs() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 60 * ONE, pair.now());
    let deals: Vec<_> = (0..50).map(|_| deal(&pair, &it)).collect();
    let opened = pair.done(Who::Stranger, open_batch(&pair, &it, &deals)).await;
    assert_eq!(opened.skipped, []);
    let settled = pair.done(Who::Stranger, settle_batch(&pair, &deals, 7)).await;
    assert_eq!(settled.skipped, []);
    assert_eq!(used(&pair, &it).await, 50 * (7_000 + 18));
}

#[tokio::test]
async fn a_session_counts_deals_that_end_without_a_receipt_too() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 10 * ONE, pair.now());
    let [stopped, expired] = std::array::from_fn(|_| deal(&pair, &it));
    for terms in [&stopped, &expired] {
        pair.done(Who::Stranger, pair.place.open_in(&it, terms)).await;
    }
    pair.done(Who::RenterKey, Call::Stop { terms: stopped.clone(), intent: None }).await;
    pair.clock.advance(600);
    pair.done(Who::Stranger, Call::Finalize { terms: stopped }).await;
    pair.clock.advance(5_000);
    pair.done(Who::Stranger, Call::Expire { terms: expired }).await;
    assert_eq!(used(&pair, &it).await, 2 * 18, "only the fees were spent");
}
