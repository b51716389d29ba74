//! Open -> Running: the provider is told what to run until it says that it does.
//!
//! Upon entering: send the signed assignment, again until it is taken. Upon a stop: send the signed
//! stop instead. Upon the first receipt: the work is ready, metering begins. Upon a terminal
//! receipt: it ended before it began, or at once. Upon the chain ending the deal, the provider's
//! refusal, or silence beyond the preparation time: the deal failed and is settled by the exits.

use market::{
    DealFact,
    document::{Act, Command},
    fact::Submission,
    message::{Assignment, CommandAnswer, Instruction},
    stage::Open,
};
use primitives::{Epoch, TaskIndex};
use tokio::time::Instant;

use crate::{
    ask::{self, answer_later},
    error::Error,
    line::{Inbound, Inbox, Stride},
    meter::{self, Held},
    outside::{Outlook, tell_stop},
    world::{AGAIN, TICK, World},
};

pub(crate) async fn start(
    world: &World,
    wanted: &Submission,
    it: &Open,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let agreement = &it.agreement;
    let entered = Instant::now();
    let mut outlook = Outlook::new(agreement.deal);
    let mut taken = false;
    loop {
        if !taken {
            match tell(world, wanted, it).await {
                Ok(CommandAnswer::Taken) => taken = true,
                Ok(CommandAnswer::NotYet) | Err(Error::Peer { .. } | Error::Silent { .. }) => {}
                Ok(CommandAnswer::Refused { why }) => {
                    return Ok(Stride::failed(format!("the provider refused the work: {why}")));
                }
                Err(error) => return Err(error),
            }
        }
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
        let pause = if taken { TICK } else { AGAIN };
        let Ok(Some(message)) = tokio::time::timeout(pause, inbox.recv()).await else { continue };
        match message {
            Inbound::Countersign(ask, asker) => {
                let held = Held::of(world, wanted, agreement, it.opening, None);
                if let Some(stride) = meter::receive(world, &held, *ask, asker) {
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

async fn tell(world: &World, wanted: &Submission, it: &Open) -> Result<CommandAnswer, Error> {
    if it.stop.is_some() {
        return tell_stop(world, &it.agreement).await;
    }
    let spec = wanted.order.document.spec;
    let act = Act::Assign { task: TaskIndex(0), epoch: Epoch(1), spec };
    let command = Command { deal: it.agreement.deal, fence: world.fence, act };
    let instruction = Instruction {
        command: command.signed(&world.plaza(), &world.signer),
        assignment: Some(Assignment { work: wanted.work.clone(), salt: wanted.salt }),
    };
    ask::command(world, &it.agreement.peer, instruction).await
}
