//! Nobody is hostile, and the world fails: crashes, partitions, clocks, a chain that is gone.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use market::Outcome;
use net::Conditions;
use primitives::{Amount, Seconds};
use sandbox::Script;
use sim::{Gateway, House, SimulatedClock, Town, Wanted, Workshop, lasting};
use store::Crash;
use tokio::time::Instant;

use crate::sums::charge;

#[tokio::test(start_paused = true)]
async fn no_signature_is_heard_that_the_gateway_s_journal_does_not_hold() {
    for position in 7..=16 {
        let mut house = House::begin(18, lasting(100)).await;
        house.gateway.crash_at(position, Crash::Before);
        let wanted = house.submission(&Wanted::plain(1));
        let deadline = Instant::now() + Duration::from_secs(120);
        while !house.gateway.is_down() {
            assert!(Instant::now() < deadline, "no fact {position}");
            house.nudge_alive(&wanted).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Whatever left before the crash arrives.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let leases = house.workshop.provider().status().leases;
        let heard = leases.first().map_or(Amount::ZERO, |lease| lease.amount);
        house.gateway.restart(&house.town).await;
        let view = house.gateway.broker().jobs().remove(0);
        let kept = view
            .deal()
            .and_then(|deal| deal.last.as_ref())
            .map_or(Amount::ZERO, |last| last.receipt.document.amount);
        assert!(heard <= kept, "fact {position}: {heard} was signed, {kept} is written down");
    }
}

#[tokio::test(start_paused = true)]
async fn crashes_of_both_sides_in_one_life_cost_nobody_more_than_the_protocol_says() {
    let mut house = House::begin(2, lasting(12)).await;
    let rate = house.live().await.deal().cloned().expect("placed").agreement.terms.document.rate;
    house.rest().await;
    let lengths = [house.gateway.log_length(), house.workshop.log_length()];
    for one in 1..=lengths[0] {
        for other in 1..=lengths[1] {
            let when = if (one + other) % 2 == 0 { Crash::Before } else { Crash::After };
            let here = format!("{when:?} facts {one} and {other}");
            let mut house = House::begin(2, lasting(12)).await;
            house.gateway.crash_at(one, when);
            house.workshop.crash_at(other, when);
            let deal = house.live().await.deal().cloned().expect("placed");
            house.rest().await;
            assert_eq!((deal.state, deal.problem), ("settled", None), "{here}");
            let receipt = deal.delivery.expect("delivered").receipt.document;
            assert_eq!(receipt.outcome, Outcome::Completed, "{here}");
            assert_eq!(house.paid().await.0, charge(rate, 12), "{here}");
            assert_eq!(house.workshop.prepared.load(Ordering::Relaxed), 1, "{here}: one run");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_any_length_at_any_moment_ends_in_a_fair_bill() {
    for start in [0, 500, 1_500, 4_000, 9_000, 11_900, 12_500] {
        for length in [1, 8, 30, 65, 120, 700] {
            let here = format!("from {start} ms for {length} s");
            let mut house = House::begin(3, lasting(12)).await;
            let wanted = house.submission(&Wanted::plain(1));
            while house.gateway.log_length() < 6 {
                house.nudge(&wanted).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(start)).await;
            house.town.network.divide(&house.workshop.peer, &house.gateway.peer);
            tokio::time::sleep(Duration::from_secs(length)).await;
            house.town.network.heal(&house.workshop.peer, &house.gateway.peer);
            let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
            house.rest().await;
            let rate = deal.agreement.terms.document.rate;
            let (charged, _) = house.paid().await;
            assert!(charged <= charge(rate, 12), "{here}: {charged}");
            if length < 60 {
                assert_eq!((deal.state, deal.problem), ("settled", None), "{here}");
                assert_eq!(charged, charge(rate, 12), "{here}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_ended_at_its_time_limit_and_pays_for_exactly_that() {
    let mut house = House::begin(6, lasting(500)).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(20), ..Wanted::plain(1) });
    let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
    house.rest().await;
    let receipt = deal.delivery.expect("delivered").receipt.document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Failed, Seconds(20)));
    assert_eq!(house.paid().await.0, charge(deal.agreement.terms.document.rate, 20));
}

#[tokio::test(start_paused = true)]
async fn outputs_beyond_the_limit_are_left_behind_and_the_job_is_settled() {
    let outputs =
        BTreeMap::from([("a".to_owned(), vec![1; 10 << 20]), ("b".to_owned(), vec![2; 10 << 20])]);
    let mut house = House::begin(6, Script { outputs, ..lasting(12) }).await;
    let deal = house.live().await.deal().cloned().expect("placed");
    house.rest().await;
    assert_eq!((deal.state, &deal.problem), ("settled", &None));
    assert_eq!(house.outputs(&deal).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_away_longer_than_grace_bills_grace_at_most() {
    for away in [20, 55, 64] {
        let mut house = House::begin(10, lasting(500)).await;
        let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
        house.live_until(&wanted, "running").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let signed = house.signed_seconds();
        house.workshop.kill(&house.town).await;
        tokio::time::sleep(Duration::from_secs(away)).await;
        house.workshop.start(&house.town, &house.gateway).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = house.signed_seconds();
        assert!(after <= signed + 60 + 7, "{away} s away: {signed} s before, {after} s after");
        let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
        assert_eq!(deal.problem, None, "{away} s away");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_one_side_that_steps_costs_neither_side_its_due() {
    for side in ["gateway", "provider", "chain"] {
        for step in [-3_600, -40, 40, 3_600] {
            for after in [0, 100, 6_000] {
                let here = format!("the {side}'s clock by {step} s after {after} ms");
                let mut town = Town::new(16);
                let own = Arc::new(SimulatedClock::new());
                if side == "chain" {
                    town.ledger = settlement::Ledger::new(town.setup.clone(), 0, own.clone());
                }
                let mut gateway = Gateway::new("gateway");
                let mut workshop = Workshop::new(1, lasting(12));
                match side {
                    "gateway" => gateway.clock = Some(own.clone()),
                    "provider" => workshop.clock = Some(own.clone()),
                    _ => {}
                }
                let mut house = House::of(town, gateway, workshop).await;
                let wanted = Wanted { time_limit: Seconds(7_200), ..Wanted::plain(1) };
                let wanted = house.submission(&wanted);
                let stepping = tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    own.step(step);
                });
                let view = house.live_until_done(&wanted).await;
                stepping.await.expect("it only waits");
                tokio::time::sleep(Duration::from_secs(7_200)).await;
                assert_eq!(house.lease_stage(), None, "{here}");
                let (charged, _) = house.paid().await;
                let deal = view.deal().cloned().filter(|deal| deal.state == "settled");
                let Some(deal) = deal.filter(|_| charged > 0 || after > 0) else {
                    // Clocks apart from the very start: nothing is agreed, and nobody pays.
                    assert_eq!((charged, after), (0, 0), "{here}");
                    continue;
                };
                assert_eq!(deal.problem, None, "{here}");
                assert_eq!(charged, charge(deal.agreement.terms.document.rate, 12), "{here}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_full_of_trouble_still_ends_with_every_unit_accounted_for() {
    for seed in 0..60u64 {
        let words = sim::Words::new(seed);
        let draw = |below: u64| u64::from(words.draw().0[7]) * below / 256;
        let mut house = House::begin(seed, lasting(12)).await;
        house.gateway.crash_at(2 + draw(12), Crash::After);
        house.workshop.crash_at(1 + draw(10), Crash::Before);
        house.town.network.set_conditions(Conditions {
            request_lost: 80,
            response_lost: 80,
            heard_twice: 80,
            latency: Duration::from_millis(1)..=Duration::from_millis(1 + draw(200)),
        });
        house.town.ledger.lose_calls(u32::from(draw(3) == 0));
        house.town.ledger.lose_answers(u32::from(draw(3) == 0));
        let (network, ledger) = (house.town.network.clone(), house.town.ledger.clone());
        let (one, other) = (house.workshop.peer.clone(), house.gateway.peer.clone());
        let spans = [draw(15), draw(90), draw(15), draw(90)];
        let trouble = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1 + spans[0])).await;
            network.divide(&one, &other);
            tokio::time::sleep(Duration::from_secs(spans[1])).await;
            network.heal(&one, &other);
            tokio::time::sleep(Duration::from_secs(spans[2])).await;
            ledger.set_gone(true);
            tokio::time::sleep(Duration::from_secs(spans[3])).await;
            ledger.set_gone(false);
        });
        let view = house.live().await;
        trouble.await.expect("it only waits");
        house.rest().await;
        let (charged, earned) = house.paid().await;
        let Some(deal) = view.deal().cloned() else {
            assert_eq!(charged, 0, "seed {seed}: {:?}", view.conclusion);
            continue;
        };
        let due = charge(deal.agreement.terms.document.rate, 12);
        assert!(charged <= due, "seed {seed}: {charged} of {due}");
        if deal.state == "settled" && deal.problem.is_none() {
            assert_eq!(charged, due, "seed {seed}");
        }
        assert_eq!(earned, charged - charged * 300 / 10_000, "seed {seed}");
        assert!(house.workshop.prepared.load(Ordering::Relaxed) <= 1, "seed {seed}: one run");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_folder_is_gone_ends_as_the_provider_s_fault_with_a_receipt() {
    let mut house = House::begin(12, lasting(500)).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
    let deal =
        house.live_until(&wanted, "running").await.deal().cloned().expect("running").agreement.deal;
    tokio::time::sleep(Duration::from_secs(20)).await;
    house.workshop.kill(&house.town).await;
    let name = deal.to_string().trim_start_matches("0x").to_owned();
    let folder = std::path::PathBuf::from("/nowhere/runs").join(name).join("0-1");
    assert!(house.workshop.runtime.lose(&folder));
    sandbox::Runtime::wipe(&house.workshop.runtime, &folder).await.expect("it has ended");
    let back = Instant::now();
    house.workshop.start(&house.town, &house.gateway).await;
    let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
    let delivery = deal.delivery.unwrap_or_else(|| panic!("no receipt: {:?}", deal.problem));
    assert_eq!(delivery.receipt.document.outcome, Outcome::ProviderFault);
    assert!(back.elapsed() < Duration::from_secs(60), "settled after {:?}", back.elapsed());
    house.rest().await;
    assert_eq!(house.paid().await.0, 0, "an early fault is free");
}

#[tokio::test(start_paused = true)]
async fn a_first_receipt_that_comes_late_does_not_spoil_an_honest_short_job() {
    for late in [1, 4, 8] {
        let mut house =
            House::begin(7, Script { ready_after: Duration::from_secs(3), ..lasting(12) }).await;
        let wanted = house.submission(&Wanted::plain(1));
        while house.lease_stage() != Some("assigned".to_owned()) {
            house.nudge(&wanted).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        house.town.network.divide(&house.workshop.peer, &house.gateway.peer);
        tokio::time::sleep(Duration::from_secs(3 + late)).await;
        house.town.network.heal(&house.workshop.peer, &house.gateway.peer);
        let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
        assert_eq!((deal.state, deal.problem), ("settled", None), "{late} s late");
        house.rest().await;
        assert_eq!(house.paid().await.0, charge(deal.agreement.terms.document.rate, 12));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_and_doubled_messages_change_no_bill_and_lose_no_work() {
    for seed in 0..40 {
        let mut house = House::begin(seed, lasting(12)).await;
        house.town.network.set_conditions(Conditions {
            request_lost: 120,
            response_lost: 120,
            heard_twice: 120,
            ..Conditions::fair()
        });
        let deal = house.live().await.deal().cloned().expect("placed");
        assert_eq!((deal.state, &deal.problem), ("settled", &None), "seed {seed}");
        house.rest().await;
        let most = charge(deal.agreement.terms.document.rate, 12);
        assert_eq!(house.paid().await.0, most, "seed {seed}");
        assert_eq!(house.outputs(&deal).await, ["answer"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_gone_at_any_moment_delays_and_changes_nothing() {
    let moments = [0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 60, 100, 200, 400, 800];
    let moments = moments.into_iter().chain((2..=14).map(|second| second * 1_000));
    let mut wrong = Vec::new();
    for start in moments {
        for length in [2, 20] {
            let mut house = House::begin(4, lasting(12)).await;
            let wanted = house.submission(&Wanted::plain(1));
            while house.gateway.log_length() < 5 {
                house.nudge(&wanted).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let ledger = house.town.ledger.clone();
            let outage = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(start)).await;
                ledger.set_gone(true);
                tokio::time::sleep(Duration::from_secs(length)).await;
                ledger.set_gone(false);
            });
            let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
            outage.await.expect("it only waits");
            house.rest().await;
            let (charged, due) = (house.paid().await.0, deal.agreement.terms.document.rate);
            if (deal.state, &deal.problem) != ("settled", &None) || charged != charge(due, 12) {
                wrong.push(format!("from {start} ms for {length} s: {:?} {charged}", deal.problem));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_clock_was_set_back_at_its_restart_still_signs_honest_receipts() {
    let mut house = House::begin(11, lasting(60)).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
    house.live_until(&wanted, "running").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let signed = house.signed_seconds();
    house.town.clock.step(-3_600);
    house.gateway.restart(&house.town).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(house.signed_seconds() > signed + 10, "{} s", house.signed_seconds());
    let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
    assert_eq!((deal.state, deal.problem), ("settled", None));
}
