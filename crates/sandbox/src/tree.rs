//! What a tree of processes uses, where the kernel keeps no account of it as a whole.
//!
//! In: the first process. Out: processor time (its own, and of all that it and its children waited
//! for) and resident memory. Processes nobody waits for are missed; cgroups miss none.

use std::{collections::BTreeSet, fs};

use primitives::Bytes;
use rustix::process::{Pid, Signal, kill_process};

/// How often a tree is looked through for processes that were not told yet.
const ROUNDS: u32 = 64;

/// A reading over all living processes of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) cpu_ms: u64,
    pub(crate) memory: Bytes,
}

/// Read the tree under `root`, itself included.
pub(crate) fn read(root: Pid) -> Reading {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
    members(root).into_iter().filter_map(stat).fold(Reading::default(), |sum, stat| Reading {
        cpu_ms: sum.cpu_ms + stat.ticks * 1_000 / ticks,
        memory: Bytes(sum.memory.0 + stat.pages * page),
    })
}

/// Send `signal` to everything below `root`, but not to it, until there is nobody new: whoever was
/// told to stop makes no more children.
pub(crate) fn signal(root: Pid, signal: Signal) {
    let mut told = BTreeSet::from([root.as_raw_nonzero()]);
    for _ in 0..ROUNDS {
        let fresh = members(root).into_iter().filter(|pid| told.insert(pid.as_raw_nonzero()));
        let fresh: Vec<Pid> = fresh.collect();
        if fresh.is_empty() {
            return;
        }
        for pid in fresh {
            // Whoever ended meanwhile needs no signal.
            let _ = kill_process(pid, signal);
        }
    }
}

fn members(root: Pid) -> Vec<Pid> {
    let (mut all, mut next) = (vec![root], 0);
    while let Some(pid) = all.get(next) {
        let children = children(*pid);
        all.extend(children);
        next += 1;
    }
    all
}

fn children(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ticks: u64,
    pages: u64,
}

fn stat(pid: Pid) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
}

/// `/proc/PID/stat`, proc(5): fields 14 to 17 are times, 24 is the resident set in pages.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = (14..=17).map(number).sum::<Option<u64>>()?;
    Some(Stat { ticks, pages: number(24)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 120 0 0 0 3 4 5 6 20 0 1 0 100 8192000 77 \
                    18446744073709551615 0 0 0";
        assert_eq!(parse(text), Some(Stat { ticks: 18, pages: 77 }));
        assert_eq!(parse("42 nonsense"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let reading = read(rustix::process::getpid());
        assert!(reading.memory > Bytes::mebi(1), "{reading:?}");
    }
}
