//! The whole story with the real broker and the real provider: crashes of either at every fact,
//! either vanishing for good, clocks that step.

use std::{collections::BTreeMap, time::Duration};

use market::Outcome;
use primitives::Seconds;
use sandbox::{Script, Spoken, Stream};
use sim::{House, Wanted};
use store::Crash;

use crate::sums::charge;

/// A program that says something, leaves a file, and ends after twelve seconds.
fn script() -> Script {
    Script {
        ends_after: Some(Duration::from_secs(12)),
        speech: vec![
            Spoken { at: Duration::ZERO, stream: Stream::Stdout, words: b"begun\n".to_vec() },
            Spoken {
                at: Duration::from_secs(11),
                stream: Stream::Stdout,
                words: b"nearly done\n".to_vec(),
            },
        ],
        outputs: BTreeMap::from([("answer".to_owned(), b"42".to_vec())]),
        ..Script::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_ordered_run_metered_judged_and_settled() {
    let mut house = House::begin(1, script()).await;
    let job = house.live().await;
    let deal = job.deal().cloned().expect("placed");
    assert_eq!((deal.state, deal.problem), ("settled", None));
    let delivery = deal.delivery.expect("delivered");
    let receipt = &delivery.receipt.document;
    assert_eq!(
        (receipt.outcome, delivery.results.first().map(|it| it.result.exit_code)),
        (Outcome::Completed, Some(0))
    );
    assert_eq!(receipt.seconds, Seconds(12));
    let rate = deal.agreement.terms.document.rate;
    house.rest().await;
    assert_eq!(house.paid().await.0, charge(rate, 12));

    let name = broker::output_name(
        job.id,
        primitives::TaskIndex(0),
        primitives::Epoch(1),
        market::message::Output::Stdout,
    );
    let printed = store::Outputs::read(&*house.gateway.outputs, &name, 0, 100).await;
    assert_eq!(printed.expect("kept"), b"begun\nnearly done\n");
    let limits = store::TreeLimits::up_to(primitives::Bytes::mebi(16));
    let output = delivery.results[0].result.output;
    let tree = store::load_tree(&output, &*house.gateway.blobs, &limits).await.expect("handed in");
    let paths: Vec<&str> = tree.entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["answer"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_either_side_at_any_fact_costs_nobody_more_than_the_protocol_says() {
    let mut house = House::begin(2, script()).await;
    let rate = house.live().await.deal().cloned().expect("placed").agreement.terms.document.rate;
    house.rest().await;
    let lengths = [house.gateway.log_length(), house.workshop.log_length()];
    assert!(lengths.iter().all(|length| *length > 6), "stories of {lengths:?} facts");
    for (side, length) in lengths.into_iter().enumerate() {
        for position in 1..=length {
            for when in [Crash::Before, Crash::After] {
                let here = format!("side {side}, {when:?} fact {position}");
                let mut house = House::begin(2, script()).await;
                match side {
                    0 => house.gateway.crash_at(position, when),
                    _ => house.workshop.crash_at(position, when),
                }
                let deal = house.live().await.deal().cloned().expect("placed");
                house.rest().await;
                assert_eq!((deal.state, deal.problem), ("settled", None), "{here}");
                let delivery = deal.delivery.expect("delivered");
                assert_eq!(delivery.receipt.document.outcome, Outcome::Completed, "{here}");
                let (charged, _) = house.paid().await;
                let most = charge(rate, 12);
                assert_eq!(charged, most, "{here}: the run of twelve seconds is paid once");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_vanishes_for_good_has_only_what_was_co_signed() {
    let mut house = House::begin(3, script()).await;
    let wanted = house.renter.submission(&house.town, &house.gateway, &Wanted::plain(1));
    let job = house.renter.order(&house.gateway, &wanted).await.expect("a fair order");
    let mut seen = 0;
    let view = loop {
        let view = house.gateway.broker().job(job).expect("ordered");
        house.renter.consent(&house.town, &house.gateway, &view).await.expect("fair terms");
        let last = view.deal().and_then(|deal| deal.last.as_ref());
        seen = last.map_or(seen, |last| last.receipt.document.seconds.0);
        if seen >= 6 {
            house.workshop.kill(&house.town).await;
        }
        if view.state == "done" {
            break view;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let deal = view.deal().cloned().expect("placed");
    assert_eq!(deal.problem.as_deref(), Some("the provider fell silent"));
    let split = deal.closing.expect("settled by the exits").split;
    let most = charge(deal.agreement.terms.document.rate, seen);
    assert!(split.charge().units() <= most, "{split:?}, co-signed {seen} s");
    house.town.ledger.check().expect("conserved");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_vanishes_for_good_leaves_the_provider_its_due_by_claim() {
    let mut house = House::begin(4, Script { ends_after: None, ..script() }).await;
    let wanted = house.renter.submission(&house.town, &house.gateway, &Wanted::plain(1));
    let job = house.renter.order(&house.gateway, &wanted).await.expect("a fair order");
    let rate = loop {
        let view = house.gateway.broker().job(job).expect("ordered");
        house.renter.consent(&house.town, &house.gateway, &view).await.expect("fair terms");
        let deal = view.deal();
        if deal
            .and_then(|deal| deal.last.as_ref())
            .is_some_and(|last| last.receipt.document.seconds.0 >= 20)
        {
            break deal.expect("just seen").agreement.terms.document.rate;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    house.gateway.log.crash();
    house.town.network.crash(&house.gateway.peer);
    house.rest().await;
    let (charged, _) = house.paid().await;
    let grace = house.town.profile.market.grace.0;
    assert!(charged >= charge(rate, 20), "what was co-signed is paid: {charged}");
    assert!(charged <= charge(rate, 30 + grace), "and at most grace beyond: {charged}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_by_an_hour_changes_no_bill() {
    for step in [-3_600, 3_600] {
        let mut house = House::begin(5, script()).await;
        let clock = house.town.clock.clone();
        let stepping = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(6)).await;
            clock.step(step);
        });
        // Long enough that the step itself does not run the deal's own time out.
        let wanted = Wanted { time_limit: Seconds(7_200), ..Wanted::plain(1) };
        let deal = house.live_for(&wanted).await.deal().cloned().expect("placed");
        stepping.await.expect("it only waits");
        house.rest().await;
        assert_eq!(deal.state, "settled", "{:?}", deal.problem);
        let receipt = deal.delivery.expect("delivered").receipt.document;
        assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(12)));
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_ran_on_while_both_sides_were_away_is_finished_and_paid() {
    let script = Script { ends_after: Some(Duration::from_secs(500)), ..script() };
    let mut house = House::begin(7, script).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
    house.live_until_signed(&wanted, 20).await;
    house.both_away(Duration::from_secs(300)).await;
    let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
    assert_eq!((deal.state, deal.problem), ("settled", None));
    let receipt = deal.delivery.expect("delivered").receipt.document;
    assert_eq!(receipt.outcome, Outcome::Completed);
    house.rest().await;
    house.paid().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_time_when_both_sides_were_away_no_more_than_grace_is_billed() {
    // Were it let alone, the work would end before anybody is back.
    let script = Script { ends_after: Some(Duration::from_secs(200)), ..script() };
    let mut house = House::begin(8, script).await;
    let wanted = house.submission(&Wanted::plain(1));
    house.live_until_signed(&wanted, 20).await;
    let before = house.signed_seconds();
    house.both_away(Duration::from_secs(300)).await;
    house.live_until_signed(&wanted, before + 1).await;
    let after = house.signed_seconds();
    let rules = &house.town.profile.market;
    assert!(after > before + rules.grace.0 / 2, "it ran on: {before} s, then {after} s");
    let most = before + rules.receipt_interval.0 + rules.grace.0 + rules.clock_slack.0;
    assert!(after <= most, "{before} s, then {after} s");
    let deal = house.live_until_done(&wanted).await.deal().cloned().expect("placed");
    assert_eq!((deal.state, deal.problem), ("settled", None));
    let receipt = deal.delivery.expect("delivered").receipt.document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Completed, Seconds(200)));
    house.rest().await;
    assert_eq!(house.paid().await.0, charge(deal.agreement.terms.document.rate, 200));
}
