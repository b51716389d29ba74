//! Simulated time: the runtime's paused clock, with a wall clock that can be stepped.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use primitives::{Clock, UnixSeconds};
use tokio::time::Instant;

/// A clock for one machine of the simulation.
#[derive(Debug)]
pub struct SimulatedClock {
    start: Instant,
    wall: Mutex<i64>,
}

/// Where simulated time begins: 2027-01-15 08:00:00 UTC.
const BEGINNING: u64 = 1_800_000_000;

impl SimulatedClock {
    /// A clock that shows the beginning of simulated time now.
    pub fn new() -> Self {
        Self { start: Instant::now(), wall: Mutex::new(0) }
    }

    /// Step the wall clock by so many seconds; the monotonic clock does not notice.
    pub fn step(&self, seconds: i64) {
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner) += seconds;
    }
}

impl Default for SimulatedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixSeconds {
        let step = *self.wall.lock().unwrap_or_else(PoisonError::into_inner);
        let now = BEGINNING + self.monotonic().as_secs();
        UnixSeconds(now.saturating_add_signed(step))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
