//! The survey: read everything once, and hand it to the parsers.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use primitives::{Bytes, Millicores, Resources};
use serde::{Deserialize, Serialize};

use crate::{
    control::{self, Cgroups, Form, Hierarchy},
    cpu::{self, Cpu, Described},
    disk::{self, Disk},
    finding::Finding,
    graphics::{self, Device, Graphics},
    memory,
    nvml::Library,
    system::{self, Virtualisation},
};

/// What a machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The operating system's kind, such as `linux`.
    pub os: Finding<String>,
    /// Its distribution and version, as it calls itself.
    pub distribution: Finding<String>,
    /// The kernel's version.
    pub kernel: Finding<String>,
    /// The processor architecture, such as `x86_64`.
    pub arch: Finding<String>,
    /// What lies between the system and the bare machine.
    pub virtualisation: Finding<Virtualisation>,
    /// The processors.
    pub processor: Cpu,
    /// Main memory of the whole machine.
    pub memory: Finding<Bytes>,
    /// The disk under the folder that was asked about.
    pub disk: Finding<Disk>,
    /// NVIDIA graphics processors.
    pub graphics: Graphics,
    /// What we may do with cgroups.
    pub cgroups: Finding<Cgroups>,
    /// The bound on our own memory, if we are bounded.
    pub memory_bound: Option<Bytes>,
    /// The bound on our own processor share, if we are bounded.
    pub cpu_bound: Option<Millicores>,
}

/// Find out what this machine is; disk is asked for under `folder`. Takes a few milliseconds, or a
/// second where a driver wakes graphics processors for it.
pub fn survey(folder: &Path) -> Survey {
    let described = Described::parse(&text("/proc/cpuinfo").unwrap_or_default());
    let usable = std::thread::available_parallelism().ok();
    let uname = rustix::system::uname();
    let hierarchies = hierarchies();
    Survey {
        os: Finding::reported(Some(std::env::consts::OS.to_owned())),
        distribution: Finding::reported(
            text("/etc/os-release").as_deref().and_then(system::distribution),
        ),
        kernel: Finding::reported(uname.release().to_str().ok().map(str::to_owned)),
        arch: Finding::reported(Some(std::env::consts::ARCH.to_owned())),
        virtualisation: Finding::reported(Some(virtualisation())),
        processor: Cpu {
            model: Finding::reported(cpu::brand().or(described.model)),
            cores: Finding::reported(described.cores),
            threads: Finding::reported(described.threads),
            usable: Finding::reported(usable.and_then(|it| u32::try_from(it.get()).ok())),
            features: Finding::reported(described.features),
        },
        memory: Finding::reported(
            text("/proc/meminfo").and_then(|text| memory::field(&text, "MemTotal")),
        ),
        disk: Finding::reported(disk::ask(folder)),
        graphics: Graphics::of(bus(), Library::load().map(|library| library.report())),
        cgroups: Finding::reported((!hierarchies.is_empty()).then(|| rights(&hierarchies))),
        memory_bound: tightest(&hierarchies, memory_bound),
        cpu_bound: tightest(&hierarchies, cpu_bound),
    }
}

impl Survey {
    /// All that could be sold of it at most: what is known, within our own bounds. Disk is what is
    /// free now. What is unknown counts as nothing.
    pub fn resources(&self) -> Resources {
        let cpus = &self.processor;
        let threads = cpus.usable.value().or(cpus.threads.value()).copied().unwrap_or(0);
        let cpu = Millicores::cores(threads.into());
        let memory = self.memory.value().copied().unwrap_or_default();
        Resources {
            cpu: self.cpu_bound.map_or(cpu, |bound| bound.min(cpu)),
            memory: self.memory_bound.map_or(memory, |bound| bound.min(memory)),
            disk: self.disk.value().map(|disk| disk.free).unwrap_or_default(),
            gpus: u32::try_from(self.graphics.usable().count()).unwrap_or(u32::MAX),
        }
    }
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn virtualisation() -> Virtualisation {
    let environ = text("/proc/1/environ").unwrap_or_default();
    let marks = [
        ("docker", Path::new("/.dockerenv").exists()),
        ("podman", Path::new("/run/.containerenv").exists()),
    ];
    system::virtualisation(cpu::hypervisor(), system::container(&environ), &marks)
}

/// Where graphics processors are; `None` when the bus cannot be looked at.
fn bus() -> Option<Vec<String>> {
    let devices: Vec<Device> = fs::read_dir("/sys/bus/pci/devices")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let file = |name: &str| text(entry.path().join(name));
            let place = entry.file_name().to_string_lossy().into_owned();
            Some(Device { place, vendor: file("vendor")?, class: file("class")? })
        })
        .collect();
    Some(graphics::pick(&devices))
}

