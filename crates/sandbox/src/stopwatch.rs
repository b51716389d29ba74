//! Running time since readiness, pauses taken out, from monotonic readings alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since an arbitrary start on this machine that all its processes share; never steps.
#[cfg(target_os = "linux")]
pub(crate) fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A watch that was started once and may be held and let go; readings are monotonic time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stopwatch {
    started: Duration,
    held: Duration,
    held_since: Option<Duration>,
}

impl Stopwatch {
    pub(crate) const fn start(now: Duration) -> Self {
        Self { started: now, held: Duration::ZERO, held_since: None }
    }

    pub(crate) const fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Hold the watch; holding it twice changes nothing.
    pub(crate) fn hold(&mut self, now: Duration) {
        self.held_since.get_or_insert(now);
    }

    /// Let a held watch go on.
    pub(crate) fn release(&mut self, now: Duration) {
        if let Some(since) = self.held_since.take() {
            self.held += now.saturating_sub(since);
        }
    }

    pub(crate) fn held(&self, now: Duration) -> Duration {
        self.held + self.present_hold(now)
    }

    /// How long the hold that lasts at `now` has lasted.
    pub(crate) fn present_hold(&self, now: Duration) -> Duration {
        self.held_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    pub(crate) fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.started).saturating_sub(self.held(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_watch_stands_still() {
        let second = Duration::from_secs;
        let mut watch = Stopwatch::start(second(100));
        assert_eq!(watch.elapsed(second(103)), second(3));
        watch.hold(second(103));
        watch.hold(second(105));
        assert_eq!(watch.elapsed(second(110)), second(3));
        watch.release(second(110));
        watch.release(second(111));
        assert_eq!(watch.elapsed(second(112)), second(5));
        assert_eq!(watch.held(second(112)), second(7));
    }
}
