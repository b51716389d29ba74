//! Hostile providers attack the real gateway.

use std::{sync::Arc, time::Duration};

use market::{
    Outcome, Terms,
    document::Act,
    message::{CountersignAnswer, Done, Phase, ToGateway},
    task::TaskResult,
};
use net::Transport as _;
use primitives::{
    Amount, B256, Clock as _, Digest, Epoch, PeerId, Rate, Sample, Seconds, TaskIndex,
};
use sim::{Den, House, Rogue, Stall, Wanted, key, lasting, message};
use tokio::time::Instant;

use crate::sums::{amount, charge};

fn samples(count: u64) -> Vec<Sample> {
    (0..count).map(|second| Sample { at_ms: second * 1_000, ..Sample::default() }).collect()
}

fn result(seconds: u64) -> TaskResult {
    TaskResult {
        task: TaskIndex(0),
        epoch: Epoch(1),
        exit_code: 0,
        output: Digest::default(),
        seconds: Seconds(seconds),
        salt: B256::repeat_byte(3),
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_terminal_receipt_is_never_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let all = samples(1);
    let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &all);
    den.rogue.countersign(&receipt, &all, &[]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    // The slot would accept it, but the chain cannot be told.
    let results = [result(5)];
    let first = den.rogue.signed(&deal, 5, Outcome::Completed, &results, &all);
    let answer = den.rogue.countersign(&first, &all, &results).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    for _ in 0..2 {
        for (seconds, outcome) in [(6, Outcome::Completed), (15, Outcome::Failed)] {
            let results = [result(seconds)];
            let second = den.rogue.signed(&deal, seconds, outcome, &results, &all);
            let answer = den.rogue.countersign(&second, &all, &results).await;
            let Some(CountersignAnswer::Refused { .. } | CountersignAnswer::Signed { .. }) = answer
            else {
                panic!("{answer:?}")
            };
            if let Some(CountersignAnswer::Signed { signature }) = answer {
                let digest = second.document.digest(&den.town.escrow());
                assert!(
                    !signature.is_by(den.gateway.signer(), digest),
                    "a second terminal receipt is signed"
                );
            }
        }
        den.until("done", |view| view.state == "done").await;
        den.gateway.restart(&den.town).await;
    }
    assert_eq!(den.charged().await, charge(deal.terms.document.rate, 5));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_with_a_fence_above_that_of_the_gateway_before() {
    let mut den = Den::begin(1, |_| {}).await;
    den.opened().await;
    let job = den.gateway.broker().jobs()[0].id;
    den.gateway.restart(&den.town).await;
    den.gateway.broker().stop(job).await.expect("known");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let heard = den.rogue.heard();
    let (first, last) = (heard.first().expect("assigned"), heard.last().expect("stopped"));
    assert_eq!((last.act, first.deal), (Act::Stop, last.deal));
    assert!(last.fence > first.fence, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bid_that_its_provider_key_did_not_sign_is_not_chosen() {
    let mut den = Den::begin(1, |_| {}).await;
    den.rogue.forge();
    let view = den.until("decided", |view| view.state == "done" || view.deal().is_some()).await;
    assert!(view.deal().is_none(), "{:?}", view.deal());
}

#[tokio::test(start_paused = true)]
async fn a_bid_with_a_larger_hold_or_a_longer_grace_or_a_longer_life_than_the_rules_is_not_chosen()
{
    let bends: [fn(&mut Terms); 3] = [
        |terms| terms.cap = Amount::new(90_000_000).expect("small"),
        |terms| terms.grace = Seconds(50_000),
        |terms| terms.expiry = terms.expiry.plus(Seconds(300 * 86_400)),
    ];
    for (number, bend) in bends.into_iter().enumerate() {
        let mut den = Den::begin(1, bend).await;
        let view = den.until("decided", |view| view.state == "done" || view.deal().is_some()).await;
        assert!(
            view.deal().is_none(),
            "bend {number}: {:?}",
            view.deal().cloned().map(|it| it.agreement.terms)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_that_shrink_or_are_forged_or_hide_samples_are_not_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let one = samples(1);
    let first = den.rogue.signed(&deal, 1, Outcome::Running, &[], &one);
    let answer = den.rogue.countersign(&first, &one, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ten = samples(10);
    let good = den.rogue.signed(&deal, 10, Outcome::Running, &[], &ten);
    let answer = den.rogue.countersign(&good, &ten, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");

    let shrunk = den.rogue.signed(&deal, 9, Outcome::Running, &[], &ten);
    let mut forged = den.rogue.signed(&deal, 12, Outcome::Running, &[], &ten);
    forged.signature = key(99).sign(forged.document.digest(&den.town.escrow()));
    let mut dear = den.rogue.signed(&deal, 12, Outcome::Running, &[], &ten).document;
    dear.amount = dear.amount.plus(amount(1)).expect("small");
    let dear = den.rogue.stall.signed(dear);
    let hidden = den.rogue.signed(&deal, 12, Outcome::Running, &[], &samples(3));
    for (what, receipt) in
        [("shrunk", shrunk), ("forged", forged), ("too dear", dear), ("of other samples", hidden)]
    {
        let answer = den.rogue.countersign(&receipt, &ten, &[]).await;
        assert!(matches!(answer, Some(CountersignAnswer::Refused { .. })), "{what}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn samples_that_go_back_in_time_are_not_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut all = vec![Sample { at_ms: 5_000, cpu_ms: 5_000, ..Sample::default() }];
    let receipt = den.rogue.signed(&deal, 6, Outcome::Running, &[], &all);
    let answer = den.rogue.countersign(&receipt, &all, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    all.push(Sample { at_ms: 1_000, ..Sample::default() });
    let receipt = den.rogue.signed(&deal, 6, Outcome::Running, &[], &all);
    let answer = den.rogue.countersign(&receipt, &all, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Refused { .. })), "running: {answer:?}");
    let results = [result(6)];
    let receipt = den.rogue.signed(&deal, 6, Outcome::Completed, &results, &all);
    let answer = den.rogue.countersign(&receipt, &all, &results).await;
    assert!(matches!(answer, Some(CountersignAnswer::Refused { .. })), "terminal: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn running_time_beyond_the_limit_and_grace_is_not_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let (mut all, mut signed) = (Vec::new(), 0);
    for minute in 0..14u64 {
        let seconds = (minute * 60).max(1);
        all.push(Sample { at_ms: minute * 60_000, ..Sample::default() });
        let receipt = den.rogue.signed(&deal, seconds, Outcome::Running, &[], &all);
        match den.rogue.countersign(&receipt, &all, &[]).await {
            Some(CountersignAnswer::Signed { .. }) => signed = seconds,
            _ => break,
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(signed, 660, "a limit of 600 s and grace");
}

#[tokio::test(start_paused = true)]
async fn time_before_readiness_is_not_signed_however_late_the_first_receipt_comes() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    tokio::time::sleep(Duration::from_secs(620)).await;
    let receipt = den.rogue.signed(&deal, 600, Outcome::Running, &[], &samples(1));
    let answer = den.rogue.countersign(&receipt, &samples(1), &[]).await;
    assert!(
        matches!(answer, Some(CountersignAnswer::Refused { .. })),
        "nothing was said for 620 s, and 600 s of running time are signed: {answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_gateway_gives_a_hurrier_no_time_that_did_not_pass() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    // Ten minutes of preparation, then ten seconds of work, and a restart.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &samples(1));
    let answer = den.rogue.countersign(&receipt, &samples(1), &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    den.gateway.restart(&den.town).await;
    let all = samples(2);
    let receipt = den.rogue.signed(&deal, 600, Outcome::Running, &[], &all);
    let answer = den.rogue.countersign(&receipt, &all, &[]).await;
    assert!(
        matches!(answer, Some(CountersignAnswer::Refused { .. })),
        "eleven seconds passed, 600 are signed: {answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_goes_on_after_a_stop_is_signed_no_more_once_grace_is_over() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let job = den.gateway.broker().jobs()[0].id;
    let (begun, mut signed, mut stopped) = (Instant::now(), 0, None);
    for step in 0..60u64 {
        let seconds = (begun.elapsed().as_secs()).max(1);
        let all = samples(step + 1);
        let receipt = den.rogue.signed(&deal, seconds, Outcome::Running, &[], &all);
        match den.rogue.countersign(&receipt, &all, &[]).await {
            Some(CountersignAnswer::Signed { .. }) => signed = seconds,
            _ => break,
        }
        if step == 4 {
            den.gateway.broker().stop(job).await.expect("known");
            stopped = Some(seconds);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let stopped = stopped.expect("it was stopped");
    assert!(den.rogue.heard_stop(), "the provider was told");
    assert!(signed <= stopped + 70, "stopped at {stopped} s, signed up to {signed} s");
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_alone_do_not_keep_money_locked_for_ever() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let terms = &deal.terms.document;
    let windows = den.town.setup.windows;
    let dead = market::Slot::deadline(terms, &windows).plus(windows.dispute).plus(Seconds(60));
    while den.town.clock.now() < dead {
        let word = ToGateway::Progress { deal: deal.deal, phase: Phase::Fetching };
        let _: Option<Done> = den.rogue.ask(&word, b"").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let view = den.nudge().await.expect("ordered");
    assert_eq!(view.state, "done", "the deal is {} after every deadline", den.state());
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_do_not_undo_a_stop() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let job = den.gateway.broker().jobs()[0].id;
    den.gateway.broker().stop(job).await.expect("known");
    for _ in 0..60 {
        let word = ToGateway::Progress { deal: deal.deal, phase: Phase::Preparing };
        let _: Option<Done> = den.rogue.ask(&word, b"").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    den.nudge().await.expect("ordered");
    assert_ne!(den.state(), "open", "stopped five minutes ago");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_outputs_that_is_too_long_is_refused_once_and_for_all() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let long = vec![b' '; 60 << 20];
    let blob = Digest::of(&long);
    let put: Option<Done> =
        den.rogue.ask(&ToGateway::PutBlob { deal: deal.deal, blob }, &long).await;
    assert_eq!(put, Some(Done::Done), "within what a list and its files may take together");
    let results = [TaskResult { output: blob, ..result(1) }];
    let receipt = den.rogue.signed(&deal, 1, Outcome::Completed, &results, &[]);
    let question = Rogue::question(&receipt, 0, &[], &results);
    let _: Option<CountersignAnswer> = den.rogue.ask(&question, b"").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    den.nudge().await.expect("ordered");
    assert_ne!(den.state(), "delivered", "it is judged again and again");
}

#[tokio::test(start_paused = true)]
async fn receipts_and_words_that_come_too_often_do_not_fill_the_journal() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let before = den.gateway.log_length();
    for count in 1..=200 {
        let all = samples(1).repeat(count);
        let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &all);
        let question = Rogue::question(&receipt, count as u64 - 1, &samples(1), &[]);
        let _: Option<CountersignAnswer> = den.rogue.ask(&question, b"").await;
        let word = ToGateway::Progress { deal: deal.deal, phase: Phase::Fetching };
        let _: Option<Done> = den.rogue.ask(&word, b"").await;
    }
    let grown = den.gateway.log_length() - before;
    assert!(grown < 40, "{grown} facts in a few seconds");
}

#[tokio::test(start_paused = true)]
async fn peers_that_answer_nothing_hold_an_order_up_for_seconds_at_most() {
    let mut house = House::begin(17, lasting(12)).await;
    // One peer with a dozen authorised keys, cheaper than anyone, that never answers.
    let name = PeerId("ghost".to_owned());
    let wire = Arc::new(house.town.network.join(&name));
    house.town.network.link(&name, &house.gateway.peer);
    for number in 40..52 {
        let (account, provider_key) = (key(number).address(), key(number + 60));
        let rate = Rate::per_hour(4).expect("small");
        let stall = Stall::open(&house.town, account, provider_key, &name, rate).await;
        let question = message(&ToGateway::Announce(Box::new(stall.offer)));
        wire.exchange(&house.gateway.peer, question).await.expect("listed");
    }
    let silent = wire.clone();
    let _silence = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(incoming) = silent.accept().await {
            kept.push(incoming);
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let wanted = house.submission(&Wanted::plain(1));
    let begun = Instant::now();
    house.live_until(&wanted, "running").await;
    assert!(begun.elapsed() < Duration::from_secs(25), "placed after {:?}", begun.elapsed());
}
