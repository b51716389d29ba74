//! The walls of a run, as they were really built, and what to clear away should its shim die.

use std::{io, path::PathBuf};

use crate::{
    cgroup::Cgroup,
    folder::{Durability, Folder, write_record},
    isolation::{Isolation, Wall},
    jail,
};

/// Write down which walls stand, and what to clear away should we die.
pub(super) fn note(folder: &Folder, cgroup: &Cgroup, own_user: Option<u32>) -> io::Result<()> {
    let folders: Vec<PathBuf> = cgroup.folders();
    write_record(&folder.cgroups(), &folders, Durability::Death).map_err(io::Error::other)?;
    let wall = |held: bool, otherwise| if held { Wall::Kernel } else { otherwise };
    let isolation = Isolation {
        namespaces: true,
        seccomp: true,
        landlock: jail::landlock_abi(),
        own_user: own_user.is_some(),
        cpu: wall(cgroup.limits_cpu(), Wall::Open),
        memory: wall(cgroup.limits_memory(), Wall::PerProcess),
        processes: wall(cgroup.limits_processes(), Wall::PerProcess),
        disk: Wall::Watched,
        // Nobody knows before one was executed.
        wasm: false,
        accounting: cgroup.accounts(),
        freezer: cgroup.freezes(),
    };
    write_record(&folder.isolation(), &isolation, Durability::Death).map_err(io::Error::other)
}
