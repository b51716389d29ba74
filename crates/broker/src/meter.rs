//! Running -> Delivered: receipts are co-signed at every interval until the terminal one.
//!
//! Upon entering: tell the provider what was handed over since. Upon results: they count once they are
//! written down. Upon a running receipt: check it against the last one, the samples and our own time; write it
//! down with our signature; answer. Upon a receipt over other samples than our meter covers: say how
//! many it covers. Upon a terminal receipt: delivered. Upon a stop: tell the provider, again until it
//! is taken, and sign nothing but an end from then on. Upon silence beyond `grace` and two intervals
//! (after a stop, `grace`), upon the deal's expiry, or upon the chain ending the deal: failed, and the
//! exits decide.

use std::{pin::pin, time::Duration};

use market::{
    DealFact, Meter,
    fact::{Agreement, Countersigned, Delivery, Opening, Submission},
    message::{Countersign, CountersignAnswer, ReportAnswer},
    stage::Running,
    task::{Load, Reported},
};
use primitives::{Sample, Seconds, Signature};
use tokio::{sync::oneshot, time::Instant};
use verification::{Doubt, Evidence, Own, in_order};

use crate::{
    ask::answer_later,
    error::Error,
    line::{Answer, Inbound, Inbox, Stride},
    outside::Outlook,
    tell::{Heard, Orders, Told},
    world::{TICK, World},
};

/// The shortest time between two co-signed receipts.
const SHORTEST: Duration = Duration::from_secs(1);

pub(crate) async fn collect(
    world: &World,
    wanted: &Submission,
    it: &Running,
    inbox: &mut Inbox,
    told: &mut Told,
) -> Result<Stride, Error> {
    let agreement = &it.agreement;
    let terms = &agreement.terms.document;
    let patience = match it.stop {
        Some(_) => world.rules.grace,
        None => world.allowed_silence(),
    };
    let entered = Instant::now();
    let mut heard = entered;
    let mut outlook = Outlook::new(agreement.deal);
    let orders = Orders { agreement, load: &it.load, stop: it.stop.is_some() };
    let mut telling = pin!(told.tell(world, wanted, orders));
    let mut is_told = false;
    loop {
        if let Some(why) = outlook.ended(world).await? {
            return Ok(Stride::failed(why));
        }
        if heard.elapsed() > patience.duration() {
            return Ok(Stride::failed(match &it.stop {
                Some(why) => why.clone(),
                None => "the provider fell silent".to_owned(),
            }));
        }
        if world.seen_time() >= terms.expiry.plus(terms.grace) {
            return Ok(Stride::failed("the work went on beyond the deal's expiry"));
        }
        let message = tokio::select! {
            biased;
            message = inbox.recv() => message,
            said = &mut telling, if !is_told => {
                is_told = true;
                match said? {
                    // The work it has goes on; what it will not take goes to the next deal.
                    Heard::Refused(why) if it.stop.is_none() => {
                        return Ok(Stride::of(DealFact::StopAsked {
                            why: format!("the provider refused more work: {why}"),
                        }));
                    }
                    Heard::Refused(_) | Heard::Everything => continue,
                }
            },
            () = tokio::time::sleep(TICK) => None,
        };
        let Some(message) = message else { continue };
        match message {
            // After a stop only an end is signed.
            Inbound::Countersign(ask, asker)
                if it.stop.is_some() && !ask.receipt.document.outcome.is_terminal() =>
            {
                drop(asker.send(CountersignAnswer::NotYet));
            }
            // Faster than this no provider needs signatures, and each is a fact in the journal.
            Inbound::Countersign(ask, asker)
                if entered.elapsed() < SHORTEST
                    && !ask.receipt.document.outcome.is_terminal()
                    && ask.receipt != it.last.receipt =>
            {
                drop(asker.send(CountersignAnswer::NotYet));
            }
            Inbound::Countersign(ask, asker) => {
                let held = Held::of(world, wanted, agreement, it.opening, Some(&it.last));
                if let Some(stride) = receive(world, &held, *ask, asker) {
                    return Ok(stride);
                }
            }
            Inbound::Report(results, asker) => {
                if let Some(stride) = count(&it.load, results, asker) {
                    return Ok(stride);
                }
            }
            Inbound::Stop(why, asker) if it.stop.is_none() => return Ok(Stride::stop(why, asker)),
            // A sign of life while much is handed in; it does not undo a stop.
            Inbound::Progress(_) if it.stop.is_none() => heard = Instant::now(),
            other => answer_later(other),
        }
    }
}