fn hierarchies() -> Vec<Hierarchy> {
    let mounts = text("/proc/self/mountinfo").unwrap_or_default();
    let own = text("/proc/self/cgroup").unwrap_or_default();
    control::hierarchies(&mounts, &own)
}

fn rights(hierarchies: &[Hierarchy]) -> Cgroups {
    let mut cgroups = Cgroups::default();
    for hierarchy in hierarchies {
        match hierarchy.form {
            Form::First if is_writable(&hierarchy.own) => {
                cgroups.first.extend(hierarchy.controllers.iter().cloned());
            }
            Form::Second => {
                // New cgroups stand beside ours, or at the top for whoever may write there.
                let beside = hierarchy.own.parent().filter(|it| it.starts_with(&hierarchy.top));
                let places = [Some(hierarchy.top.as_path()), beside];
                let controllers = places
                    .into_iter()
                    .flatten()
                    .filter(|place| is_writable(place))
                    .filter_map(|place| text(place.join("cgroup.controllers")))
                    .flat_map(|text| words(&text))
                    .collect::<BTreeSet<_>>();
                cgroups.second.extend(controllers);
            }
            Form::First => {}
        }
    }
    cgroups
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn is_writable(folder: &Path) -> bool {
    let access = |path: PathBuf| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    access(folder.to_owned()) && access(folder.join("cgroup.procs"))
}

/// The tightest bound that any cgroup from ours up to the top puts on us.
fn tightest<T: Ord>(
    hierarchies: &[Hierarchy],
    bound: impl Fn(Form, &Path) -> Option<T>,
) -> Option<T> {
    hierarchies
        .iter()
        .flat_map(|it| {
            it.own.ancestors().take_while(|up| up.starts_with(&it.top)).map(|up| (it.form, up))
        })
        .filter_map(|(form, folder)| bound(form, folder))
        .min()
}

fn memory_bound(form: Form, folder: &Path) -> Option<Bytes> {
    let name = match form {
        Form::First => "memory.limit_in_bytes",
        Form::Second => "memory.max",
    };
    control::memory_bound(&text(folder.join(name))?)
}

fn cpu_bound(form: Form, folder: &Path) -> Option<Millicores> {
    let share = match form {
        Form::First => format!(
            "{} {}",
            text(folder.join("cpu.cfs_quota_us"))?,
            text(folder.join("cpu.cfs_period_us"))?
        ),
        Form::Second => text(folder.join("cpu.max"))?,
    };
    control::cpu_bound(&share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Provenance;

    #[test]
    fn this_machine_has_a_processor_memory_and_a_disk_and_says_from_where() {
        let folder = tempfile::tempdir().expect("a folder");
        let survey = survey(&folder.path().join("not/made/yet"));
        let all = survey.resources();
        assert!(all.cpu >= Millicores::cores(1), "{survey:?}");
        assert!(all.memory > Bytes::mebi(64), "{survey:?}");
        let disk = survey.disk.value().expect("a disk");
        assert!(disk.free <= disk.total);
        assert_eq!(survey.memory.provenance(), Some(Provenance::OsReported));
        assert_eq!(survey.os.value().map(String::as_str), Some(std::env::consts::OS));
        assert_eq!(survey.arch.value().map(String::as_str), Some(std::env::consts::ARCH));
    }

    #[test]
    fn graphics_processors_are_looked_for_and_what_is_missing_is_said() {
        let graphics = survey(Path::new("/")).graphics;
        match &graphics.lack {
            Some(why) => {
                assert!(why.contains("NVIDIA"), "{why}");
                assert_eq!(graphics.usable().count(), 0, "nothing is known to be usable");
            }
            None => assert!(graphics.driver.value().is_some(), "{graphics:?}"),
        }
    }

    #[test]
    fn what_is_unknown_cannot_be_sold() {
        assert_eq!(Survey::default().resources(), Resources::default());
    }

    #[test]
    fn a_bounded_process_sells_no_more_than_its_bounds() {
        let found = |value| Finding::Found { value, from: Provenance::OsReported };
        let survey = Survey {
            processor: Cpu {
                usable: Finding::Found { value: 8, from: Provenance::OsReported },
                ..Default::default()
            },
            memory: found(Bytes::gibi(64)),
            memory_bound: Some(Bytes::gibi(4)),
            cpu_bound: Some(Millicores(1_500)),
            ..Default::default()
        };
        let all = survey.resources();
        assert_eq!((all.cpu, all.memory), (Millicores(1_500), Bytes::gibi(4)));
    }
}
