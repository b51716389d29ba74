//! When each deal's work got ready, on the clock that never steps.
//!
//! Kept in memory only. Upon the first receipt this process sees of a deal it notes how long the work
//! had run by then, as far as that is believed: at the very first receipt of all, what the receipt
//! itself says within the silence that is allowed; after a restart, what was co-signed before and the
//! time since by the wall clock, `grace` at least. From there on its own clock bounds every receipt.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use primitives::{DealId, Seconds};

/// What this process believes of the running time of deals.
#[derive(Debug, Default)]
pub struct Ready(Mutex<BTreeMap<DealId, Noted>>);

#[derive(Clone, Copy, Debug)]
struct Noted {
    at: Duration,
    had_run: Seconds,
}

impl Ready {
    /// Note that the work had run for so long by `now`; the first note stays.
    pub(crate) fn note(&self, deal: DealId, now: Duration, had_run: Seconds) {
        self.noted().entry(deal).or_insert(Noted { at: now, had_run });
    }

    /// The most the work can have run by `now`, rounded up; `None` before the first note.
    pub(crate) fn since(&self, deal: DealId, now: Duration) -> Option<Seconds> {
        let noted = *self.noted().get(&deal)?;
        Some(noted.had_run.plus(Seconds::from_duration_up(now.saturating_sub(noted.at))))
    }

    /// The deal is over.
    pub(crate) fn forget(&self, deal: DealId) {
        self.noted().remove(&deal);
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<DealId, Noted>> {
        // Every change is complete before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
