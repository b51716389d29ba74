//! The clock of a lease: how long it ran and what it used, over all its runs.
//!
//! It runs from the readiness of the first task to the release, with tasks at work or without, and
//! stands while the work is held. Upon a look: what passed since the look before on the clock that
//! never steps; but by what the runs themselves say they ran, the most of any, where only they know
//! it: after a gap, around a hold, of a run alone, and of the last at its end. At every second of it
//! one sample says what all runs together used.
//!
//! Invariant: neither time, processor time nor peak ever goes back.

use std::{collections::BTreeMap, time::Duration};

use market::fact::Reading;
use primitives::{Bytes, Fuel, Sample, TaskIndex};

/// One run as it is found at a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether it still goes.
    pub(crate) live: bool,
    /// Its running time.
    pub(crate) elapsed: Duration,
    /// What it used, on its own clock; `None` when that was not looked at.
    pub(crate) used: Option<Sample>,
}

/// What a look finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    /// When, on the clock that never steps.
    pub(crate) at: Duration,
    /// Whether the work is held.
    pub(crate) held: bool,
    /// Whether nothing will run any more.
    pub(crate) over: bool,
    /// Every run that is not finished.
    pub(crate) runs: &'a BTreeMap<TaskIndex, Seen>,
}

/// A run as it was when it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its running time.
    pub(crate) elapsed: Duration,
    /// Its processor time, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// The fuel it burnt.
    pub(crate) fuel: Fuel,
    /// The memory it held.
    pub(crate) memory: Bytes,
}

/// Time and use of a lease, as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    elapsed: Duration,
    cpu_ms: u64,
    fuel: Fuel,
    peak: Bytes,
    marks: BTreeMap<TaskIndex, Mark>,
    /// When that was; `None` before the first look, and after a gap.
    looked: Option<Duration>,
    held: bool,
    /// The time of the last sample, in milliseconds.
    sampled: Option<u64>,
    /// The samples since the last reading.
    fresh: Vec<Sample>,
}

impl Clock {
    /// The clock where a reading left it; `marks` say how its runs stood at that time.
    pub(crate) fn resume(metered: &Reading, marks: BTreeMap<TaskIndex, Mark>) -> Self {
        let last = metered.samples.last().copied();
        Self {
            elapsed: Duration::from_millis(metered.elapsed_ms),
            cpu_ms: last.map_or(0, |last| last.cpu_ms),
            fuel: last.map_or(Fuel(0), |last| last.fuel),
            peak: last.map_or(Bytes(0), |last| last.peak),
            sampled: last.map(|last| last.at_ms),
            marks,
            ..Self::default()
        }
    }

    /// Running time, as last seen.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How long it is, at this time, until a look is due: at the next second of this clock, or a
    /// second after the last look while it is held.
    pub(crate) fn until_due(&self, at: Duration) -> Duration {
        let Some(looked) = self.looked else { return Duration::ZERO };
        let into = Duration::from_nanos(self.elapsed.subsec_nanos().into());
        let second = Duration::from_secs(1);
        let pause = if self.held { second } else { second.saturating_sub(into) };
        (looked + pause).saturating_sub(at)
    }

    /// Take in what a look finds.
    pub(crate) fn advance(&mut self, look: Look<'_>) {
        self.elapsed += self.passed(look);
        let mut marks = BTreeMap::new();
        for (task, seen) in look.runs {
            let mut mark = self.mark(*task);
            mark.elapsed = mark.elapsed.max(seen.elapsed);
            if let Some(used) = seen.used {
                self.cpu_ms += used.cpu_ms.saturating_sub(mark.cpu_ms);
                self.peak = self.peak.max(used.peak);
                mark.cpu_ms = mark.cpu_ms.max(used.cpu_ms);
                self.fuel.0 += used.fuel.0.saturating_sub(mark.fuel.0);
                mark.fuel = mark.fuel.max(used.fuel);
                mark.memory = used.memory;
            }
            if !seen.live {
                mark.memory = Bytes(0);
            }
            marks.insert(*task, mark);
        }
        (self.marks, self.looked, self.held) = (marks, Some(look.at), look.held);
        self.sample(look.over);
    }

    /// A reading of it, with those runs that are not `finished`, and with the samples since the
    /// last one.
    pub(crate) fn reading(&mut self, finished: impl Fn(TaskIndex) -> bool) -> Reading {
        let runs = self.marks.iter().filter(|(task, _)| !finished(**task));
        Reading {
            elapsed_ms: milliseconds(self.elapsed),
            runs: runs.map(|(task, mark)| (*task, milliseconds(mark.elapsed))).collect(),
            samples: std::mem::take(&mut self.fresh),
        }
    }

    /// What passed since the last look.
    fn passed(&self, look: Look<'_>) -> Duration {
        let grown = look.runs.iter().map(|(task, seen)| {
            let before = self.mark(*task).elapsed;
            seen.elapsed.saturating_sub(before)
        });
        let grown = grown.max().unwrap_or_default();
        let alone = self.marks.len() == 1
            && look.runs.len() == 1
            && look.runs.iter().all(|(task, seen)| seen.live && self.marks.contains_key(task));
        match self.looked {
            Some(before) if !(self.held || look.held || look.over || alone) => {
                look.at.saturating_sub(before)
            }
            _ => grown,
        }
    }

    fn mark(&self, task: TaskIndex) -> Mark {
        self.marks.get(&task).copied().unwrap_or_default()
    }

    /// Take a sample at readiness, at every second, and at the end.
    fn sample(&mut self, over: bool) {
        let at_ms = milliseconds(self.elapsed);
        let due = self.sampled.is_none_or(|last| at_ms / 1_000 > last / 1_000);
        let memory = Bytes(self.marks.values().map(|mark| mark.memory.0).sum());
        self.peak = self.peak.max(memory);
        if due || (over && self.sampled.is_some_and(|last| at_ms > last)) {
            self.sampled = Some(at_ms);
            let Self { cpu_ms, fuel, peak, .. } = *self;
            self.fresh.push(Sample { at_ms, cpu_ms, memory, peak, fuel });
        }
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
