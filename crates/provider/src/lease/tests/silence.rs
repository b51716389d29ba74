//! What happens when the renter's side signs no more, cannot be reached, or ends it on the chain.

use std::sync::atomic::Ordering;

use market::{Outcome, State};
use primitives::{Amount, Seconds};
use settlement::{Call, Settlement as _};

use super::{
    gate::Mood,
    hall::{Hall, WINDOWS, lasting, peer, renter, work},
};

fn seconds(hall: &Hall) -> (u64, bool) {
    let lease = hall.provider.as_ref().expect("it runs").status().leases.remove(0);
    (lease.seconds.0, lease.held)
}

#[tokio::test(start_paused = true)]
async fn work_is_held_after_two_missed_signatures_and_goes_on_with_the_next_unbilled() {
    let hall = Hall::with(lasting(100)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(21).await;
    hall.gate.set(Mood::Refusing);
    hall.pass(60).await;
    let (ran, held) = seconds(&hall);
    // Signed at 20 s; two intervals and the slack later the work stands still.
    assert!(held && (32..=34).contains(&ran), "{ran}");
    hall.gate.set(Mood::Fair);
    hall.pass(10).await;
    assert!(!seconds(&hall).1);
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(100)));
    assert!(hall.gate.all_faults().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_renter_gets_grace_before_work_is_held() {
    let hall = Hall::with(lasting(500)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(20).await;
    hall.network.divide(&peer("provider"), &peer("gateway"));
    hall.pass(30).await;
    assert!(!seconds(&hall).1, "within grace it goes on");
    hall.pass(100).await;
    let (ran, held) = seconds(&hall);
    assert!(held && (75..=85).contains(&ran), "{ran}");
    hall.network.heal(&peer("provider"), &peer("gateway"));
    hall.pass(2).await;
    assert!(!seconds(&hall).1, "a signature at once");
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(500)));
}

#[tokio::test(start_paused = true)]
async fn work_holds_itself_when_its_provider_is_away_for_longer_than_grace() {
    let mut hall = Hall::with(lasting(500)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(120).await;
    assert!(!seconds(&hall).1, "attended to, it goes on");
    hall.crash().await;
    hall.pass(300).await;
    hall.start().await;
    hall.until("it is seen again", |hall| seconds(hall).0 > 0).await;
    let (ran, _) = seconds(&hall);
    assert!((180..=185).contains(&ran), "{ran}");
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(500)));
    assert!(hall.gate.all_faults().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_renter_that_vanished_is_given_up_and_pays_the_floor_and_grace() {
    let hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(20).await;
    hall.network.divide(&peer("provider"), &peer("gateway"));
    hall.until_over(deal).await;
    let signed = hall.gate.deal(deal).last.expect("receipts").document;
    let charge = hall.closing(deal).await.split.charge();
    let most = signed.amount.plus(Amount::new(500 * 60).expect("small"));
    assert_eq!(Some(charge), most, "what was signed and sixty seconds");
    assert_eq!(hall.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_renter_that_never_signs_pays_nothing_and_the_machine_is_free_again() {
    let hall = Hall::with(lasting(3_000)).await;
    hall.gate.set(Mood::Silent);
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "ended").await;
    let status = hall.provider.as_ref().expect("it runs").status();
    assert_eq!(status.free, status.capacity);
    hall.until_over(deal).await;
    assert_eq!(hall.closing(deal).await.split.charge(), Amount::ZERO, "expired at D");
}

#[tokio::test(start_paused = true)]
async fn a_stop_on_the_chain_ends_the_work_and_what_was_signed_is_claimed() {
    let hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(22).await;
    hall.gate.set(Mood::Silent);
    let stop = Call::Stop { terms: bid.terms.document.clone(), intent: None };
    hall.done(hall.ledger.seat(renter().address()).send(stop).await);
    hall.until_stage(deal, "ended").await;
    let lease = hall.provider.as_ref().expect("it runs").status().leases.remove(0);
    assert!(lease.seconds.0 < 30, "{lease:?}");
    hall.until_over(deal).await;
    let charge = hall.closing(deal).await.split.charge().units();
    assert!((500 * 20..=500 * 26).contains(&charge), "{charge}");
}

#[tokio::test(start_paused = true)]
async fn a_deal_that_is_settled_elsewhere_is_stopped_and_wiped() {
    let hall = Hall::with(lasting(30_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.network.divide(&peer("provider"), &peer("gateway"));
    // Nobody of the provider's side is there to see the window pass.
    let terms = bid.terms.document.clone();
    let stop = Call::Stop { terms: terms.clone(), intent: None };
    hall.done(hall.ledger.seat(renter().address()).send(stop).await);
    assert_eq!(hall.state(deal).await, State::Stopped);
    hall.until_over(deal).await;
    assert_eq!(hall.state(deal).await, State::Settled);
}

#[tokio::test(start_paused = true)]
async fn a_settled_deal_gives_its_capacity_back_only_when_its_run_has_ended() {
    let mut hall = Hall::with(lasting(30_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.runtime.stubborn.store(true, Ordering::Relaxed);
    let terms = bid.terms.document.clone();
    let stop = Call::Stop { terms: terms.clone(), intent: None };
    hall.done(hall.ledger.seat(renter().address()).send(stop).await);
    hall.pass(WINDOWS.dispute.0 + 1).await;
    hall.done(hall.ledger.seat(renter().address()).send(Call::Finalize { terms }).await);
    hall.until_stage(deal, "settled").await;
    let is_free = |hall: &Hall| {
        let status = hall.provider.as_ref().expect("it runs").status();
        status.free == status.capacity
    };
    hall.pass(60).await;
    assert!(!is_free(&hall), "its run still goes");
    hall.crash().await;
    hall.start().await;
    hall.pass(60).await;
    assert!(!is_free(&hall), "its run still goes after a restart");
    hall.runtime.stubborn.store(false, Ordering::Relaxed);
    hall.until_over(deal).await;
    assert!(is_free(&hall));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_gone_for_a_minute_loses_nothing() {
    let hall = Hall::with(lasting(60)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(40).await;
    hall.ledger.set_gone(true);
    hall.pass(60).await;
    hall.ledger.set_gone(false);
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(60)));
    assert_eq!(hall.closing(deal).await.split.charge(), receipt.amount);
}

#[tokio::test(start_paused = true)]
async fn a_signature_of_another_key_is_no_signature() {
    let hall = Hall::with(lasting(3_000)).await;
    hall.gate.set(Mood::Forging);
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(60).await;
    let status = hall.provider.as_ref().expect("it runs").status();
    assert!(status.leases[0].held && status.leases[0].amount == Amount::ZERO, "{status:?}");
    assert!(status.problem.is_some_and(|words| words.contains("not the renter key's")));
}
