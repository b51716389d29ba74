//! Telling a provider what it is to do under a deal.
//!
//! Upon tasks that are written down as handed over: signed assignments, the first of them with the
//! work, and the release with the last. Upon a stop, or a deal that no task is left for: the signed
//! stop. One instruction is under way at a time, and is sent again until the provider takes it;
//! whatever it was told twice it does once.

use std::collections::BTreeSet;

use market::{
    document::{Act, Command},
    fact::{Agreement, Submission},
    message::{Assignment, CommandAnswer, Instruction},
    task::Load,
};
use primitives::TaskIndex;

use crate::{
    ask,
    error::Error,
    world::{AGAIN, World},
};

/// The most commands in one instruction.
const MOST_COMMANDS: usize = 256;

/// What this process has told the provider of one deal.
#[derive(Debug, Default)]
pub(crate) struct Told {
    tasks: BTreeSet<TaskIndex>,
    released: bool,
    stopped: bool,
}

/// What a provider makes of what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It carries it out.
    Everything,
    /// It will not, for this reason.
    Refused(String),
}

/// What a provider is to know of a deal.
#[derive(Clone, Copy)]
pub(crate) struct Orders<'a> {
    pub(crate) agreement: &'a Agreement,
    pub(crate) load: &'a Load,
    /// Whether the renter's side wants it ended.
    pub(crate) stop: bool,
}

impl Orders<'_> {
    /// Whether the provider is to end now: it was asked to, or nothing will ever be run.
    fn ends(&self) -> bool {
        self.stop || (self.load.released && self.load.assigned().next().is_none())
    }
}

impl Told {
    /// Tell the provider what it does not know yet; ends when it knows everything, or will not hear
    /// of it.
    pub(crate) async fn tell(
        &mut self,
        world: &World,
        wanted: &Submission,
        orders: Orders<'_>,
    ) -> Result<Heard, Error> {
        while let Some(acts) = self.next(wanted, orders) {
            let instruction = self.instruction(world, wanted, orders, &acts);
            match ask::command(world, &orders.agreement.peer, instruction).await {
                Ok(CommandAnswer::Taken) => self.note(&acts),
                Ok(CommandAnswer::Refused { why }) => return Ok(Heard::Refused(why)),
                Ok(CommandAnswer::NotYet) | Err(Error::Peer { .. } | Error::Silent { .. }) => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Heard::Everything)
    }

    /// What to say next, in order; `None` when everything is said.
    fn next(&self, wanted: &Submission, orders: Orders<'_>) -> Option<Vec<Act>> {
        if orders.ends() {
            return (!self.stopped).then(|| vec![Act::Stop]);
        }
        let spec = wanted.order.document.spec;
        let untold = orders.load.outstanding().filter(|(task, _)| !self.tasks.contains(task));
        let untold: Vec<_> = untold.collect();
        let assign = |(task, epoch)| Act::Assign { task, epoch, spec };
        let mut acts: Vec<Act> = untold.iter().copied().take(MOST_COMMANDS).map(assign).collect();
        if orders.load.released && !self.released && untold.len() <= MOST_COMMANDS {
            acts.push(Act::Release);
        }
        (!acts.is_empty()).then_some(acts)
    }

    fn instruction(
        &self,
        world: &World,
        wanted: &Submission,
        orders: Orders<'_>,
        acts: &[Act],
    ) -> Instruction {
        let (deal, fence) = (orders.agreement.deal, world.fence);
        let signed =
            |act: &Act| Command { deal, fence, act: *act }.signed(&world.plaza(), &world.signer);
        let first = self.tasks.is_empty() && matches!(acts.first(), Some(Act::Assign { .. }));
        let assignment = first.then(|| Assignment { work: wanted.work.clone(), salt: wanted.salt });
        Instruction { commands: acts.iter().map(signed).collect(), assignment }
    }

    fn note(&mut self, acts: &[Act]) {
        for act in acts {
            match act {
                Act::Assign { task, .. } => drop(self.tasks.insert(*task)),
                Act::Release => self.released = true,
                Act::Stop => self.stopped = true,
            }
        }
    }
}
