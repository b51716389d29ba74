//! Times and spans, and the seam through which everything learns what time it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 UTC, the unit of block time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

/// A span of whole seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seconds(pub u64);

/// Where a workshop learns the time. Waiting uses the timers of the runtime, which a simulation
/// runs on paused time; only reading goes through here.
pub trait Clock: Send + Sync {
    /// Wall time: may step in either direction, decides deadlines that the chain also sees.
    fn now(&self) -> UnixSeconds;

    /// Time since an arbitrary start on this machine: never steps, decides what is billed.
    fn monotonic(&self) -> Duration;
}

impl UnixSeconds {
    /// The moment `span` later; stops at the end of time.
    pub const fn plus(self, span: Seconds) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The moment `span` earlier; stops at 1970.
    pub const fn minus(self, span: Seconds) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub const fn since(self, earlier: Self) -> Seconds {
        Seconds(self.0.saturating_sub(earlier.0))
    }
}

impl Seconds {
    /// The span in whole seconds, rounded up: how elapsed time is billed.
    pub const fn from_duration_up(span: Duration) -> Self {
        Self(span.as_secs() + (span.subsec_nanos() > 0) as u64)
    }

    /// The same span for timers.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Both spans together; stops at 2^64 - 1.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
