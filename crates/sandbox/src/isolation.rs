//! What really stands between a run and the machine, so that nobody sells more than is enforced.

use serde::{Deserialize, Serialize};

/// How a limit is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// The kernel holds it for all processes of the run together (cgroup).
    Kernel,
    /// The kernel holds it for each process alone (rlimit), and the sum is watched.
    PerProcess,
    /// The shim looks every so often and ends the run that is beyond it.
    Watched,
    /// Nobody holds it.
    Open,
}

/// The walls of a run as they were really built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Own user, process, mount, network, message and name spaces.
    pub namespaces: bool,
    /// The list of system calls that are answered.
    pub seccomp: bool,
    /// The Landlock ABI in force, `None` when the kernel has none.
    pub landlock: Option<u32>,
    /// Whether work runs as a user that owns nothing else on the machine.
    pub own_user: bool,
    /// Processor share.
    pub cpu: Wall,
    /// Memory; only `Kernel` can tell that memory was the cause of a kill.
    pub memory: Wall,
    /// Number of processes.
    pub processes: Wall,
    /// Disk.
    pub disk: Wall,
    /// Whether processor time and memory are counted by the kernel for the run as a whole.
    pub accounting: bool,
    /// Whether WebAssembly modules can be compiled and executed.
    #[serde(default)]
    pub wasm: bool,
    /// Whether a pause is the kernel's freezer (else stop signals).
    pub freezer: bool,
}

impl Isolation {
    /// The names of the walls that stand, for an offer.
    pub fn names(&self) -> Vec<&'static str> {
        let cgroup = [self.cpu, self.memory, self.processes].contains(&Wall::Kernel);
        [
            ("cgroup", cgroup),
            ("landlock", self.landlock.is_some()),
            ("namespaces", self.namespaces),
            ("own-user", self.own_user),
            ("seccomp", self.seccomp),
        ]
        .into_iter()
        .filter_map(|(name, stands)| stands.then_some(name))
        .collect()
    }

    /// Whether several leases may share the machine: processor, memory and processes of each are
    /// held by the kernel. Otherwise only the whole machine may be sold, one lease at a time.
    pub fn is_shareable(&self) -> bool {
        [self.cpu, self.memory, self.processes] == [Wall::Kernel; 3]
            && self.namespaces
            && self.seccomp
    }
}
