//! When each deal's work got ready, on the clock that never steps.
//!
//! Kept in memory only, and noted at the very first receipt alone: whoever restarted in between does
//! not know, and the time since opening bounds receipts instead.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use primitives::{DealId, Seconds};

/// The moments of readiness this process has seen.
#[derive(Debug, Default)]
pub struct Ready(Mutex<BTreeMap<DealId, Duration>>);

impl Ready {
    /// Remember the first moment.
    pub(crate) fn note(&self, deal: DealId, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(deal).or_insert(now);
    }

    /// How long ago that was, rounded up; `None` when this process did not see it.
    pub(crate) fn since(&self, deal: DealId, now: Duration) -> Option<Seconds> {
        let ready = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&deal)?;
        Some(Seconds::from_duration_up(now.saturating_sub(ready)))
    }
}
