//! The board: where every line shows its present stage, and how messages find their line.
//!
//! Invariant: the board holds copies only. What counts is in the journal; the board is rebuilt
//! from it at every start.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use market::{DealStage, JobStage, fact::Submission};
use primitives::{DealId, Digest, JobId, UnixSeconds};
use tokio::sync::{mpsc, watch};

use crate::{
    line::{DealLine, Inbound, Inbox, JobLine},
    view::JobView,
};

/// How many messages may wait for one line.
const INBOX: usize = 32;

pub(crate) struct Board {
    shown: Mutex<Shown>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Shown {
    jobs: BTreeMap<JobId, Seen>,
    deals: BTreeMap<DealId, SeenDeal>,
}

struct Seen {
    since: UnixSeconds,
    first: u64,
    stage: JobStage,
    wanted: Arc<Submission>,
    inbox: Option<mpsc::Sender<Inbound>>,
}

struct SeenDeal {
    job: JobId,
    stage: Arc<DealStage>,
    inbox: Option<mpsc::Sender<Inbound>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { shown: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Show a job for the first time and give its inbox.
    pub(crate) fn enter(&self, job: &JobLine) -> Inbox {
        let (sender, inbox) = mpsc::channel(INBOX);
        let over = matches!(job.stage, JobStage::Done { .. });
        let seen = Seen {
            since: job.since,
            first: job.first,
            stage: job.stage.clone(),
            wanted: Arc::new(job.stage.submission().clone()),
            inbox: (!over).then_some(sender),
        };
        self.shown().jobs.insert(job.id, seen);
        self.bump();
        inbox
    }

    /// Show a deal for the first time and give its inbox.
    pub(crate) fn enter_deal(&self, deal: &DealLine) -> Inbox {
        let (sender, inbox) = mpsc::channel(INBOX);
        let inbox_of = (!deal.stage.is_over()).then_some(sender);
        let seen = SeenDeal { job: deal.job, stage: Arc::new(deal.stage.clone()), inbox: inbox_of };
        self.shown().deals.insert(deal.stage.id(), seen);
        self.bump();
        inbox
    }

    /// Show where a job stands now.
    pub(crate) fn show(&self, job: &JobLine) {
        let mut shown = self.shown();
        let Some(seen) = shown.jobs.get_mut(&job.id).filter(|seen| seen.stage != job.stage) else {
            return;
        };
        seen.stage = job.stage.clone();
        if matches!(job.stage, JobStage::Done { .. }) {
            seen.inbox = None;
        }
        drop(shown);
        self.bump();
    }

    /// Show where a deal stands now.
    pub(crate) fn show_deal(&self, deal: &DealLine) {
        if let Some(seen) = self.shown().deals.get_mut(&deal.stage.id()) {
            seen.stage = Arc::new(deal.stage.clone());
            if deal.stage.is_over() {
                seen.inbox = None;
            }
        }
        self.bump();
    }

    /// A job as it stands.
    pub(crate) fn job(&self, id: JobId) -> Option<JobView> {
        self.shown().view(id)
    }

    /// All jobs, newest first.
    pub(crate) fn jobs(&self) -> Vec<JobView> {
        let shown = self.shown();
        let mut jobs: Vec<(&JobId, &Seen)> = shown.jobs.iter().collect();
        jobs.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.first));
        jobs.into_iter().filter_map(|(id, _)| shown.view(*id)).collect()
    }

    /// An order as it was submitted.
    pub(crate) fn submission(&self, job: JobId) -> Option<Arc<Submission>> {
        Some(self.shown().jobs.get(&job)?.wanted.clone())
    }

    /// The job a deal serves.
    pub(crate) fn job_of(&self, deal: DealId) -> Option<JobId> {
        Some(self.shown().deals.get(&deal)?.job)
    }

    /// A deal's present stage.
    pub(crate) fn deal(&self, deal: DealId) -> Option<Arc<DealStage>> {
        Some(self.shown().deals.get(&deal)?.stage.clone())
    }

    /// The present stages of a job's deals, in the order in which they were chosen.
    pub(crate) fn deals_of(&self, job: JobId) -> Vec<Arc<DealStage>> {
        self.shown().deals_of(job).cloned().collect()
    }

    /// The lists of outputs that any result of a job names.
    pub(crate) fn results(&self, job: JobId) -> Vec<Digest> {
        let deals = self.deals_of(job);
        let results = deals.iter().flat_map(|deal| deal.results());
        results.map(|result| result.output).filter(|list| *list != Digest::default()).collect()
    }

    /// The inbox of a job's own line; `None` when there is no such job or it is done.
    pub(crate) fn inbox_of_job(&self, job: JobId) -> Option<mpsc::Sender<Inbound>> {
        self.shown().jobs.get(&job)?.inbox.clone()
    }

    /// The inbox of a deal's line; `None` when there is no such deal or it is over.
    pub(crate) fn inbox(&self, deal: DealId) -> Option<mpsc::Sender<Inbound>> {
        self.shown().deals.get(&deal)?.inbox.clone()
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

impl Shown {
    fn deals_of(&self, job: JobId) -> impl Iterator<Item = &Arc<DealStage>> {
        let deals = self.jobs.get(&job).map(|seen| seen.stage.deals()).unwrap_or_default();
        deals.iter().filter_map(|deal| Some(&self.deals.get(deal)?.stage))
    }

    fn view(&self, id: JobId) -> Option<JobView> {
        let seen = self.jobs.get(&id)?;
        let deals: Vec<&DealStage> = self.deals_of(id).map(Arc::as_ref).collect();
        Some(JobView::of(id, seen.since, &seen.stage, &deals))
    }
}
