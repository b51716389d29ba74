//! Ended -> Settled: the work is handed in, and what is due is collected.
//!
//! Upon entering, at the same time: everything the last runs left and printed goes to the gateway,
//! then the terminal receipt, until the renter key signs it; and the exits are looked at (`exits`).
//! Upon the signature: it is written down, and settling needs nobody else. Upon a refusal, or silence
//! beyond our patience: the renter's side is given up, and the exits decide.
//!
//! Invariant: at most one terminal receipt per deal, durable before it leaves.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use futures::future::join_all;
use market::{
    LeaseFact,
    fact::Delivery,
    message::{CommandAnswer, Countersign, CountersignAnswer, Phase, ReportAnswer, ToGateway},
    stage::Ended,
    task::{Reported, TaskResult},
};
use net::Body;
use primitives::{B256, DealId, Digest, Signature};
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, story},
    exits::{self, unsigned},
    gateway::PROMPT,
    inbox::Inbox,
    line::Stride,
    outputs,
    print::{self, Printer},
    report::{self, MOST_RESULTS},
    tally::Tally,
    world::{AGAIN, Workshop},
};

/// How many tasks' prints are handed in at the same time.
const PRINTED_AT_ONCE: usize = 8;
/// The longest pause between two attempts.
const SELDOM: Duration = Duration::from_secs(5);

pub(crate) async fn collect(
    shop: &Workshop,
    it: &Ended,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let (plaza, rules) = (shop.world.settlement.plaza(), &shop.config.rules);
    let mut handed_in = pin!(hand_in(shop, it));
    let mut settled = pin!(exits::take(shop, it));
    loop {
        tokio::select! {
            biased;
            (_, answer) = inbox.next(&it.agreement, &plaza, rules) => {
                // It was carried out, and is over.
                drop(answer.send(CommandAnswer::Taken));
            }
            fact = &mut settled => return Ok(Stride::of(fact)),
            fact = &mut handed_in => return Ok(Stride::of(fact)),
        }
    }
}

/// Hand in until the renter's side has signed, or is given up; after that, never ends unless a
/// signature comes after all.
async fn hand_in(shop: &Workshop, it: &Ended) -> LeaseFact {
    let Some(delivery) = it.delivery.as_ref().filter(|_| it.renter.is_none()) else {
        return std::future::pending().await;
    };
    let (mut heard, mut pause) = (Instant::now(), AGAIN);
    loop {
        let why = match attempt(shop, it, delivery, &mut heard).await {
            Ok(CountersignAnswer::Signed { signature })
                if is_renters(shop, it, delivery, &signature) =>
            {
                return LeaseFact::Accepted { renter: signature };
            }
            Ok(CountersignAnswer::Refused { why }) => Some(why),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(error = story(&error), "handing in again");
                None
            }
        };
        let silent = heard.elapsed() >= shop.config.policy.patience.duration();
        let silent = silent.then(|| "the renter's side does not answer".to_owned());
        if let Some(why) = why.or(silent)
            && it.abandoned.is_none()
        {
            return LeaseFact::Abandoned { why, unsigned: unsigned(it) };
        }
        sleep(pause).await;
        pause = (pause * 2).min(SELDOM);
        shop.gateway.connected_within(SELDOM).await;
    }
}

/// One attempt: outputs, then the rest of what was printed, then the receipt with the results; with
/// the last of them, where they are many.
async fn attempt(
    shop: &Workshop,
    it: &Ended,
    delivery: &Delivery,
    heard: &mut Instant,
) -> Result<CountersignAnswer, Error> {
    let (deal, every) = (it.agreement.deal, shop.sign_of_life());
    let handing_in = hand_in_results(shop, deal, &delivery.results, heard);
    shop.gateway.while_saying(deal, Phase::Delivering, every, handing_in).await?;
    let (reports, last) = shares(&delivery.results);
    for results in reports {
        match report::send(shop, deal, results.to_vec()).await? {
            ReportAnswer::Counted => *heard = Instant::now(),
            ReportAnswer::NotYet => return Ok(CountersignAnswer::NotYet),
            ReportAnswer::Refused { why } => return Ok(CountersignAnswer::Refused { why }),
        }
    }
    let root = it.last.as_ref().map_or(B256::ZERO, |(receipt, _)| receipt.document.meter);
    let count = usize::try_from(delivery.meter.count()).unwrap_or(usize::MAX);
    let mut tally = Tally::new(it.samples.iter().take(count).copied().collect(), root);
    let answer = ask(shop, delivery, last, &tally).await?;
    let CountersignAnswer::Behind { samples } = answer else { return Ok(answer) };
    *heard = Instant::now();
    tally.agree_on(samples);
    ask(shop, delivery, last, &tally).await
}

/// Results in reports of their own, and those that go with the receipt.
fn shares(results: &[Reported]) -> (impl Iterator<Item = &[Reported]>, &[Reported]) {
    let first = results.len().saturating_sub(MOST_RESULTS);
    let (first, last) = results.split_at(first);
    (first.chunks(MOST_RESULTS), last)
}

/// Hand in what tasks left and printed.
async fn hand_in_results(
    shop: &Workshop,
    deal: DealId,
    results: &[Reported],
    heard: &mut Instant,
) -> Result<(), Error> {
    let outputs: BTreeSet<Digest> = results.iter().map(|it| it.result.output).collect();
    if outputs.iter().any(|output| *output != Digest::default()) {
        shop.gateway.tell(deal, Phase::Delivering);
        outputs::hand_in(shop, deal, outputs, heard).await?;
    }
    let printing = async {
        for results in results.chunks(PRINTED_AT_ONCE) {
            join_all(results.iter().map(|it| print_rest(shop, deal, &it.result))).await;
        }
    };
    let most = shop.config.policy.patience.duration();
    // What cannot be printed by then never will be; the receipt does not depend on it.
    drop(tokio::time::timeout(most, printing).await);
    Ok(())
}

async fn print_rest(shop: &Workshop, deal: DealId, result: &TaskResult) {
    let printer = Printer { deal, task: result.task, epoch: result.epoch };
    if let Err(error) = print::follow_rest(shop, printer).await {
        tracing::debug!(error = story(&error), "what a run printed cannot be read");
    }
}

async fn ask(
    shop: &Workshop,
    delivery: &Delivery,
    results: &[Reported],
    tally: &Tally,
) -> Result<CountersignAnswer, Error> {
    let question = ToGateway::Countersign(Box::new(Countersign {
        receipt: delivery.receipt.clone(),
        samples_before: tally.agreed(),
        samples: tally.since().to_vec(),
        results: results.to_vec(),
        ending: delivery.ending.clone(),
    }));
    shop.gateway.ask("having the terminal receipt co-signed", &question, Body::Empty, PROMPT).await
}

fn is_renters(shop: &Workshop, it: &Ended, delivery: &Delivery, signature: &Signature) -> bool {
    let digest = delivery.receipt.document.digest(&shop.world.settlement.escrow());
    signature.is_by(it.agreement.terms.document.renter_key, digest)
}
