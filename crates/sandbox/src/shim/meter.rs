//! What the run has used: from its cgroup where there is one, else from its processes.

use primitives::{Bytes, Sample};
use rustix::process::Pid;

use crate::{cgroup::Cgroup, tree};

/// Readings of one run that never go back.
pub(super) struct Meter {
    first: Pid,
    cpu_ms: u64,
    peak: Bytes,
}

impl Meter {
    pub(super) fn new(first: Pid) -> Self {
        Self { first, cpu_ms: 0, peak: Bytes(0) }
    }

    /// Read now, `at_ms` after readiness.
    pub(super) fn read(&mut self, cgroup: &Cgroup, at_ms: u64) -> Sample {
        let counted = cgroup.cpu_ms().zip(cgroup.memory());
        let (cpu_ms, memory, peak) = counted.map_or_else(
            || {
                let reading = tree::read(self.first);
                (reading.cpu_ms, reading.memory, None)
            },
            |(cpu_ms, (memory, peak))| (cpu_ms, memory, peak),
        );
        self.cpu_ms = self.cpu_ms.max(cpu_ms);
        self.peak = self.peak.max(memory).max(peak.unwrap_or_default());
        Sample { at_ms, cpu_ms: self.cpu_ms, memory, peak: self.peak }
    }

    /// Take the kernel's last word on processes that are gone.
    pub(super) fn settle(&mut self, cpu_ms: u64, peak: Bytes) {
        self.cpu_ms = self.cpu_ms.max(cpu_ms);
        self.peak = self.peak.max(peak);
    }
}
