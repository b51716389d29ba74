//! The program of a job: its words and limits made ready, and the few system calls from fork to
//! `exec`.

use std::{
    ffi::{CString, NulError},
    io, ptr,
};

use libc::{c_char, c_int, rlimit};

use crate::spec::Spec;

/// What a job may lock in memory, in bytes.
const LOCKED: u64 = 8 << 20;

/// Everything `exec` needs, in the form in which the kernel takes it.
pub(super) struct Program {
    candidates: Vec<CString>,
    arguments: Pointers,
    environment: Pointers,
    limits: Vec<(c_int, rlimit)>,
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
            // What Rust ignores for itself would stay ignored in the program.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            for (which, limit) in &self.limits {
                if libc::prlimit(0, *which as _, limit, ptr::null_mut()) != 0 {
                    return io::Error::last_os_error();
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

fn limits(spec: &Spec, bounded: bool) -> Vec<(c_int, rlimit)> {
    let limits = &spec.limits;
    let mut all = vec![
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_FSIZE, limits.resources.disk.0),
        (libc::RLIMIT_MEMLOCK, LOCKED),
        (libc::RLIMIT_NOFILE, limits.open_files.into()),
        (libc::RLIMIT_NPROC, u64::from(limits.processes) + 1),
    ];
    if !bounded {
        all.push((libc::RLIMIT_DATA, limits.resources.memory.0));
    }
    all.into_iter()
        .map(|(which, most)| (which as c_int, rlimit { rlim_cur: most, rlim_max: most }))
        .collect()
}