/// Decide on results. Those that count become a stride; anything else is answered here.
pub(crate) fn count(
    load: &Load,
    results: Vec<Reported>,
    asker: oneshot::Sender<ReportAnswer>,
) -> Option<Stride> {
    let is_ours = |it: &Reported| load.epoch(it.result.task) == Some(it.result.epoch);
    let is_known =
        |it: &Reported| load.outcome(it.result.task).is_some_and(|known| known.result == it.result);
    let is_new = |it: &Reported| is_ours(it) && load.outcome(it.result.task).is_none();
    if !results.iter().all(|it| is_known(it) || is_new(it)) {
        let why = "a result is of a task that was not handed over, or contradicts an earlier one";
        drop(asker.send(ReportAnswer::Refused { why: why.to_owned() }));
        return None;
    }
    let results: Vec<Reported> = results.into_iter().filter(|it| is_new(it)).collect();
    if results.is_empty() {
        drop(asker.send(ReportAnswer::Counted));
        return None;
    }
    Some(Stride::answering(DealFact::Reported { results }, Answer::Counted(asker)))
}

/// What the renter's side holds when a receipt comes.
pub(crate) struct Held<'a> {
    agreement: &'a Agreement,
    time_limit: Seconds,
    last: Option<&'a Countersigned>,
    own: Own,
}

impl<'a> Held<'a> {
    /// What is known now of a deal that was opened so, of whose receipts `last` is co-signed.
    pub(crate) fn of(
        world: &World,
        wanted: &Submission,
        agreement: &'a Agreement,
        opening: Opening,
        last: Option<&'a Countersigned>,
    ) -> Self {
        let (deal, now) = (agreement.deal, world.clock.monotonic());
        let since_open = world.seen_time().since(opening.at);
        // Before the first receipt nothing is known of readiness but that silence is bounded.
        let unheard = since_open.min(world.allowed_silence());
        let since_ready = Some(world.ready.since(deal, now).unwrap_or(unheard));
        let own = Own { since_ready, since_open };
        Self { agreement, time_limit: wanted.order.document.time_limit, last, own }
    }
}

/// Decide on a receipt. What can be signed or delivered becomes a stride; anything else is
/// answered here.
pub(crate) fn receive(
    world: &World,
    held: &Held<'_>,
    ask: Countersign,
    asker: oneshot::Sender<CountersignAnswer>,
) -> Option<Stride> {
    let before = held.last.map(|last| last.meter.clone()).unwrap_or_default();
    if held.last.is_some_and(|last| last.receipt == ask.receipt) {
        let signature = held.last.map(|last| last.renter)?;
        drop(asker.send(CountersignAnswer::Signed { signature }));
        return None;
    }
    if ask.samples_before != before.count() {
        drop(asker.send(CountersignAnswer::Behind { samples: before.count() }));
        return None;
    }
    let meter = before.extended(&ask.samples);
    if held.last.is_none() {
        let most = held.own.since_ready.unwrap_or_default();
        let had_run = ask.receipt.document.seconds.min(most);
        world.ready.note(held.agreement.deal, world.clock.monotonic(), had_run);
    }
    let newest = held.last.and_then(|last| last.sample);
    let samples: Vec<Sample> = newest.into_iter().chain(ask.samples.iter().copied()).collect();
    if !in_order(&samples) {
        let why = Doubt::WrongSamples.to_string();
        drop(asker.send(CountersignAnswer::Refused { why }));
        return None;
    }
    if ask.receipt.document.outcome.is_terminal() {
        let delivery =
            Delivery { receipt: ask.receipt, results: ask.results, ending: ask.ending, meter };
        let fact = DealFact::Delivered(Box::new(delivery));
        return Some(Stride::answering(fact, Answer::AtVerdict(asker)));
    }
    match countersign(world, held, &ask, &meter) {
        Ok(renter) => {
            let sample = samples.last().copied();
            let countersigned = Countersigned { receipt: ask.receipt, renter, meter, sample };
            let answer = CountersignAnswer::Signed { signature: renter };
            let fact = DealFact::Countersigned(Box::new(countersigned));
            Some(Stride::answering(fact, Answer::Countersigned(asker, answer)))
        }
        Err(doubt) => {
            tracing::warn!(deal = %held.agreement.deal, %doubt, "a receipt was not signed");
            drop(asker.send(CountersignAnswer::Refused { why: doubt.to_string() }));
            None
        }
    }
}

fn countersign(
    world: &World,
    held: &Held<'_>,
    ask: &Countersign,
    meter: &Meter,
) -> Result<Signature, Doubt> {
    let escrow = world.escrow();
    let terms = &held.agreement.terms.document;
    let evidence = Evidence {
        escrow: &escrow,
        deal: held.agreement.deal,
        terms,
        locked: terms.cap,
        time_limit: held.time_limit,
        last: held.last.map(|last| &last.receipt.document),
        receipt: &ask.receipt,
        meter,
        samples: &ask.samples,
        own: held.own,
    };
    verification::running(&evidence, &world.rules)?;
    Ok(world.signer.sign(ask.receipt.document.digest(&escrow)))
}
