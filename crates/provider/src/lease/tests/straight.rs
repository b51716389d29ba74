//! What happens when everybody does what the protocol says.

use std::{collections::BTreeMap, time::Duration};

use market::{
    Outcome, Root, Wasm,
    message::{BidAnswer, CommandAnswer, Phase},
};
use primitives::{Amount, Bytes, Digest, Fuel, Seconds};
use sandbox::{Ending, Script, Spoken, Stream};
use store::{Blobs, MemoryBlobs, Tree, TreeEntry, TreeKind, TreeLimits, TreePath};

use super::{
    gate::Mood,
    hall::{Hall, lasting, provider_key, work},
};

fn units(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

#[tokio::test(start_paused = true)]
async fn work_is_run_metered_delivered_paid_and_wiped() {
    let said = |at, words: &str| Spoken {
        at: Duration::from_secs(at),
        stream: Stream::Stdout,
        words: words.into(),
    };
    let script = Script {
        speech: vec![said(0, "begin\n"), said(11, "end\n")],
        outputs: BTreeMap::from([("deep/er/result".to_owned(), b"42".to_vec())]),
        ..lasting(12)
    };
    let hall = Hall::with(script).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;

    let seen = hall.gate.deal(deal);
    let receipt = &seen.last.as_ref().expect("a terminal receipt").document;
    // Half of the machine at 1,000 units a second, for twelve seconds.
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(12)));
    assert_eq!(receipt.amount, units(6_000));
    assert_eq!((seen.signed, seen.terminals.len()), (4, 1), "at 1 s, 5 s, 10 s and the end");
    assert_eq!(seen.exit_codes(), [(0, 0)]);
    assert_eq!(hall.gate.stdout(deal), b"begin\nend\n");
    assert_eq!(seen.phases, [Phase::Preparing, Phase::Delivering]);
    assert!(seen.blobs.contains_key(&Digest::of(b"42")));

    let closing = hall.closing(deal).await;
    assert_eq!((closing.split.paid, closing.split.fee), (units(5_850), units(150)));
    let provider = hall.provider.as_ref().expect("it runs");
    let earnings = provider.earnings().await.expect("the ledger is there");
    assert_eq!((earnings.total, earnings.balance), (units(5_850), units(5_850)));
    let status = provider.status();
    assert_eq!((status.free, status.problem), (status.capacity, None));
    assert_eq!(hall.blobs.size(&Digest::of(b"42")).await.expect("memory"), None, "wiped");
    assert!(hall.gate.all_faults().is_empty());
}

#[tokio::test(start_paused = true)]
async fn inputs_are_placed_before_the_start() {
    let hall = Hall::with(lasting(30)).await;
    let file = hall.gate.hold_input(b"hello");
    let kind = TreeKind::File { digest: file, size: Bytes(5), executable: false };
    let entry = TreeEntry { path: TreePath::new("greeting").expect("a path"), kind };
    let tree = Tree::new(vec![entry], &TreeLimits::up_to(Bytes(5))).expect("a tree");
    hall.gate.hold_input(&tree.manifest());
    let work = market::Work { inputs: Some(tree.digest()), ..work() };
    let bid = hall.place(&work).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    let folder = hall.run_folder(deal, 0);
    assert_eq!(std::fs::read(folder.join("work/greeting")).expect("placed"), b"hello");
    hall.until_over(deal).await;
    assert!(!folder.parent().expect("the lease's").exists(), "wiped");
    assert_eq!(hall.blobs.size(&file).await.expect("memory"), None, "wiped");
}

