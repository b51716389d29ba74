//! Ended -> Settled: the work is handed in, and what is due is collected.
//!
//! Upon entering, at the same time: everything the run left and printed goes to the gateway, then
//! the terminal receipt, until the renter key signs it; and the exits are looked at (`exits`). Upon
//! the signature: it is written down, and settling needs nobody else. Upon a refusal, or silence
//! beyond our patience: the renter's side is given up, and the exits decide.
//!
//! Invariant: at most one terminal receipt per deal, durable before it leaves.

use std::{pin::pin, time::Duration};

use market::{
    LeaseFact,
    fact::Delivery,
    message::{CommandAnswer, Countersign, CountersignAnswer, Output, Phase, ToGateway},
    stage::Ended,
    task::TaskResult,
};
use net::Body;
use primitives::{B256, DealId, Digest, Sample, Signature};
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, story},
    exits::{self, unsigned},
    gateway::PROMPT,
    inbox::Inbox,
    line::Stride,
    outputs, print,
    tally::Tally,
    world::{AGAIN, Workshop},
};

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

/// One attempt: outputs, then the rest of what was printed, then the receipt.
async fn attempt(
    shop: &Workshop,
    it: &Ended,
    delivery: &Delivery,
    heard: &mut Instant,
) -> Result<CountersignAnswer, Error> {
    let (deal, every) = (it.agreement.deal, shop.sign_of_life());
    for result in &delivery.results {
        let handing_in = hand_in_result(shop, deal, result, heard);
        shop.gateway.while_saying(deal, Phase::Delivering, every, handing_in).await?;
    }
    let samples = samples(shop, it).await?;
    let last = it.last.as_ref().map_or(B256::ZERO, |(receipt, _)| receipt.document.meter);
    let mut tally = Tally::new(samples, last);
    let answer = ask(shop, delivery, tally.agreed(), tally.since()).await?;
    let CountersignAnswer::Behind { samples } = answer else { return Ok(answer) };
    *heard = Instant::now();
    tally.agree_on(samples);
    // Where ours are lost, the receipt stands on those that the gateway has.
    let before = if tally.count() == 0 { samples } else { tally.agreed() };
    ask(shop, delivery, before, tally.since()).await
}

/// Hand in what a task left and printed.
async fn hand_in_result(
    shop: &Workshop,
    deal: DealId,
    result: &TaskResult,
    heard: &mut Instant,
) -> Result<(), Error> {
    if result.output != Digest::default() {
        shop.gateway.tell(deal, Phase::Delivering);
        outputs::hand_in(shop, deal, result.output, heard).await?;
    }
    let printing = [Output::Stdout, Output::Stderr]
        .map(|output| print::follow(shop, deal, result.task, output));
    let most = shop.config.policy.patience.duration();
    // What cannot be printed by then never will be; the receipt does not depend on it.
    drop(tokio::time::timeout(most, futures::future::join_all(printing)).await);
    Ok(())
}

async fn ask(
    shop: &Workshop,
    delivery: &Delivery,
    samples_before: u64,
    samples: &[Sample],
) -> Result<CountersignAnswer, Error> {
    let question = ToGateway::Countersign(Box::new(Countersign {
        receipt: delivery.receipt.clone(),
        samples_before,
        samples: samples.to_vec(),
        results: delivery.results.clone(),
        ending: delivery.ending.clone(),
    }));
    shop.gateway.ask("having the terminal receipt co-signed", &question, Body::Empty, PROMPT).await
}

/// The samples under the terminal receipt's meter.
async fn samples(shop: &Workshop, it: &Ended) -> Result<Vec<Sample>, Error> {
    let failed = |source| Error::Sandbox { operation: "reading samples", source };
    let count = it.delivery.as_ref().map_or(0, |delivery| delivery.meter.count());
    if count == 0 {
        return Ok(Vec::new());
    }
    let folder = shop.folder(it.agreement.deal);
    let found = shop.world.runtime.adopt(folder.path()).await.map_err(failed)?;
    let Some(run) = found else { return Ok(Vec::new()) };
    let beats = run.samples(0).await.map_err(failed)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Ok(beats.into_iter().take(count).map(|beat| beat.sample).collect())
}

fn is_renters(shop: &Workshop, it: &Ended, delivery: &Delivery, signature: &Signature) -> bool {
    let digest = delivery.receipt.document.digest(&shop.world.settlement.escrow());
    signature.is_by(it.agreement.terms.document.renter_key, digest)
}
