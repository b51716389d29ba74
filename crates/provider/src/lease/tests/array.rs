//! Many tasks over one lease: side by side, handed over piece by piece, failing, stopped, adopted.

use std::{collections::BTreeMap, time::Duration};

use market::{LeaseFact, Outcome, State, Work, message::CommandAnswer};
use primitives::{Amount, DealId, Digest, Seconds};
use sandbox::{Script, Spoken, Stream};
use store::{Crash, Position};

use super::{
    gate::{Deal, Mood},
    hall::{Hall, SALT, array, index_of, lasting, machine},
};

fn units(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

/// A task that says and leaves its index.
fn telling(index: u32, seconds: u64) -> Script {
    let words = format!("this is {index}\n").into_bytes();
    let at = Duration::from_secs(seconds / 2);
    Script {
        speech: vec![Spoken { at, stream: Stream::Stdout, words }],
        outputs: BTreeMap::from([("index".to_owned(), index.to_string().into_bytes())]),
        ..lasting(seconds)
    }
}

/// A hall whose task `i` lasts `seconds[i]`.
async fn hall(seconds: &[u64]) -> Hall {
    let seconds = seconds.to_vec();
    Hall::scripted(
        move |spec| {
            let index = index_of(spec);
            telling(index, seconds[index as usize % seconds.len()])
        },
        7,
    )
    .await
}

/// Hand tasks over in their first epoch.
async fn hand_over(hall: &Hall, deal: DealId, work: &Work, tasks: &[u32], released: bool) {
    let tasks: Vec<(u32, u32)> = tasks.iter().map(|task| (*task, 1)).collect();
    let instruction = hall.instruction(deal, work, 1, (&tasks, released));
    assert_eq!(hall.command(instruction).await, Some(CommandAnswer::Taken));
}

fn outcome(seen: &Deal) -> (Outcome, Seconds) {
    let receipt = &seen.last.as_ref().expect("a terminal receipt").document;
    (receipt.outcome, receipt.seconds)
}

fn all_fair(hall: &Hall) {
    assert!(hall.gate.all_faults().is_empty(), "{:?}", hall.gate.all_faults());
    let provider = hall.provider.as_ref().expect("it runs");
    let status = provider.status();
    assert_eq!(status.free, status.capacity, "everything is given back");
}

#[tokio::test(start_paused = true)]
async fn three_tasks_run_two_at_once_over_one_lease_and_bring_three_results() {
    let hall = hall(&[10, 4, 9]).await;
    let bid = hall.place(&array(3)).await;
    let deal = hall.deal(&bid);
    assert_eq!(bid.resources.cpu, machine().resources.cpu.min(primitives::Millicores::cores(2)));
    hall.pass(3).await;
    assert_eq!(hall.starts(), 2, "two at once");
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    // The third begins when the second ends, at four seconds, and lasts nine.
    assert_eq!(outcome(&seen), (Outcome::Completed, Seconds(13)));
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0)]);
    let ran: Vec<u64> = seen.all().iter().map(|result| result.seconds.0).collect();
    assert_eq!(ran, [10, 4, 9]);
    assert_eq!(hall.closing(deal).await.split.charge(), units(500 * 13), "one time for all");
    for task in 0..3 {
        let said = String::from_utf8(hall.gate.stdout_of(deal, task)).expect("text");
        assert_eq!(said, format!("this is {task}\n"));
        assert!(seen.blobs.contains_key(&Digest::of(task.to_string().as_bytes())));
    }
    assert_eq!(seen.ending.expect("words").cause, "all 3 tasks completed");
    assert_eq!(hall.starts(), 3);
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn results_are_reported_as_they_come_and_the_last_with_the_terminal_receipt() {
    let hall = hall(&[2, 2, 2, 2, 8]).await;
    let bid = hall.place(&array(5)).await;
    let deal = hall.deal(&bid);
    hall.pass(6).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0), (3, 0)], "before the end");
    assert_eq!(hall.stage(deal).as_deref(), Some("running"));
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!((seen.reported.0, seen.came_last), (4, 1), "each result is said once");
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_together_are_written_down_and_reported_together() {
    let hall = hall(&[3, 3, 30]).await;
    let bid = hall.place(&array(3)).await;
    let deal = hall.deal(&bid);
    hall.pass(10).await;
    assert_eq!(hall.gate.deal(deal).reported, (2, 1));
    let facts = hall.facts(deal).await;
    let finished = facts.iter().filter(|fact| matches!(fact, LeaseFact::Finished { .. }));
    assert_eq!(finished.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn results_that_are_not_counted_are_reported_again_and_at_last_with_the_receipt() {
    let hall = hall(&[2, 20]).await;
    hall.gate.set(Mood::Uncounting);
    let bid = hall.place(&array(2)).await;
    let deal = hall.deal(&bid);
    hall.pass(10).await;
    assert_eq!(hall.gate.deal(deal).exit_codes(), []);
    hall.gate.set(Mood::Fair);
    hall.pass(6).await;
    assert_eq!(hall.gate.deal(deal).exit_codes(), [(0, 0)]);
    hall.until_over(deal).await;
    assert_eq!(hall.gate.deal(deal).exit_codes(), [(0, 0), (1, 0)]);
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn more_tasks_are_taken_while_it_runs_and_twice_is_once() {
    let hall = hall(&[5]).await;
    let work = array(4);
    let bid = hall.opened(&work).await;
    let deal = hall.deal(&bid);
    hand_over(&hall, deal, &work, &[0], false).await;
    hall.pass(2).await;
    hand_over(&hall, deal, &work, &[0, 2], false).await;
    hall.pass(1).await;
    assert_eq!(hall.starts(), 2);
    hand_over(&hall, deal, &work, &[1, 2, 3], true).await;
    hand_over(&hall, deal, &work, &[1, 2, 3], true).await;
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    // The first slot is free at 5 s, the second at 7 s; each carries one more. Messages take time.
    assert_eq!(outcome(&seen).0, Outcome::Completed);
    assert!((12..=13).contains(&outcome(&seen).1.0), "{:?}", outcome(&seen));
    assert_eq!(hall.starts(), 4);
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn what_a_lease_cannot_take_is_refused_whole() {
    let hall = hall(&[50]).await;
    let work = array(4);
    let bid = hall.opened(&work).await;
    let deal = hall.deal(&bid);
    hand_over(&hall, deal, &work, &[0], false).await;
    let refused = async |tasks: &[(u32, u32)]| {
        let instruction = hall.instruction(deal, &work, 1, (tasks, false));
        match hall.command(instruction).await {
            Some(CommandAnswer::Refused { why }) => why,
            other => panic!("not refused: {other:?}"),
        }
    };
    assert!(refused(&[(1, 1), (0, 2)]).await.contains("epoch 1"));
    assert!(refused(&[(1, 1), (4, 1)]).await.contains("no task 4"));
    let mut other = work.clone();
    other.command.push("else".into());
    let mut swapped = hall.instruction(deal, &other, 1, (&[(1, 1)], false));
    assert!(matches!(hall.command(swapped.clone()).await, Some(CommandAnswer::Refused { .. })));
    swapped.assignment = None;
    let answer = hall.command(swapped).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { why }) if why.contains("other work")));
    hall.pass(1).await;
    assert_eq!(hall.starts(), 1, "nothing of it was begun");
    hand_over(&hall, deal, &work, &[3], true).await;
    assert!(refused(&[(1, 1)]).await.contains("after the release"));
    assert_eq!(work.digest(SALT), hall.request(&work, 1).order.document.spec);
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_among_good_ones_fails_the_lease_and_not_the_others() {
    let script = |spec: &sandbox::Spec| match index_of(spec) {
        1 => Script { outcome: sandbox::Outcome::NonZeroExit, exit_code: Some(3), ..telling(1, 2) },
        2 => Script {
            refusal: Some(sandbox::Ending {
                outcome: sandbox::Outcome::MissingProgram,
                cause: "there is no 'tool'".into(),
                next: "name another".into(),
            }),
            ..Script::default()
        },
        index => telling(index, 6),
    };
    let hall = Hall::scripted(script, 7).await;
    let bid = hall.place(&array(4)).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 3), (2, 127), (3, 0)]);
    assert_eq!(outcome(&seen), (Outcome::Failed, Seconds(8)));
    let cause = seen.ending.expect("words").cause;
    assert!(cause.starts_with("2 of 4 tasks failed, the first is task 1:"), "{cause}");
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_brings_what_runs_and_begins_nothing() {
    let hall = hall(&[3, 100]).await;
    let bid = hall.place(&array(6)).await;
    let deal = hall.deal(&bid);
    // At five seconds one task is done, the second and the third run, three wait.
    hall.pass(5).await;
    assert_eq!(hall.command(hall.stop(deal, 1)).await, Some(CommandAnswer::Taken));
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let codes: Vec<u32> = seen.exit_codes().iter().map(|(task, _)| *task).collect();
    assert_eq!(codes, [0, 1, 2]);
    assert_eq!(outcome(&seen).0, Outcome::Stopped);
    assert!((5..=6).contains(&outcome(&seen).1.0), "{:?}", outcome(&seen));
    assert_eq!(hall.starts(), 3);
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_of_the_deal_is_over_what_runs_is_left_to_others() {
    let hall = hall(&[8]).await;
    let work = Work { time_limit: Seconds(20), ..array(9) };
    let bid = hall.place(&work).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    // Two slots finish two tasks each by 16 s; those of the third round are killed at 20 s.
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(outcome(&seen), (Outcome::OutOfFunds, Seconds(20)));
    assert_eq!(seen.ending.expect("words").code, "out-of-funds");
    assert_eq!(hall.starts(), 6);
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_our_machine_ends_the_lease_and_leaves_its_tasks_to_others() {
    let hall = hall(&[3, 1_000]).await;
    let bid = hall.place(&array(4)).await;
    let deal = hall.deal(&bid);
    hall.pass(30).await;
    assert!(hall.runtime.scripted.lose(&hall.run_folder(deal, 1)));
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let receipt = seen.last.as_ref().expect("a terminal receipt").document.clone();
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::ProviderFault, Amount::ZERO));
    assert_eq!(seen.exit_codes(), [(0, 0), (2, 0)], "what was done counts");
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn idle_time_is_billed_until_the_release() {
    let hall = hall(&[5]).await;
    let work = array(4);
    let bid = hall.opened(&work).await;
    let deal = hall.deal(&bid);
    hand_over(&hall, deal, &work, &[0, 1], false).await;
    hall.pass(25).await;
    assert_eq!(hall.stage(deal).as_deref(), Some("running"));
    hand_over(&hall, deal, &work, &[], true).await;
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 0)]);
    assert_eq!(outcome(&seen).0, Outcome::Completed);
    assert!((25..=26).contains(&outcome(&seen).1.0), "{:?}", outcome(&seen));
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_idles_with_a_silent_gateway_ends_itself() {
    let hall = hall(&[5]).await;
    let work = array(4);
    let bid = hall.opened(&work).await;
    let deal = hall.deal(&bid);
    hand_over(&hall, deal, &work, &[0, 1], false).await;
    hall.pass(10).await;
    hall.gate.set(Mood::Silent);
    hall.pass(80).await;
    assert_eq!(hall.stage(deal).as_deref(), Some("ended"), "after grace");
    hall.gate.set(Mood::Fair);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!((outcome(&seen).0, seen.exit_codes().len()), (Outcome::Completed, 2));
    // The work was held after two signatures that did not come, and its clock with it.
    assert!((10..=25).contains(&outcome(&seen).1.0), "{:?}", outcome(&seen));
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn silence_holds_every_run_and_its_time_is_not_billed() {
    let hall = hall(&[40]).await;
    let bid = hall.place(&array(2)).await;
    let deal = hall.deal(&bid);
    hall.pass(10).await;
    hall.gate.set(Mood::Refusing);
    hall.pass(60).await;
    let lease = hall.provider.as_ref().expect("it runs").status().leases.remove(0);
    assert!(lease.held && (17..=23).contains(&lease.seconds.0), "{lease:?}");
    hall.gate.set(Mood::Fair);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(outcome(&seen), (Outcome::Completed, Seconds(40)));
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_away_adopts_every_run_and_bridges_the_gap_by_what_ran() {
    let mut hall = hall(&[6, 9, 5, 5]).await;
    let bid = hall.place(&array(4)).await;
    let deal = hall.deal(&bid);
    hall.pass(3).await;
    hall.crash().await;
    // Both end while nobody looks: the longer one at nine seconds.
    hall.pass(17).await;
    hall.start().await;
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!(hall.starts(), 4, "no task twice");
    // Nine seconds through the gap, and five for the other two; up to a second of idling around.
    let (outcome, seconds) = outcome(&seen);
    assert!(outcome == Outcome::Completed && (14..=15).contains(&seconds.0), "{seconds}");
    for task in 0..4 {
        let said = String::from_utf8(hall.gate.stdout_of(deal, task)).expect("text");
        assert_eq!(said, format!("this is {task}\n"));
    }
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_fact_of_an_array_doubles_and_loses_nothing() {
    let all: &[u32] = &[0, 1, 2, 3];
    let ways: [&[&[u32]]; 2] = [&[all], &[&all[..2], &all[2..]]];
    for (position, way) in (1..=22).flat_map(|position| ways.map(|way| (position, way))) {
        for when in [Crash::Before, Crash::After] {
            let mut hall = hall(&[6, 3, 5, 4]).await;
            hall.log.crash_at(Position(position), when);
            let at = format!("crash {when:?} fact {position} of {way:?}");
            let deal = carry_through(&mut hall, &array(4), way).await;
            let seen = hall.gate.deal(deal);
            assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0), (3, 0)], "{at}");
            assert_eq!(hall.starts(), 4, "{at}");
            assert_eq!(seen.terminals.len(), 1, "{at}");
            let (outcome, seconds) = outcome(&seen);
            assert_eq!(outcome, Outcome::Completed, "{at}");
            // Ten seconds in two slots; what a restart idles is not billed, but what the renter's
            // side takes to hand over the rest is.
            let most = if way.len() == 1 { 12 } else { 30 };
            assert!((9..=most).contains(&seconds.0), "{at}: {seconds}");
            let charge = hall.closing(deal).await.split.charge();
            assert_eq!(charge, units(500 * u128::from(seconds.0)), "{at}");
            for task in 0..4 {
                let said = String::from_utf8(hall.gate.stdout_of(deal, task)).expect("text");
                assert_eq!(said, format!("this is {task}\n"), "{at}");
            }
            all_fair(&hall);
        }
    }
}

