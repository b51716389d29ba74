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
    meter, outside,
    world::{AGAIN, TICK, World},
};

pub(crate) async fn start(
    world: &World,
    wanted: &Submission,
    it: &Open,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let agreement = &it.agreement;
    let silent_from = Instant::now();
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
        if let Some(why) = outside::ended(world, agreement.deal).await? {
            return Ok(Stride::failed(why));
        }
        let patience = match it.stop {
            Some(_) => world.rules.grace,
            None => world.rules.preparation,
        };
        if silent_from.elapsed() > patience.duration() {
            let why = it.stop.clone().unwrap_or_else(|| {
                format!("the provider was not ready within {}", world.rules.preparation)
            });
            return Ok(Stride::failed(why));
        }
        let pause = if taken { TICK } else { AGAIN };
        let Ok(Some(message)) = tokio::time::timeout(pause, inbox.recv()).await else { continue };
        match message {
            Inbound::Countersign(ask, asker) => {
                let time = world.time().await.map_err(Error::chain)?;
                let since_open = time.since(it.opening.at);
                let held = meter::Held {
                    agreement,
                    time_limit: wanted.work.time_limit,
                    last: None,
                    since_ready: None,
                    since_open,
                };
                if let Some(stride) = meter::receive(world, &held, *ask, asker) {
                    return Ok(stride);
                }
            }
            Inbound::Progress(phase) => return Ok(Stride::of(DealFact::Progressed { phase })),
            Inbound::Stop(why) if it.stop.is_none() => {
                return Ok(Stride::of(DealFact::StopAsked { why }));
            }
            other => answer_later(other),
        }
    }
}

async fn tell(world: &World, wanted: &Submission, it: &Open) -> Result<CommandAnswer, Error> {
    if it.stop.is_some() {
        return outside::tell_stop(world, &it.agreement).await;
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