#[tokio::test(start_paused = true)]
async fn a_missing_program_ends_unbilled_with_127() {
    let refusal = Ending {
        outcome: sandbox::Outcome::MissingProgram,
        cause: "there is no 'tool'".into(),
        next: "name another".into(),
    };
    let hall = Hall::with(Script { refusal: Some(refusal), ..Script::default() }).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 127)]);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::Failed, Amount::ZERO));
    let ending = seen.ending.expect("words");
    assert_eq!((ending.code.as_str(), ending.action.as_str()), ("missing-program", "name another"));
    assert_eq!(hall.closing(deal).await.split.charge(), Amount::ZERO);
    assert_eq!(hall.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn missing_inputs_end_unbilled() {
    let hall = Hall::with(lasting(30)).await;
    let work = market::Work { inputs: Some(Digest::of(b"nobody has this")), ..work() };
    let bid = hall.place(&work).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.ending.expect("words").code, "inputs-missing");
    assert_eq!(hall.closing(deal).await.split.charge(), Amount::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_run_and_pays_for_what_ran() {
    let hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(7).await;
    let stop = hall.stop(deal, 1);
    assert_eq!(hall.command(stop.clone()).await, Some(CommandAnswer::Taken));
    hall.until_stage(deal, "ended").await;
    assert_eq!(hall.command(stop).await, Some(CommandAnswer::Taken), "a second time");
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!(receipt.outcome, Outcome::Stopped);
    assert_eq!(receipt.amount, units(500 * u128::from(receipt.seconds.0)));
    assert!((7..=9).contains(&receipt.seconds.0), "{receipt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_start_costs_nothing() {
    let script = Script { ready_after: Duration::from_secs(100), ..lasting(3_000) };
    let hall = Hall::with(script).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    assert_eq!(hall.command(hall.stop(deal, 1)).await, Some(CommandAnswer::Taken));
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    // The program had been started, so it came to its readiness and was stopped there.
    assert_eq!(receipt.outcome, Outcome::Stopped);
    assert!(receipt.amount <= units(500 * 6), "{receipt:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_is_the_jobs_failure() {
    let hall = Hall::with(Script { ends_after: None, ..Script::default() }).await;
    let work = market::Work { time_limit: Seconds(20), ..work() };
    let bid = hall.place(&work).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    assert_eq!(seen.exit_codes(), [(0, 124)]);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Failed, Seconds(20)));
    assert_eq!(seen.ending.expect("words").code, "timed-out");
}

#[tokio::test(start_paused = true)]
async fn an_early_fault_of_the_machine_is_free() {
    let hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(30).await;
    assert!(hall.runtime.scripted.lose(&hall.run_folder(deal, 0)));
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::ProviderFault, Amount::ZERO));
    assert_eq!(hall.closing(deal).await.split.charge(), Amount::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stepped_wall_clock_changes_no_bill() {
    for step in [3_600, -3_600] {
        let hall = Hall::with(lasting(60)).await;
        let bid = hall.place(&work()).await;
        let deal = hall.deal(&bid);
        hall.until_stage(deal, "running").await;
        hall.pass(20).await;
        hall.clock.step(step);
        hall.until_over(deal).await;
        let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
        assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(60)));
        assert_eq!(hall.closing(deal).await.split.charge(), units(30_000));
    }
}

