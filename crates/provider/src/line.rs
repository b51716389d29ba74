//! What the line of a lease is made of: a stage and the number of its next fact.
//!
//! Upon a stride: its facts are appended together with full durability, move the stage on, are
//! shown, and only then is whoever waits for them answered. The highest fence seen is written down
//! with them, so that it holds after a restart; a stride without a fact writes the fence alone.

use market::{LeaseFact, LeaseStage, fact::Agreement, message::CommandAnswer};
use primitives::{DealId, UnixSeconds};
use serde::{Deserialize, Serialize};
use store::{Appended, Batch, Log};

use crate::{error::Error, inbox::Answer, view::Earned, world::Workshop};

/// The streams of leases in the journal.
const LEASES: &str = "lease/";

/// One step of a lease: what happened, in order, and who hears `Taken` once it is written down.
pub(crate) struct Stride {
    pub(crate) facts: Vec<LeaseFact>,
    pub(crate) answer: Option<Answer>,
}

/// A lease as its facts make it.
pub(crate) struct Line {
    pub(crate) stage: LeaseStage,
    next: u64,
    /// The highest fence that the journal shows.
    fence: u64,
    /// When it was seen to be settled.
    settled_at: UnixSeconds,
}

/// A fact, or a fence alone, as the journal keeps it.
#[derive(Serialize, Deserialize)]
struct Written<F = LeaseFact> {
    at: UnixSeconds,
    /// The highest fence seen by then.
    #[serde(default)]
    fence: u64,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    fact: Option<F>,
}

impl Stride {
    /// A fact nobody waits for.
    pub(crate) fn of(fact: LeaseFact) -> Self {
        Self { facts: vec![fact], answer: None }
    }

    /// Facts nobody waits for, written down together.
    pub(crate) fn all(facts: impl Into<Vec<LeaseFact>>) -> Self {
        Self { facts: facts.into(), answer: None }
    }

    /// Nothing happened but a command that raised the fence.
    pub(crate) fn fence(answer: Answer) -> Self {
        Self { facts: Vec::new(), answer: Some(answer) }
    }
}

impl Line {
    /// Begin a line with a firm bid. The bid's signature is durable when this returns.
    pub(crate) async fn begin(shop: &Workshop, agreement: Agreement) -> Result<Self, Error> {
        let fact = LeaseFact::Bid(Box::new(agreement.clone()));
        append(shop, agreement.deal, 0, 0, &[fact]).await?;
        Ok(Self {
            stage: LeaseStage::Offered(Box::new(agreement)),
            next: 1,
            fence: 0,
            settled_at: UnixSeconds(0),
        })
    }

    /// Every line in the journal.
    pub(crate) async fn replay_all(log: &dyn Log) -> Result<Vec<Self>, Error> {
        let streams = log.streams(LEASES).await;
        let streams = streams.map_err(|source| Error::Store {
            operation: "listing leases in the journal",
            source,
        })?;
        let mut lines = Vec::new();
        for stream in streams {
            lines.extend(Self::replay(log, &stream.stream).await?);
        }
        Ok(lines)
    }

    /// A line as its journal has it; `None` when there is nothing in it.
    async fn replay(log: &dyn Log, stream: &str) -> Result<Option<Self>, Error> {
        let mut line: Option<Self> = None;
        for (number, Written { at, fence, fact }) in written(log, stream).await? {
            let settles = matches!(fact, Some(LeaseFact::Settled(_)));
            let before = line.as_ref().map_or(UnixSeconds(0), |line| line.settled_at);
            let seen = line.as_ref().map_or(0, |line| line.fence).max(fence).max(told(&fact));
            let stage = match (line, fact) {
                (None, None) => {
                    line = None;
                    continue;
                }
                (None, Some(fact)) => LeaseStage::begin(fact),
                (Some(line), None) => Ok(line.stage),
                (Some(line), Some(fact)) => line.stage.apply(fact),
            };
            let deal = stream.trim_start_matches(LEASES).to_owned();
            let stage = stage.map_err(|source| Error::Journal { deal, source })?;
            let settled_at = if settles { at } else { before };
            line = Some(Self { stage, next: number + 1, fence: seen, settled_at });
        }
        Ok(line)
    }

    /// The facts of a lease, in order.
    pub(crate) async fn facts(log: &dyn Log, deal: DealId) -> Result<Vec<LeaseFact>, Error> {
        let written = written(log, &stream(deal)).await?;
        Ok(written.into_iter().filter_map(|(_, written)| written.fact).collect())
    }

    /// What the journal says, when it is not certain what was written.
    pub(crate) async fn reload(&mut self, shop: &Workshop) -> Result<(), Error> {
        if let Some(line) = Self::replay(shop.world.log.as_ref(), &stream(self.deal())).await? {
            *self = line;
        }
        Ok(())
    }

