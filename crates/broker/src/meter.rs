//! Running -> Delivered: receipts are co-signed at every interval until the terminal one.
//!
//! Upon a running receipt: check it against the last one, the samples and our own time; write it
//! down with our signature; answer. Upon a receipt over other samples than our meter covers: say how
//! many it covers. Upon a terminal receipt whose outputs are here: delivered. Upon a stop: tell the
//! provider, again until it is taken. Upon silence beyond `grace` and two intervals, or upon the
//! chain ending the deal: failed, and the exits decide.

use market::{
    DealFact, Meter,
    fact::{Agreement, Countersigned, Delivery, Submission},
    message::{CommandAnswer, Countersign, CountersignAnswer},
    stage::Running,
};
use primitives::{Seconds, Signature};
use tokio::{sync::oneshot, time::Instant};
use verification::{Doubt, Evidence, Own};

use crate::{
    ask::answer_later,
    error::Error,
    line::{Answer, Inbound, Inbox, Stride},
    outside,
    world::{AGAIN, TICK, World},
};

pub(crate) async fn collect(
    world: &World,
    wanted: &Submission,
    it: &Running,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let agreement = &it.agreement;
    let rules = &world.rules;
    let patience = rules.grace.duration() + 2 * rules.receipt_interval.duration();
    let silent_from = Instant::now();
    let mut stop_taken = it.stop.is_none();
    loop {
        if !stop_taken {
            match outside::tell_stop(world, agreement).await {
                Ok(CommandAnswer::Taken | CommandAnswer::Refused { .. }) => stop_taken = true,
                Ok(CommandAnswer::NotYet) | Err(Error::Peer { .. } | Error::Silent { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(why) = outside::ended(world, agreement.deal).await? {
            return Ok(Stride::failed(why));
        }
        if silent_from.elapsed() > patience {
            return Ok(Stride::failed(match &it.stop {
                Some(why) => why.clone(),
                None => "the provider fell silent".to_owned(),
            }));
        }
        let pause = if stop_taken { TICK } else { AGAIN };
        let Ok(Some(message)) = tokio::time::timeout(pause, inbox.recv()).await else { continue };
        match message {
            Inbound::Countersign(ask, asker) => {
                let time = world.time().await.map_err(Error::chain)?;
                let since_open = time.since(it.opening.at);
                let since_ready = world.ready.since(agreement.deal, world.clock.monotonic());
                let held = Held {
                    agreement,
                    time_limit: wanted.work.time_limit,
                    last: Some(&it.last),
                    since_ready,
                    since_open,
                };
                if let Some(stride) = receive(world, &held, *ask, asker) {
                    return Ok(stride);
                }
            }
            Inbound::Stop(why) if it.stop.is_none() => {
                return Ok(Stride::of(DealFact::StopAsked { why }));
            }
            Inbound::Progress(phase) => return Ok(Stride::of(DealFact::Progressed { phase })),
            other => answer_later(other),
        }
    }
}

/// What the renter's side holds when a receipt comes.
pub(crate) struct Held<'a> {
    pub(crate) agreement: &'a Agreement,
    pub(crate) time_limit: Seconds,
    pub(crate) last: Option<&'a Countersigned>,
    pub(crate) since_ready: Option<Seconds>,
    pub(crate) since_open: Seconds,
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
    if ask.receipt.document.outcome.is_terminal() {
        let delivery =
            Delivery { receipt: ask.receipt, results: ask.results, ending: ask.ending, meter };
        return Some(Stride {
            fact: DealFact::Delivered(Box::new(delivery)),
            answer: Answer::AtVerdict(asker),
        });
    }
    match countersign(world, held, &ask, &meter) {
        Ok(renter) => {
            if held.last.is_none() {
                world.ready.note(held.agreement.deal, world.clock.monotonic());
            }
            let countersigned = Countersigned { receipt: ask.receipt, renter, meter };
            let answer = CountersignAnswer::Signed { signature: renter };
            Some(Stride {
                fact: DealFact::Countersigned(Box::new(countersigned)),
                answer: Answer::Countersigned(asker, answer),
            })
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
        own: Own { since_ready: held.since_ready, since_open: held.since_open },
    };
    verification::running(&evidence, &world.rules)?;
    Ok(world.signer.sign(ask.receipt.document.digest(&escrow)))
}
