//! What outsiders see of jobs, deals and offers: plain copies of the present stages.

use std::collections::BTreeMap;

use market::{
    DealStage, JobStage, Offer, Signed,
    document::Receipt,
    fact::{Agreement, Closing, Conclusion, Countersigned, Delivery, Opening, Submission},
    message::Phase,
    task::{Load, Reported},
};
use primitives::{
    Address, Amount, DealId, Digest, Epoch, JobId, Signature, TaskIndex, UnixSeconds,
};
use serde::Serialize;

/// A job as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// `submitted`, `placed`, `working` or `done`.
    pub state: &'static str,
    /// When its order was accepted.
    pub since: UnixSeconds,
    /// The order and its content.
    pub submission: Submission,
    /// Whether the renter asked to end it.
    pub stopping: bool,
    /// Its deals, in the order in which they were chosen.
    pub deals: Vec<DealView>,
    /// How its tasks stand.
    pub tasks: TaskCounts,
    /// How it ended, once it is done.
    pub conclusion: Option<Conclusion>,
}

/// How many tasks of a job stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskCounts {
    /// All of them.
    pub all: u32,
    /// Handed to a provider, without a result yet.
    pub handed: u32,
    /// With a result that counts, whatever it is.
    pub done: u32,
    /// Of those, with an exit code that is not zero.
    pub failed: u32,
}

/// What came of a task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskView {
    /// Which task of the job.
    pub task: TaskIndex,
    /// The deal that carried it.
    pub deal: DealId,
    /// Who ran it.
    pub provider: Address,
    /// Which attempt at it.
    pub epoch: Epoch,
    /// What came of it, once it has a result that counts.
    pub outcome: Option<Reported>,
}

/// A deal as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct DealView {
    /// `chosen`, `signed`, `open`, `running`, `delivered`, `judged`, `settled` or `void`.
    pub state: &'static str,
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened, once it is.
    pub opening: Option<Opening>,
    /// What the provider last said it does before readiness.
    pub phase: Option<Phase>,
    /// The last running receipt with both signatures.
    pub last: Option<Countersigned>,
    /// How many tasks it was handed, and how many of them have a result.
    pub assigned: u32,
    /// See `assigned`.
    pub reported: u32,
    /// What the provider handed in at the end.
    pub delivery: Option<Delivery>,
    /// The renter key's signature over the terminal receipt, if it is to be paid.
    pub signature: Option<Signature>,
    /// Why it is not paid in full, or ended before it began.
    pub problem: Option<String>,
    /// How the chain settled it.
    pub closing: Option<Closing>,
}

/// An offer in the book.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The offer's digest: how quotes and deals name it.
    pub digest: Digest,
    /// The offer and the provider key's signature.
    pub offer: Signed<Offer>,
    /// Whether its provider is connected to this gateway now.
    pub connected: bool,
}

impl JobView {
    pub(crate) fn of(
        id: JobId,
        since: UnixSeconds,
        stage: &JobStage,
        deals: &[&DealStage],
    ) -> Self {
        let conclusion = match stage {
            JobStage::Done { conclusion, .. } => Some(conclusion.as_ref().clone()),
            _ => None,
        };
        Self {
            id,
            state: stage.name(),
            since,
            submission: stage.submission().clone(),
            stopping: stage.stop_asked() || deals.iter().any(|deal| deal.stop().is_some()),
            deals: deals.iter().map(|deal| DealView::of(deal)).collect(),
            tasks: TaskCounts::of(stage.submission().work.tasks(), deals),
            conclusion,
        }
    }

    /// The deal that says most about the job: the last that was opened, else the last.
    pub fn deal(&self) -> Option<&DealView> {
        let opened = self.deals.iter().rev().find(|deal| deal.opening.is_some());
        opened.or(self.deals.last())
    }
}

impl TaskCounts {
    fn of(all: u32, deals: &[&DealStage]) -> Self {
        let mut counts = Self { all, ..Self::default() };
        for outcome in task_views(deals).into_values().map(|view| view.outcome) {
            match outcome {
                Some(reported) => {
                    counts.done += 1;
                    counts.failed += u32::from(reported.result.exit_code != 0);
                }
                None => counts.handed += 1,
            }
        }
        counts
    }
}

/// The newest attempt at each task that was handed to a provider.
pub(crate) fn task_views(deals: &[&DealStage]) -> BTreeMap<TaskIndex, TaskView> {
    let mut views: BTreeMap<TaskIndex, TaskView> = BTreeMap::new();
    for deal in deals {
        let provider = deal.terms().provider;
        for (task, epoch) in deal.load().into_iter().flat_map(Load::assigned) {
            if views.get(&task).is_none_or(|known| known.epoch <= epoch) {
                let view = TaskView { task, deal: deal.id(), provider, epoch, outcome: None };
                views.insert(task, view);
            }
        }
        for reported in deal.counting() {
            if let Some(view) = views.get_mut(&reported.result.task)
                && view.epoch == reported.result.epoch
            {
                view.outcome = Some(reported.clone());
            }
        }
    }
    views
}

impl DealView {
    pub(crate) fn of(stage: &DealStage) -> Self {
        let (opening, phase, signature, problem, closing) = match stage {
            DealStage::Chosen(_) | DealStage::Signed(_) => (None, None, None, None, None),
            DealStage::Open(it) => (Some(it.opening), it.phase, None, it.stop.clone(), None),
            DealStage::Running(it) => (Some(it.opening), None, None, it.stop.clone(), None),
            DealStage::Delivered(it) => (Some(it.opening), None, None, None, None),
            DealStage::Judged(it) => {
                (Some(it.opening), None, it.signature, refusal(&it.verdict), None)
            }
            DealStage::Settled(it) => {
                (Some(it.opening), None, it.signature, refusal(&it.verdict), Some(it.closing))
            }
            DealStage::Void { why, .. } => (None, None, None, Some(why.clone()), None),
        };
        Self {
            state: stage.name(),
            agreement: stage.agreement().clone(),
            opening,
            phase,
            last: stage.last().cloned(),
            assigned: count(stage.load().map_or(0, |load| load.assigned().count())),
            reported: count(stage.load().map_or(0, |load| load.reported().count())),
            delivery: stage.delivery().cloned(),
            signature,
            problem,
            closing,
        }
    }

    /// The newest receipt, co-signed or handed in: what the work costs as far as is known.
    pub fn newest_receipt(&self) -> Option<&Receipt> {
        let delivered = self.delivery.as_ref().map(|delivery| &delivery.receipt.document);
        delivered.or(self.last.as_ref().map(|last| &last.receipt.document))
    }

    /// What it costs so far: the charge once settled, else the newest receipt's amount.
    pub fn cost(&self) -> Amount {
        match (&self.closing, self.newest_receipt()) {
            (Some(closing), _) => closing.split.charge(),
            (None, Some(receipt)) => receipt.amount,
            (None, None) => Amount::ZERO,
        }
    }
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

fn refusal(verdict: &market::Verdict) -> Option<String> {
    match verdict {
        market::Verdict::Pay => None,
        market::Verdict::Refuse { why } => Some(why.clone()),
    }
}