/// Carry an array through, handed over in these shares, however often the provider has to be started
/// again.
async fn carry_through(hall: &mut Hall, work: &Work, shares: &[&[u32]]) -> DealId {
    let request = hall.request(work, 1);
    let bid = loop {
        hall.revive().await;
        if let Some(market::message::BidAnswer::Bid(bid)) = hall.price(&request).await {
            break *bid;
        }
    };
    let deal = hall.deal(&bid);
    if hall.state(deal).await == State::None {
        hall.open(&bid).await;
    }
    for (number, share) in (1..).zip(shares) {
        let tasks: Vec<(u32, u32)> = share.iter().map(|task| (*task, 1)).collect();
        let instruction = hall.instruction(deal, work, 1, (&tasks, number == shares.len()));
        while hall.command(instruction.clone()).await != Some(CommandAnswer::Taken) {
            hall.revive().await;
            hall.pass(1).await;
        }
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
async fn a_result_that_was_reported_and_forgotten_is_reported_again() {
    let mut hall = hall(&[2, 40]).await;
    let bid = hall.place(&array(2)).await;
    let deal = hall.deal(&bid);
    hall.pass(10).await;
    assert_eq!(hall.gate.deal(deal).reported, (1, 1));
    hall.crash().await;
    hall.start().await;
    hall.pass(3).await;
    assert_eq!(hall.gate.deal(deal).reported, (2, 2), "who has counted is not kept");
    hall.until_over(deal).await;
    assert_eq!(hall.gate.deal(deal).exit_codes(), [(0, 0), (1, 0)]);
    assert_eq!(hall.starts(), 2);
    all_fair(&hall);
}

#[tokio::test(start_paused = true)]
async fn lost_and_doubled_messages_change_nothing_for_an_array() {
    for seed in 1..=10u64 {
        let seconds = [6, 3, 5, 4, 2];
        let script = move |spec: &sandbox::Spec| {
            let index = index_of(spec);
            telling(index, seconds[index as usize])
        };
        let hall = Hall::scripted(script, seed).await;
        let rough = net::Conditions {
            request_lost: 100,
            response_lost: 100,
            heard_twice: 200,
            ..net::Conditions::fair()
        };
        let bid = hall.place(&array(5)).await;
        let deal = hall.deal(&bid);
        hall.network.set_conditions(rough);
        hall.until_over(deal).await;
        let seen = hall.gate.deal(deal);
        assert_eq!(seen.exit_codes(), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)], "seed {seed}");
        assert_eq!(outcome(&seen).0, Outcome::Completed, "seed {seed}");
        for task in 0..5 {
            let said = String::from_utf8(hall.gate.stdout_of(deal, task)).expect("text");
            assert_eq!(said, format!("this is {task}\n"), "seed {seed}");
        }
        all_fair(&hall);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_run_is_written_down_as_rarely_as_can_be() {
    let hall = Hall::with(lasting(3)).await;
    let bid = hall.place(&super::hall::work()).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let facts = hall.facts(deal).await;
    let names: Vec<&str> = facts.iter().map(LeaseFact::name).collect();
    assert_eq!(
        names,
        [
            "bid",
            "assigned",
            "started",
            "metered",
            "countersigned",
            "finished",
            "metered",
            "ended",
            "accepted",
            "settled",
            "wiped",
        ]
    );
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.reported, (0, 0), "the terminal receipt says it all");
    assert_eq!(outcome(&seen), (Outcome::Completed, Seconds(3)));
}
