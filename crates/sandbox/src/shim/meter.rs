//! What the run has used: from its cgroup where there is one, else from its processes.

use std::io;

use primitives::{Bytes, Fuel, Sample};
use rustix::process::Pid;

use crate::{cgroup::Cgroup, tree, wasm::Account};

/// Readings of one run that never go back.
pub(super) struct Meter {
    first: Pid,
    account: &'static Account,
    cpu_ms: u64,
    peak: Bytes,
    fuel: Fuel,
}

impl Meter {
    pub(super) fn new(first: Pid, account: &'static Account) -> Self {
        Self { first, account, cpu_ms: 0, peak: Bytes(0), fuel: Fuel(0) }
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
        self.fuel = self.fuel.max(self.account.fuel());
        Sample { at_ms, cpu_ms: self.cpu_ms, memory, peak: self.peak, fuel: self.fuel }
    }

    /// Take the kernel's last word on processes that are gone.
    pub(super) fn settle(&mut self, cpu_ms: u64, peak: Bytes) {
        self.cpu_ms = self.cpu_ms.max(cpu_ms);
        self.peak = self.peak.max(peak);
    }
}

/// Wait for the first process and with it for everything inside; the kernel's account of them.
pub(super) fn bury(first: Pid) -> io::Result<Option<(u64, Bytes)>> {
    let mut status = 0;
    // SAFETY: all zeros is a valid account.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers lead to values that live through the call.
        let answer = unsafe {
            libc::wait4(first.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage)
        };
        if answer >= 0 {
            break;
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error => return Err(error),
        }
    }
    let time = |it: libc::timeval| {
        u64::try_from(it.tv_sec).unwrap_or(0) * 1_000
            + u64::try_from(it.tv_usec).unwrap_or(0) / 1_000
    };
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1_024;
    Ok(Some((time(usage.ru_utime) + time(usage.ru_stime), Bytes(peak))))
}
