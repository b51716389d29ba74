//! A provider that dies at any fact comes to the same end.

use std::{collections::BTreeMap, time::Duration};

use market::{
    Outcome, State,
    message::{BidAnswer, CommandAnswer},
};
use primitives::{Amount, Digest, Seconds};
use sandbox::{Runtime as _, Script, Spoken, Stream};
use store::{Crash, Position};

use super::{
    gate::Mood,
    hall::{Hall, lasting, work},
};

fn script() -> Script {
    let speech = (0..12).map(|second| Spoken {
        at: Duration::from_secs(second),
        stream: Stream::Stdout,
        words: format!("line {second}\n").into_bytes(),
    });
    Script {
        speech: speech.collect(),
        outputs: BTreeMap::from([("result".to_owned(), b"42".to_vec())]),
        ..lasting(12)
    }
}

/// Carry a job through, however often the provider has to be started again; gives the deal.
async fn carry_through(hall: &mut Hall) -> primitives::DealId {
    let request = hall.request(&work(), 1);
    let bid = loop {
        hall.revive().await;
        if let Some(BidAnswer::Bid(bid)) = hall.price(&request).await {
            break *bid;
        }
    };
    let deal = hall.deal(&bid);
    if hall.state(deal).await == State::None {
        hall.open(&bid).await;
    }
    let command = hall.assignment(deal, &work(), 1);
    while hall.command(command.clone()).await != Some(CommandAnswer::Taken) {
        hall.revive().await;
        hall.pass(1).await;
    }
    for _ in 0..10_000 {
        hall.revive().await;
        if hall.state(deal).await == State::Settled && hall.stage(deal).is_none() {
            return deal;
        }
        hall.pass(1).await;
    }
    panic!("it came to no end: {:?}", hall.provider.as_ref().map(crate::Provider::status));
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_fact_changes_nothing_in_the_end() {
    for position in 1..=15 {
        for when in [Crash::Before, Crash::After] {
            let mut hall = Hall::with(script()).await;
            hall.log.crash_at(Position(position), when);
            let deal = carry_through(&mut hall).await;
            let at = format!("crash {when:?} fact {position}");
            let seen = hall.gate.deal(deal);
            let receipt = seen.last.clone().expect("a terminal receipt").document;
            assert_eq!(receipt.outcome, Outcome::Completed, "{at}");
            assert_eq!(receipt.seconds, Seconds(12), "{at}");
            assert_eq!(seen.terminals.len(), 1, "{at}");
            assert_eq!(hall.starts(), 1, "{at}");
            assert_eq!(hall.closing(deal).await.split.charge(), receipt.amount, "{at}");
            let said: String = (0..12).map(|second| format!("line {second}\n")).collect();
            assert_eq!(String::from_utf8_lossy(&hall.gate.stdout(deal)), said, "{at}");
            assert!(seen.blobs.contains_key(&Digest::of(b"42")), "{at}");
            assert!(hall.gate.all_faults().is_empty(), "{at}: {:?}", hall.gate.all_faults());
            let provider = hall.provider.as_ref().expect("it runs");
            let earned = provider.earnings().await.expect("the ledger is there");
            assert_eq!(earned.total, Amount::new(5_850).expect("small"), "{at}");
            let status = provider.status();
            assert_eq!(status.free, status.capacity, "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_fact_of_an_abandoned_lease_still_gets_what_is_due() {
    // Bid, assigned, started and measured, receipts with what they stand on, the end.
    for position in 4..=13 {
        for when in [Crash::Before, Crash::After] {
            let mut hall = Hall::with(lasting(3_000)).await;
            hall.log.crash_at(Position(position), when);
            let bid = hall.place(&work()).await;
            let deal = hall.deal(&bid);
            hall.gate.set(Mood::Fair);
            for _ in 0..12 {
                hall.revive().await;
                hall.pass(1).await;
            }
            hall.gate.set(Mood::Silent);
            for _ in 0..10_000 {
                hall.revive().await;
                if hall.state(deal).await == State::Settled && hall.stage(deal).is_none() {
                    break;
                }
                hall.pass(1).await;
            }
            let at = format!("crash {when:?} fact {position}");
            let signed = hall.gate.deal(deal).last.expect("receipts").document;
            let charge = hall.closing(deal).await.split.charge();
            let most = signed.amount.plus(Amount::new(500 * 60).expect("small")).expect("small");
            assert!(
                signed.amount <= charge.plus(Amount::new(500 * 5).expect("small")).expect("small"),
                "{at}: {charge}"
            );
            assert!(charge <= most, "{at}: {charge}");
            assert_eq!(hall.starts(), 1, "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_away_goes_on_where_the_run_is() {
    let mut hall = Hall::with(script()).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(3).await;
    hall.crash().await;
    hall.pass(4).await;
    hall.start().await;
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(12)));
    let said: String = (0..12).map(|second| format!("line {second}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&hall.gate.stdout(deal)), said);
    assert_eq!(hall.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_and_doubled_messages_change_nothing() {
    for seed in 1..=20u64 {
        let hall = Hall::seeded(script(), seed).await;
        let rough = net::Conditions {
            request_lost: 100,
            response_lost: 100,
            heard_twice: 200,
            ..net::Conditions::fair()
        };
        let bid = hall.place(&work()).await;
        let deal = hall.deal(&bid);
        hall.network.set_conditions(rough);
        hall.until_over(deal).await;
        let seen = hall.gate.deal(deal);
        let receipt = seen.last.expect("a terminal receipt").document;
        assert_eq!(receipt.outcome, Outcome::Completed, "seed {seed}");
        assert_eq!(receipt.seconds, Seconds(12), "seed {seed}");
        assert_eq!(seen.terminals.len(), 1, "seed {seed}");
        assert!(hall.gate.all_faults().is_empty(), "seed {seed}: {:?}", hall.gate.all_faults());
        let said: String = (0..12).map(|second| format!("line {second}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&hall.gate.stdout(deal)), said, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_go_on_after_a_signature_that_was_lost() {
    // The seventh fact is the second co-signed receipt: the gateway has signed, and we forget it.
    let mut hall = Hall::with(lasting(3_000)).await;
    hall.log.crash_at(Position(7), Crash::Before);
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    for _ in 0..60 {
        hall.revive().await;
        hall.pass(1).await;
    }
    let lease = hall.provider.as_ref().expect("it runs").status().leases.remove(0);
    assert!(!lease.held && lease.amount >= Amount::new(500 * 55).expect("small"), "{lease:?}");
    assert!(hall.gate.all_faults().is_empty());
    assert_eq!(hall.gate.deal(deal).terminals.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn reserved_capacity_is_still_reserved_after_a_restart() {
    let mut hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    hall.until_stage(hall.deal(&bid), "running").await;
    let offered = hall.bid(&hall.request(&work(), 2)).await;
    hall.crash().await;
    hall.start().await;
    let status = hall.provider.as_ref().expect("it runs").status();
    assert_eq!(status.free.cpu.0, 0, "{status:?}");
    assert_eq!(hall.bid(&hall.request(&work(), 2)).await, offered, "firm is firm");
    let third = hall.price(&hall.request(&work(), 3)).await;
    assert!(matches!(third, Some(BidAnswer::Busy { .. })), "{third:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_gone_without_a_trace_was_the_machines_fault() {
    let mut hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(30).await;
    hall.crash().await;
    let folder = hall.run_folder(deal, 0);
    assert!(hall.runtime.scripted.lose(&folder));
    hall.runtime.scripted.wipe(&folder).await.expect("it is lost");
    hall.start().await;
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::ProviderFault, Amount::ZERO));
    assert_eq!(hall.closing(deal).await.split.charge(), Amount::ZERO);
    assert!(hall.gate.all_faults().is_empty(), "{:?}", hall.gate.all_faults());
    assert_eq!(hall.starts(), 1);
}
