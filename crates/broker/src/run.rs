//! Open -> Running: the provider is told what to run until it says that it does.
//!
//! Upon entering: send the signed assignments, again until they are taken. Upon a stop: send the
//! signed stop instead. Upon the first receipt: the work is ready, metering begins. Upon results: they
//! count; what cannot start has a result too. Upon a terminal receipt: it ended before it began, or at
//! once. Upon the chain ending the deal, the provider's refusal, or silence beyond the preparation
//! time: the deal failed and is settled by the exits.

use std::pin::pin;

use market::{DealFact, fact::Submission, stage::Open};
use tokio::time::Instant;

use crate::{
    ask::answer_later,
    error::Error,
    line::{Inbound, Inbox, Stride},
    meter::{self, Held},
    outside::Outlook,
    tell::{Heard, Orders, Told},
    world::{TICK, World},
};

pub(crate) async fn start(
    world: &World,
    wanted: &Submission,
    it: &Open,
    inbox: &mut Inbox,
    told: &mut Told,
) -> Result<Stride, Error> {
    let agreement = &it.agreement;
    let entered = Instant::now();
    let mut outlook = Outlook::new(agreement.deal);
    let orders = Orders { agreement, load: &it.load, stop: it.stop.is_some() };
    let mut telling = pin!(told.tell(world, wanted, orders));
    let mut is_told = false;
    loop {
        if let Some(why) = outlook.ended(world).await? {
            return Ok(Stride::failed(why));
        }
        let late = match &it.stop {
            Some(why) if entered.elapsed() > world.rules.grace.duration() => Some(why.clone()),
            _ if world.seen_time().since(it.opening.at) > world.rules.preparation => {
                Some(format!("the provider was not ready within {}", world.rules.preparation))
            }
            _ => None,
        };
        if let Some(why) = late {
            return Ok(Stride::failed(why));
        }
        let message = tokio::select! {
            biased;
            message = inbox.recv() => message,
            heard = &mut telling, if !is_told => match heard? {
                Heard::Everything => {
                    is_told = true;
                    continue;
                }
                Heard::Refused(why) => {
                    return Ok(Stride::failed(format!("the provider refused the work: {why}")));
                }
            },
            () = tokio::time::sleep(TICK) => None,
        };
        let Some(message) = message else { continue };
        match message {
            Inbound::Countersign(ask, asker) => {
                let held = Held::of(world, wanted, agreement, it.opening, None);
                if let Some(stride) = meter::receive(world, &held, *ask, asker) {
                    return Ok(stride);
                }
            }
            Inbound::Report(results, asker) => {
                if let Some(stride) = meter::count(&it.load, results, asker) {
                    return Ok(stride);
                }
            }
            Inbound::Progress(phase) if it.phase != Some(phase) => {
                return Ok(Stride::of(DealFact::Progressed { phase }));
            }
            Inbound::Stop(why, asker) if it.stop.is_none() => return Ok(Stride::stop(why, asker)),
            other => answer_later(other),
        }
    }
}
