//! The real clock.

use std::time::{Duration, Instant, SystemTime};

use primitives::{Clock, UnixSeconds};

/// The system's wall and monotonic clocks.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock before 1970 is as good as none.
        UnixSeconds(since.unwrap_or_default().as_secs())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
