//! The board: where every line shows its present stage, and how messages find their line.
//!
//! Invariant: the board holds copies only. What counts is in the journal; the board is rebuilt
//! from it at every start.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use market::{DealStage, JobStage};
use primitives::{DealId, JobId, UnixSeconds};
use tokio::sync::{mpsc, watch};

use crate::{
    line::{DealLine, Inbound, JobLine},
    view::JobView,
};

/// How many messages may wait for one job's lines.
const INBOX: usize = 32;

pub(crate) struct Board {
    shown: Mutex<Shown>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Shown {
    jobs: BTreeMap<JobId, Seen>,
    deals: BTreeMap<DealId, JobId>,
}

struct Seen {
    since: UnixSeconds,
    first: u64,
    stage: JobStage,
    deal: Option<DealStage>,
    inbox: Option<mpsc::Sender<Inbound>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { shown: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Show a job for the first time and give the inbox of its lines.
    pub(crate) fn enter(&self, job: &JobLine, deal: Option<&DealLine>) -> mpsc::Receiver<Inbound> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let over = matches!(job.stage, JobStage::Done { .. });
        let mut shown = self.shown();
        shown.jobs.insert(
            job.id,
            Seen {
                since: job.since,
                first: job.first,
                stage: job.stage.clone(),
                deal: deal.map(|deal| deal.stage.clone()),
                inbox: (!over).then_some(sender),
            },
        );
        if let Some(deal) = deal {
            shown.deals.insert(deal.stage.id(), job.id);
        }
        drop(shown);
        self.bump();
        inbox
    }

    /// Show where a job and its deal stand now.
    pub(crate) fn show(&self, job: &JobLine, deal: Option<&DealLine>) {
        let mut shown = self.shown();
        if let Some(seen) = shown.jobs.get_mut(&job.id) {
            seen.stage = job.stage.clone();
            seen.deal = deal.map(|deal| deal.stage.clone());
            if matches!(job.stage, JobStage::Done { .. }) {
                seen.inbox = None;
            }
        }
        if let Some(deal) = deal {
            shown.deals.insert(deal.stage.id(), job.id);
        }
        drop(shown);
        self.bump();
    }

    /// Show where a deal stands now.
    pub(crate) fn show_deal(&self, deal: &DealLine) {
        let mut shown = self.shown();
        if let Some(seen) = shown.jobs.get_mut(&deal.job) {
            seen.deal = Some(deal.stage.clone());
        }
        shown.deals.insert(deal.stage.id(), deal.job);
        drop(shown);
        self.bump();
    }

    /// A job as it stands.
    pub(crate) fn job(&self, id: JobId) -> Option<JobView> {
        self.shown().jobs.get(&id).map(|seen| seen.view(id))
    }

    /// All jobs, newest first.
    pub(crate) fn jobs(&self) -> Vec<JobView> {
        let shown = self.shown();
        let mut jobs: Vec<(&JobId, &Seen)> = shown.jobs.iter().collect();
        jobs.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.first));
        jobs.into_iter().map(|(id, seen)| seen.view(*id)).collect()
    }

    /// The job a deal serves.
    pub(crate) fn job_of(&self, deal: DealId) -> Option<JobId> {
        self.shown().deals.get(&deal).copied()
    }

    /// A deal's present stage.
    pub(crate) fn deal(&self, deal: DealId) -> Option<DealStage> {
        let shown = self.shown();
        let job = shown.deals.get(&deal)?;
        shown.jobs.get(job)?.deal.clone().filter(|stage| stage.id() == deal)
    }

    /// The inbox of a job's lines; `None` when there is no such job or it is done.
    pub(crate) fn inbox(&self, job: JobId) -> Option<mpsc::Sender<Inbound>> {
        self.shown().jobs.get(&job)?.inbox.clone()
    }

    /// Counts every change.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Every critical section leaves the maps whole, so a panic elsewhere spoils nothing.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn view(&self, id: JobId) -> JobView {
        JobView::of(id, self.since, &self.stage, self.deal.as_ref())
    }
}
