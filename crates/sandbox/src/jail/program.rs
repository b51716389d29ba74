//! The program of a job: its words made ready for `exec`.

use std::{
    ffi::{CString, NulError},
    io, ptr,
};

use libc::c_char;

use crate::spec::Spec;

/// Everything `exec` needs, in the form in which the kernel takes it.
pub(super) struct Program {
    candidates: Vec<CString>,
    arguments: Pointers,
    environment: Pointers,
}

/// Strings and the list of pointers to them that ends in zero.
struct Pointers {
    /// Never read again, but the pointers lead here.
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Program {
    /// Make it ready.
    pub(super) fn new(spec: &Spec) -> io::Result<Self> {
        let arguments = [&spec.program].into_iter().chain(&spec.arguments).cloned();
        let environment = spec.surroundings().into_iter().map(|(name, it)| format!("{name}={it}"));
        Ok(Self {
            candidates: texts(spec.candidates())?,
            arguments: Pointers::new(texts(arguments)?),
            environment: Pointers::new(texts(environment)?),
        })
    }

    /// Become the program; the answer is why that was not possible. Called between fork and `exec`:
    /// nothing here allocates or takes a lock.
    pub(super) fn exec(&self) -> io::Error {
        // SAFETY: plain system calls on values that live as long as `self`; the pointers lead into
        // strings owned by `self` and both lists end in zero.
        unsafe {
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
