//! Time for a module: the machine's, or for deterministic runs one that only its own work moves.

use std::time::Duration;

use rustix::{
    thread::{NanosleepRelativeResult, nanosleep},
    time::{ClockId, Timespec, clock_gettime},
};

use super::guest::Error;

/// A clock by the number that WASI gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Wall,
    Monotonic,
    Processor,
}

/// Where time comes from.
pub(super) enum Clock {
    /// The machine.
    Real,
    /// Nanoseconds: one for each unit of fuel, and what was slept. A sleep takes no time.
    Virtual { slept: u64 },
}

/// The wall clock of deterministic runs starts here: 1 January 2000, in nanoseconds since 1970.
const BEGINNING: u64 = 946_684_800_000_000_000;

/// In nanoseconds.
const LONGEST_SLEEP: u64 = 100_000_000;

impl Which {
    pub(super) fn of(number: u32) -> Result<Self, Error> {
        match number {
            0 => Ok(Self::Wall),
            1 => Ok(Self::Monotonic),
            2 | 3 => Ok(Self::Processor),
            _ => Err(Error::INVAL),
        }
    }

    fn id(self) -> ClockId {
        match self {
            Self::Wall => ClockId::Realtime,
            Self::Monotonic => ClockId::Monotonic,
            Self::Processor => ClockId::ProcessCPUTime,
        }
    }
}

impl Clock {
    pub(super) fn new(deterministic: bool) -> Self {
        if deterministic { Self::Virtual { slept: 0 } } else { Self::Real }
    }

    /// Nanoseconds on a clock, for a module that has burnt so much `fuel`.
    pub(super) fn now(&self, which: Which, fuel: u64) -> u64 {
        match (self, which) {
            (Self::Real, _) => nanoseconds(clock_gettime(which.id())),
            (Self::Virtual { slept }, Which::Wall) => {
                BEGINNING.saturating_add(fuel).saturating_add(*slept)
            }
            (Self::Virtual { slept }, Which::Monotonic) => fuel.saturating_add(*slept),
            (Self::Virtual { .. }, Which::Processor) => fuel,
        }
    }

    /// The least difference that a clock shows, in nanoseconds.
    pub(super) fn resolution(&self, which: Which) -> u64 {
        match self {
            Self::Real => nanoseconds(rustix::time::clock_getres(which.id())).max(1),
            Self::Virtual { .. } => 1,
        }
    }

    /// Let `span` nanoseconds pass, or less if `enough` says so.
    pub(super) fn sleep(&mut self, span: u64, enough: impl Fn() -> bool) -> Result<(), Error> {
        match self {
            Self::Virtual { slept } => *slept = slept.saturating_add(span),
            Self::Real => {
                let mut left = span;
                // In pieces, for a signal that comes just before one begins is seen after it only.
                while left > 0 && !enough() {
                    let piece = left.min(LONGEST_SLEEP);
                    match nanosleep(&timespec(piece)) {
                        NanosleepRelativeResult::Ok => left -= piece,
                        NanosleepRelativeResult::Interrupted(rest) => {
                            left -= piece.saturating_sub(nanoseconds(rest));
                        }
                        NanosleepRelativeResult::Err(errno) => return Err(errno.into()),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Nanoseconds as the kernel takes them.
pub(super) fn timespec(nanoseconds: u64) -> Timespec {
    let span = Duration::from_nanos(nanoseconds);
    Timespec {
        tv_sec: span.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_is_moved_by_work_and_sleep_alone() {
        let mut clock = Clock::new(true);
        assert_eq!(clock.now(Which::Wall, 0), BEGINNING);
        assert_eq!(clock.now(Which::Monotonic, 5), 5);
        clock.sleep(10, || false).expect("slept");
        assert_eq!(clock.now(Which::Monotonic, 5), 15);
        assert_eq!(clock.now(Which::Wall, 5), BEGINNING + 15);
        assert_eq!(clock.now(Which::Processor, 5), 5);
    }

    #[test]
    fn a_real_sleep_lasts_and_can_be_cut_short() {
        let mut clock = Clock::new(false);
        let before = clock.now(Which::Monotonic, 0);
        clock.sleep(2_000_000, || false).expect("slept");
        assert!(clock.now(Which::Monotonic, 0) - before >= 2_000_000);
        clock.sleep(u64::MAX, || true).expect("cut short");
    }
}
