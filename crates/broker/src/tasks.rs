//! The tasks of a job: which wait, which deal carries which, which have their result.
//!
//! In: the present stages of the job's deals. Out: which tasks a deal is handed next.
//!
//! Invariant: a task is carried by one deal at a time, and each deal that is handed a task anew has
//! a higher epoch for it. What a deal is handed here counts once its fact is written down; seeing
//! the deal's stage gives back what was not.
//!
//! Tasks are handed out in shrinking shares (guided self-scheduling: Polychronopoulos and Kuck,
//! 1987), so that few messages carry many short tasks and no slow provider holds many at the end.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use market::{DealStage, JobStage, task::Load};
use primitives::{DealId, Epoch, TaskIndex};
use tokio::sync::watch;

/// How often a task is handed out at most: whatever ends providers again and again is the task's.
pub(crate) const MOST_EPOCHS: u32 = 3;

/// The most tasks handed over at once.
const LARGEST_SHARE: usize = 256;

/// The tasks of a job, as all its deals see them.
pub(crate) struct Tasks {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

struct Inner {
    tasks: Vec<Task>,
    waiting: BTreeSet<TaskIndex>,
    /// Deals that may still bring results.
    carrying: BTreeSet<DealId>,
    /// The first deal that was seen open.
    opened: Option<DealId>,
    at_once: usize,
    deals: usize,
}

#[derive(Clone, Copy, Default)]
struct Task {
    /// In which it was handed out last.
    epoch: Epoch,
    carrier: Option<DealId>,
    done: bool,
}

/// What a deal is handed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The tasks, each with its epoch.
    pub(crate) tasks: Vec<(TaskIndex, Epoch)>,
    /// Whether nothing waits any more, so that the deal ends with what it has.
    pub(crate) last: bool,
}

/// How the tasks of a job stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Tasks without a result.
    pub(crate) left: usize,
    /// Tasks that the next deal with room would be handed.
    pub(crate) waiting: usize,
    /// Deals that may still bring results.
    pub(crate) carrying: usize,
    /// The first deal that was seen open.
    pub(crate) opened: Option<DealId>,
}

impl Tasks {
    /// The tasks of a job before any deal was seen.
    pub(crate) fn of(job: &JobStage) -> Self {
        let work = &job.submission().work;
        let inner = Inner::of(work.tasks(), work.at_once(), work.deals());
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(()) }
    }

    /// See where a deal stands now.
    pub(crate) fn see(&self, deal: &DealStage) {
        self.inner().see(&Seen::of(deal));
        self.changed.send_replace(());
    }

    /// Hand a deal its next share when it has fewer tasks left than keep it busy; `None` when it is
    /// busy, or has been told that no more will come.
    pub(crate) fn next_share(&self, deal: &DealStage) -> Option<Share> {
        self.inner().next_share(deal.id(), deal.load()?)
    }

    /// How they stand.
    pub(crate) fn standing(&self) -> Standing {
        self.inner().standing()
    }

    /// Changes whenever a deal was seen.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every critical section leaves the tasks whole, so a panic elsewhere spoils nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a deal's stage says of its tasks.
struct Seen<'a> {
    id: DealId,
    /// Whether it may still bring results.
    carries: bool,
    /// The tasks that it was handed, once it is open.
    load: Option<&'a Load>,
    /// The tasks with a result that counts.
    done: Vec<TaskIndex>,
}

impl<'a> Seen<'a> {
    fn of(deal: &'a DealStage) -> Self {
        let carries = matches!(
            deal,
            DealStage::Chosen(_)
                | DealStage::Signed(_)
                | DealStage::Open(_)
                | DealStage::Running(_)
                | DealStage::Delivered(_)
        );
        let done = deal.counting().map(|reported| reported.result.task).collect();
        Self { id: deal.id(), carries, load: deal.load(), done }
    }
}

impl Inner {
    fn of(count: u32, at_once: u16, deals: u16) -> Self {
        Self {
            tasks: vec![Task::default(); usize::try_from(count).unwrap_or(usize::MAX)],
            waiting: (0..count).map(TaskIndex).collect(),
            carrying: BTreeSet::new(),
            opened: None,
            at_once: at_once.into(),
            deals: deals.into(),
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            left: self.tasks.iter().filter(|task| !task.done).count(),
            waiting: self.waiting.len(),
            carrying: self.carrying.len(),
            opened: self.opened,
        }
    }

    fn see(&mut self, deal: &Seen<'_>) {
        let (id, carries) = (deal.id, deal.carries);
        match carries {
            true => self.carrying.insert(id),
            false => self.carrying.remove(&id),
        };
        let Some(load) = deal.load else { return self.give_back(id, |_| false) };
        self.opened.get_or_insert(id);
        for (index, epoch) in load.assigned() {
            let Some(task) = self.task(index) else { continue };
            if task.epoch <= epoch {
                (task.epoch, task.carrier) = (epoch, Some(id));
                self.waiting.remove(&index);
            }
        }
        for index in &deal.done {
            if let Some(task) = self.task(*index) {
                (task.done, task.carrier) = (true, None);
                self.waiting.remove(index);
            }
        }
        self.give_back(id, |index| carries && load.epoch(index).is_some());
    }

    /// What `deal` was handed waits again, but for what it keeps.
    fn give_back(&mut self, deal: DealId, keeps: impl Fn(TaskIndex) -> bool) {
        for (number, task) in (0..).zip(&mut self.tasks) {
            if task.carrier == Some(deal) && !keeps(TaskIndex(number)) {
                task.carrier = None;
                if task.epoch.0 < MOST_EPOCHS {
                    self.waiting.insert(TaskIndex(number));
                }
            }
        }
    }

    fn next_share(&mut self, deal: DealId, load: &Load) -> Option<Share> {
        if load.released || load.outstanding().count() >= self.at_once * 2 {
            return None;
        }
        let fair = self.waiting.len().div_ceil(self.deals * 2);
        let many = fair.clamp(self.at_once, LARGEST_SHARE.max(self.at_once));
        let indices: Vec<TaskIndex> = self.waiting.iter().copied().take(many).collect();
        let mut tasks = Vec::with_capacity(indices.len());
        for index in indices {
            self.waiting.remove(&index);
            if let Some(task) = self.task(index) {
                task.carrier = Some(deal);
                tasks.push((index, Epoch(task.epoch.0 + 1)));
            }
        }
        Some(Share { tasks, last: self.waiting.is_empty() })
    }

    fn task(&mut self, index: TaskIndex) -> Option<&mut Task> {
        self.tasks.get_mut(usize::try_from(index.0).ok()?)
    }
}

#[cfg(test)]
mod tests;
