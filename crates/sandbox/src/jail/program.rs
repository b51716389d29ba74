//! The program of a job: its words and limits made ready, and the few system calls from fork to
//! `exec`.

use std::{
    ffi::{CString, NulError},
    io, ptr,
};

use libc::c_char;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::spec::Spec;

/// What a job may lock in memory, in bytes.
const LOCKED: u64 = 8 << 20;

/// Everything `exec` needs, in the form in which the kernel takes it.
pub(super) struct Program {
    candidates: Vec<CString>,
    arguments: Pointers,
    environment: Pointers,
    limits: Vec<(Resource, Rlimit)>,
}

/// Strings and the list of pointers to them that ends in zero.
struct Pointers {
    /// Never read again, but the pointers lead here.
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Program {
    /// Make it ready; `bounded` says that a cgroup bounds memory, else each process is bounded.
    pub(super) fn new(spec: &Spec, bounded: bool) -> io::Result<Self> {
        let arguments = [&spec.program].into_iter().chain(&spec.arguments).cloned();
        let environment = spec.surroundings().into_iter().map(|(name, it)| format!("{name}={it}"));
        Ok(Self {
            candidates: texts(spec.candidates())?,
            arguments: Pointers::new(texts(arguments)?),
            environment: Pointers::new(texts(environment)?),
            limits: limits(spec, bounded),
        })
    }

    /// Become the program; the answer is why that was not possible. Called between fork and `exec`:
    /// nothing here allocates or takes a lock.
    pub(super) fn exec(&self) -> io::Error {
        // SAFETY: plain system calls on values that live as long as `self`; the pointers lead into
        // strings owned by `self` and both lists end in zero.
        unsafe {
            libc::setsid();
            // What is ignored or held back here would stay so in the program.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            for (which, limit) in &self.limits {
                if let Err(errno) = setrlimit(*which, *limit) {
                    return errno.into();
                }
            }
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            let mut verdict = libc::ENOENT;
            for candidate in &self.candidates {
                libc::execve(
                    candidate.as_ptr(),
                    self.arguments.pointers.as_ptr(),
                    self.environment.pointers.as_ptr(),
                );
                match *libc::__errno_location() {
                    libc::ENOENT | libc::ENOTDIR => {}
                    other => verdict = other,
                }
            }
            io::Error::from_raw_os_error(verdict)
        }
    }
}

impl Pointers {
    fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect();
        Self { _texts: texts, pointers }
    }
}

fn texts(texts: impl IntoIterator<Item = String>) -> Result<Vec<CString>, NulError> {
    texts.into_iter().map(CString::new).collect()
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
