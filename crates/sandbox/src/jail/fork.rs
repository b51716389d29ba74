//! Cloning this process, into new name spaces or not.

use std::io;

use rustix::process::Pid;

/// Clone this process as `fork` does, into the name spaces of `flags`; `None` in the child.
///
/// # Safety
/// The process must have one thread, or the child must restrict itself to system calls.
pub(super) unsafe fn fork(flags: i32) -> io::Result<Option<Pid>> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without a stack and without CLONE_VM the call behaves as `fork`; the caller answers
    // for the threads.
    let answer = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(answer) {
        Ok(pid) if pid >= 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}