    /// Write a stride's facts and the highest fence seen down, move on, and give its answer. After
    /// an error the line is to be reloaded.
    pub(crate) async fn take(
        &mut self,
        shop: &Workshop,
        stride: Stride,
        fence: u64,
    ) -> Result<(), Error> {
        let Stride { facts, answer } = stride;
        let (at, next) = append(shop, self.deal(), self.next, fence, &facts).await?;
        for fact in facts {
            self.apply(fact, at)?;
        }
        self.fence = self.fence.max(fence);
        self.next = next;
        self.show(shop);
        if let Some(answer) = answer {
            // Whoever asked may have gone meanwhile; it will ask again.
            drop(answer.send(CommandAnswer::Taken));
        }
        Ok(())
    }

    /// Move on by a fact. What a lease measured may be much, so its stage is moved, not copied.
    fn apply(&mut self, fact: LeaseFact, at: UnixSeconds) -> Result<(), Error> {
        if matches!(fact, LeaseFact::Settled(_)) {
            self.settled_at = at;
        }
        let agreement = Box::new(self.stage.agreement().clone());
        let deal = agreement.deal.to_string();
        let nothing = LeaseStage::Over { agreement, closing: None };
        let stage = std::mem::replace(&mut self.stage, nothing).apply(fact);
        self.stage = stage.map_err(|source| Error::Journal { deal, source })?;
        Ok(())
    }

    /// Show the line as it stands, and count what it earned.
    pub(crate) fn show(&self, shop: &Workshop) {
        let deal = self.deal();
        shop.floor.show(deal, |view| {
            view.stage = self.stage.name().to_owned();
            let last = match &self.stage {
                LeaseStage::Assigned(it) | LeaseStage::Running(it) => it.last.as_ref(),
                LeaseStage::Ended(it) => it.last.as_ref(),
                _ => None,
            };
            if let Some((receipt, _)) = last {
                view.amount = receipt.document.amount;
                view.seconds = view.seconds.max(receipt.document.seconds);
            }
        });
        if let Some(earned) = self.earned() {
            shop.floor.earn(earned);
        }
    }

    /// What it has paid, once it is settled.
    fn earned(&self) -> Option<Earned> {
        let (agreement, closing) = match &self.stage {
            LeaseStage::Settled { agreement, closing } => (agreement, closing),
            LeaseStage::Over { agreement, closing: Some(closing) } => (agreement, closing),
            _ => return None,
        };
        let Agreement { deal, job, .. } = **agreement;
        Some(Earned { deal, job, at: self.settled_at, paid: closing.split.paid })
    }

    pub(crate) fn deal(&self) -> DealId {
        self.stage.agreement().deal
    }

    /// The highest fence that the journal shows.
    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }
}

/// The highest fence that a fact itself carries.
fn told(fact: &Option<LeaseFact>) -> u64 {
    let commands = match fact {
        Some(LeaseFact::Assigned { commands, .. }) => commands.as_slice(),
        _ => &[],
    };
    commands.iter().map(|command| command.document.fence).max().unwrap_or(0)
}

fn stream(deal: DealId) -> String {
    format!("{LEASES}{deal}")
}

/// What a stream holds, each fact with its number.
async fn written(log: &dyn Log, stream: &str) -> Result<Vec<(u64, Written)>, Error> {
    let entries = log.replay(stream, 0).await;
    let entries =
        entries.map_err(|source| Error::Store { operation: "replaying a lease", source })?;
    let read = |entry: store::Entry| {
        let deal = stream.trim_start_matches(LEASES).to_owned();
        serde_json::from_slice(&entry.fact)
            .map(|written| (entry.number, written))
            .map_err(|source| Error::Fact { deal, number: entry.number, source })
    };
    entries.into_iter().map(read).collect()
}

/// Append facts, or without one the fence alone; when that was, and the number that comes next.
async fn append(
    shop: &Workshop,
    deal: DealId,
    next: u64,
    fence: u64,
    facts: &[LeaseFact],
) -> Result<(UnixSeconds, u64), Error> {
    let at = shop.world.clock.now();
    let write = |fact| {
        let written = Written { at, fence, fact };
        serde_json::to_vec(&written).expect("plain data with string keys serialises")
    };
    let written: Vec<Vec<u8>> = match facts {
        [] => vec![write(None)],
        facts => facts.iter().map(|fact| write(Some(fact))).collect(),
    };
    let after = next + written.len() as u64;
    match shop.world.log.append(Batch::to(stream(deal), next, written)).await {
        Ok(Appended::Stored { .. }) => Ok((at, after)),
        Ok(Appended::Conflict { .. }) => Err(Error::Shared { deal }),
        Err(source) => Err(Error::Store { operation: "writing to the journal of a lease", source }),
    }
}
