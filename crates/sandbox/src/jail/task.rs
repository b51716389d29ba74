//! What the second process of a jail becomes: a program, or the executor of a module.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

use super::{module::Module, program::Program, setting::Setting, word::Step};

/// What is done inside.
pub(super) struct Task {
    pub(super) setting: Setting,
    pub(super) what: What,
}

/// A program or a module.
pub(super) enum What {
    Program(Program),
    Module(Module),
}

impl Task {
    /// The step that fails when it cannot be begun.
    pub(super) fn step(&self) -> Step {
        match self.what {
            What::Program(_) => Step::Exec,
            What::Module(_) => Step::Load,
        }
    }

    /// Become it: this process never returns from here. The number of an error goes to `verdict`; it
    /// closes without a word when the work has begun.
    pub(super) fn perform(&self, verdict: OwnedFd) -> ! {
        let status = match (self.setting.take(), &self.what) {
            (Err(errno), _) => refuse(&verdict, errno.raw_os_error()),
            (Ok(()), What::Program(program)) => {
                refuse(&verdict, program.exec().raw_os_error().unwrap_or(libc::EIO))
            }
            (Ok(()), What::Module(module)) => module
                .perform(verdict, |verdict| {
                    refuse(&verdict, Errno::IO.raw_os_error());
                })
                .into(),
        };
        // SAFETY: ends this process at once, without running anything of those it was forked from.
        unsafe { libc::_exit(status) }
    }
}

/// Allocates nothing, for what comes before `exec`.
fn refuse(verdict: &OwnedFd, number: i32) -> i32 {
    let bytes = number.to_ne_bytes();
    // SAFETY: a write of four bytes that live on the stack.
    unsafe { libc::write(verdict.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    127
}