#[tokio::test(start_paused = true)]
async fn the_offer_is_announced_again_before_it_runs_out_and_after_a_lost_connection() {
    let hall = Hall::with(lasting(1)).await;
    assert_eq!(hall.gate.announcements(), 1);
    hall.pass(1_801).await;
    assert_eq!(hall.gate.announcements(), 2);
    let names = [super::hall::peer("provider"), super::hall::peer("gateway")];
    hall.network.divide(&names[0], &names[1]);
    hall.pass(1).await;
    hall.network.heal(&names[0], &names[1]);
    hall.until("announced again", |hall| hall.gate.announcements() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_provider_finishes_and_takes_nothing_new() {
    let hall = Hall::with(lasting(12)).await;
    let bid = hall.place(&work()).await;
    let provider = hall.provider.as_ref().expect("it runs");
    provider.drain();
    let answer = hall.price(&hall.request(&work(), 2)).await;
    assert!(matches!(answer, Some(BidAnswer::Refused { .. })), "{answer:?}");
    provider.idle().await;
    assert!(hall.closing(hall.deal(&bid)).await.split.paid > Amount::ZERO);
    let before = hall.gate.announcements();
    hall.pass(4_000).await;
    assert_eq!(hall.gate.announcements(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refused_end_is_claimed_and_paid_up_to_what_was_signed_and_grace() {
    let hall = Hall::with(lasting(12)).await;
    hall.gate.set(Mood::RefusingTheEnd);
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    // Ten seconds were signed, two more are within grace.
    assert_eq!(hall.closing(deal).await.split.charge(), units(6_000));
    assert_eq!(hall.gate.deal(deal).terminals.len(), 1);
    let earned = hall.provider.as_ref().expect("it runs").earnings().await.expect("there");
    assert_eq!(earned.total, units(5_850));
    assert_eq!(earned.deals.len(), 1);
    assert_eq!(provider_key().address(), bid.terms.document.provider);
}

#[tokio::test(start_paused = true)]
async fn outputs_beyond_the_providers_disk_are_its_own_fault() {
    let outputs = BTreeMap::from([("large".to_owned(), vec![7; 5_000])]);
    let mut hall = Hall::with(Script { outputs, ..lasting(12) }).await;
    hall.crash().await;
    hall.blobs = MemoryBlobs::new(Bytes(1_000));
    hall.start().await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::ProviderFault, Amount::ZERO));
    assert_eq!(seen.ending.expect("words").code, "disk-full");
}

#[tokio::test(start_paused = true)]
async fn a_long_delivery_is_not_silent() {
    let outputs = BTreeMap::from([("result".to_owned(), b"42".to_vec())]);
    let hall = Hall::with(Script { outputs, ..lasting(12) }).await;
    hall.gate.set(Mood::Slow);
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let told = seen.phases.iter().filter(|phase| **phase == Phase::Delivering).count();
    // Two blobs of ninety seconds each, and a word every twenty.
    assert!(told >= 8, "{told}");
    assert_eq!(seen.last.expect("a terminal receipt").document.outcome, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn printed_output_that_nobody_takes_delays_nothing() {
    let spoken = Spoken { at: Duration::ZERO, stream: Stream::Stdout, words: b"hello".to_vec() };
    let hall = Hall::with(Script { speech: vec![spoken], ..lasting(12) }).await;
    hall.gate.set(Mood::Deaf);
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.pass(30).await;
    assert_eq!(hall.stage(deal), None, "over within seconds of its end");
    assert_eq!(hall.closing(deal).await.split.charge(), units(6_000));
}

#[tokio::test(start_paused = true)]
async fn damaged_samples_end_the_run_as_the_machines_fault() {
    let hall = Hall::with(lasting(3_000)).await;
    let bid = hall.place(&work()).await;
    let deal = hall.deal(&bid);
    hall.until_stage(deal, "running").await;
    hall.pass(30).await;
    hall.runtime.damaged.store(true, std::sync::atomic::Ordering::Relaxed);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::ProviderFault, Amount::ZERO));
    assert_eq!(seen.ending.expect("words").code, "lost");
    assert!(hall.gate.all_faults().is_empty(), "{:?}", hall.gate.all_faults());
}

#[tokio::test(start_paused = true)]
async fn a_module_ends_when_the_fuel_that_was_ordered_is_burnt() {
    let hall = Hall::with(Script { fuel_per_second: 1_000, ..lasting(3_000) }).await;
    let mut work = work();
    work.wish.root = Root::Wasm(Wasm { fuel: Some(Fuel(5_000)), deterministic: true });
    let bid = hall.place(&work).await;
    let deal = hall.deal(&bid);
    hall.until_over(deal).await;
    let seen = hall.gate.deal(deal);
    let receipt = seen.last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Failed, Seconds(5)));
    assert_eq!(seen.results[&primitives::TaskIndex(0)].result.exit_code, 124);
    assert_eq!(seen.ending.expect("words").code, "out-of-fuel");
}
