//! Watching: how busy the machine is now, for a few microseconds a look.

use std::{
    fs,
    path::{Path, PathBuf},
};

use primitives::{Bytes, Millicores};
use serde::{Deserialize, Serialize};

use crate::{disk, finding::Finding, graphics::CardLoad, memory, nvml::Library};

/// How busy a machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Processor time spent by everyone since the last look; unknown at the first.
    pub cpu: Finding<Millicores>,
    /// Processor time that the hypervisor gave to others since the last look; unknown at the first.
    pub stolen: Finding<Millicores>,
    /// Memory that could be taken without swapping.
    pub memory_free: Finding<Bytes>,
    /// Disk that could be taken.
    pub disk_free: Finding<Bytes>,
    /// NVIDIA graphics processors; unknown without their maker's library.
    pub graphics: Finding<Vec<CardLoad>>,
}

/// Looks at a machine again and again.
pub struct Watch {
    folder: PathBuf,
    graphics: Option<Library>,
    last: Option<Ticks>,
}

impl Watch {
    /// Watch this machine, and the disk under `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), graphics: Library::load().ok(), last: None }
    }

    /// How busy it is, since the last look where that matters.
    pub fn look(&mut self) -> Load {
        let now = read("/proc/stat").as_deref().and_then(Ticks::parse);
        let passed = self.last.zip(now).and_then(|(last, now)| now.since(last));
        self.last = now;
        let memory = read("/proc/meminfo");
        Load {
            cpu: Finding::reported(passed.map(|it| it.share(it.busy))),
            stolen: Finding::reported(passed.map(|it| it.share(it.stolen))),
            memory_free: Finding::reported(
                memory.and_then(|text| memory::field(&text, "MemAvailable")),
            ),
            disk_free: Finding::reported(disk::ask(&self.folder).map(|disk| disk.free)),
            graphics: Finding::reported(
                self.graphics
                    .as_ref()
                    .map(|library| library.report().cards.iter().map(CardLoad::of).collect()),
            ),
        }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Processor time of all processors together since the machine started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    stolen: u64,
    whole: u64,
    processors: u64,
}

impl Ticks {
    /// The first lines of `/proc/stat` (proc(5)): user nice system idle iowait irq softirq steal.
    fn parse(text: &str) -> Option<Self> {
        let sum = text.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> =
            sum.split_whitespace().take(8).map(|it| it.parse().ok()).collect::<Option<_>>()?;
        let [user, nice, system, idle, iowait, irq, softirq, rest @ ..] = &*fields else {
            return None;
        };
        let stolen = rest.first().copied().unwrap_or(0);
        let busy = user + nice + system + irq + softirq;
        let lines = text.lines().skip(1).take_while(|line| line.starts_with("cpu"));
        let processors = u64::try_from(lines.count()).ok()?;
        Some(Self { busy, stolen, whole: busy + idle + iowait + stolen, processors })
    }

    /// What passed since `earlier`; `None` when no time did, or counters went back.
    fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            busy: self.busy.checked_sub(earlier.busy)?,
            stolen: self.stolen.saturating_sub(earlier.stolen),
            whole: self.whole.checked_sub(earlier.whole).filter(|it| *it > 0)?,
            processors: self.processors,
        })
    }

    fn share(self, part: u64) -> Millicores {
        Millicores(part.min(self.whole) * self.processors * 1_000 / self.whole)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn busy_time_is_told_in_cores() {
        let before = Ticks::parse("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 5\n");
        let after = Ticks::parse("cpu  150 0 150 900 0 0 0 200 0 0\ncpu0 1\ncpu1 1\nintr 9\n");
        let passed = after.expect("parsed").since(before.expect("parsed")).expect("time passed");
        assert_eq!(passed.share(passed.busy), Millicores(500));
        assert_eq!(passed.share(passed.stolen), Millicores(1_000));
        assert_eq!(before.and_then(|it| it.since(it)), None);
        assert_eq!(Ticks::parse("cpu 1 2\n"), None);
    }

    #[test]
    fn a_second_look_knows_what_the_first_could_not() {
        let mut watch = Watch::new("/");
        let first = watch.look();
        assert_eq!(first.cpu, Finding::Unknown);
        assert!(first.memory_free.value().is_some_and(|free| *free > Bytes(0)));
        let deadline = Instant::now() + Duration::from_secs(10);
        let second = loop {
            let load = watch.look();
            if load.cpu != Finding::Unknown || Instant::now() > deadline {
                break load;
            }
            std::thread::yield_now();
        };
        assert!(second.cpu.value().is_some(), "the kernel's ticks stood still for ten seconds");
    }
}
