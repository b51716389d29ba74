//! What a process takes on before it becomes the job: a session of its own, plain signals, its limits.

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::spec::Spec;

/// What a job may lock in memory, in bytes.
const LOCKED: u64 = 8 << 20;

/// The limits of each process of a job.
pub(super) struct Setting(Vec<(Resource, Rlimit)>);

impl Setting {
    /// Make it ready; `bounded` says that a cgroup bounds memory, else each process is bounded.
    pub(super) fn new(spec: &Spec, bounded: bool) -> Self {
        Self(limits(spec, bounded))
    }

    /// Take it on. Called between fork and `exec`: nothing here allocates or takes a lock.
    pub(super) fn take(&self) -> Result<(), Errno> {
        // SAFETY: plain system calls, and a set on the stack.
        unsafe {
            libc::setsid();
            // What is ignored or held back here would stay so in the program.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
        self.0.iter().try_for_each(|(which, limit)| setrlimit(*which, *limit))
    }
}

fn limits(spec: &Spec, bounded: bool) -> Vec<(Resource, Rlimit)> {
    let limits = &spec.limits;
    let mut all = vec![
        // One byte, because the kernel takes zero for "no file" but still starts a collector of
        // dumps, on the host and as root; at one it does neither (core(5), fs/coredump.c).
        (Resource::Core, 1),
        (Resource::Fsize, limits.resources.disk.0),
        (Resource::Memlock, LOCKED),
        (Resource::Nofile, limits.open_files.into()),
        // One more for the first process, which is ours.
        (Resource::Nproc, u64::from(limits.processes) + 1),
    ];
    if !bounded {
        all.push((Resource::Data, limits.resources.memory.0));
    }
    all.into_iter()
        .map(|(which, most)| {
            // What the shim itself may not go beyond, its work may not either.
            let most = getrlimit(which).maximum.map_or(most, |bound| bound.min(most));
            (which, Rlimit { current: Some(most), maximum: Some(most) })
        })
        .collect()
}
