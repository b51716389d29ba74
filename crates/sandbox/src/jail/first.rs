//! The first process inside: builds the jail around itself, starts the program, and reaps.
//!
//! It holds no rights and no memory of value, cannot be looked into by the job (it is not
//! dumpable), answers TERM by passing it to the program's group, and ends with the program.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicI32, Ordering},
};

use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, WaitOptions, wait},
};

use super::{
    build,
    fork::fork,
    plan::Plan,
    word::{Step, Word},
};
use crate::stopwatch::monotonic;

/// The child's ends of the pipes.
pub(super) struct Ends {
    pub(super) go: OwnedFd,
    pub(super) words: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Where the pipes lie once everything else is closed.
const WORDS: RawFd = 3;
const GO: RawFd = 4;

/// Above any descriptor a shim has, so that moving one never overwrites another.
const ASIDE: RawFd = 200;

/// The program, for the handler of TERM; 0 while there is none.
static PROGRAM: AtomicI32 = AtomicI32::new(0);

/// Be the first process of a jail. Never returns.
pub(super) fn process(plan: &Plan, ends: Ends) -> ! {
    let status = match settle(ends) {
        Ok((words, go)) => {
            if let Err((step, errno)) = live(plan, words.as_fd(), go.as_fd()) {
                say(words.as_fd(), Word::Failed { step, errno: errno.raw_os_error() });
            }
            0
        }
        Err(_) => 1,
    };
    // SAFETY: ends this process at once, without running anything of the shim we were cloned from.
    unsafe { libc::_exit(status) }
}

/// Keep only the streams and two pipes, whatever the shim had open.
fn settle(ends: Ends) -> io::Result<(OwnedFd, OwnedFd)> {
    let aside = |end: OwnedFd| rustix::io::fcntl_dupfd_cloexec(end, ASIDE);
    let (stdout, stderr) = (aside(ends.stdout)?, aside(ends.stderr)?);
    let (words, go) = (aside(ends.words)?, aside(ends.go)?);
    for (end, number, flags) in [
        (&stdout, 1, 0),
        (&stderr, 2, 0),
        (&words, WORDS, libc::O_CLOEXEC),
        (&go, GO, libc::O_CLOEXEC),
    ] {
        // SAFETY: both are descriptors of ours; what was at `number` is given up on purpose.
        if unsafe { libc::dup3(end.as_raw_fd(), number, flags) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // The copies made above are among what is closed here.
    std::mem::forget((stdout, stderr, words, go));
    // SAFETY: closes descriptors that nothing in this process uses from here on.
    if unsafe { libc::syscall(libc::SYS_close_range, GO + 1, u32::MAX, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: placed there above and owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(WORDS), OwnedFd::from_raw_fd(GO)) })
}

fn live(plan: &Plan, words: BorrowedFd<'_>, go: BorrowedFd<'_>) -> Result<(), (Step, Errno)> {
    // A TERM that comes before there is anyone to pass it to waits until there is.
    mask_term(libc::SIG_BLOCK);
    let mut permit = [0];
    match rustix::io::read(go, &mut permit) {
        Ok(1) => {}
        Ok(_) => return Ok(()),
        Err(errno) => return Err((Step::Permit, errno)),
    }
    build::jail(plan, go)?;
    let program = start(plan, words)?;
    pass_on_term(program);
    mask_term(libc::SIG_UNBLOCK);
    let status = reap(program);
    say(words, Word::Exited { status });
    Ok(())
}

/// Fork and become the program in the child; returns when it has begun: its `exec` has succeeded, or
/// its module is loaded.
fn start(plan: &Plan, words: BorrowedFd<'_>) -> Result<Pid, (Step, Errno)> {
    let (verdict, verdict_end) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| (Step::Fork, errno))?;
    // SAFETY: this process has one thread, so the child may go on using memory; it never returns.
    let forked = unsafe { fork(0) }.map_err(|error| (Step::Fork, errno_of(&error)))?;
    let Some(program) = forked else { plan.task.perform(verdict_end) };
    drop(verdict_end);
    let mut bytes = [0; 4];
    if let Ok(4) = rustix::io::read(&verdict, &mut bytes) {
        return Err((plan.task.step(), Errno::from_raw_os_error(i32::from_ne_bytes(bytes))));
    }
    say(words, Word::Started { at: monotonic() });
    // From here on the streams belong to the job alone: they end when it does.
    for number in 1..=2 {
        // SAFETY: our copies of the streams, which nothing here uses again.
        unsafe { libc::close(number) };
    }
    Ok(program)
}

/// Wait for whatever ends inside until the program does; gives its wait status.
fn reap(program: Pid) -> i32 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => return status.as_raw(),
            Ok(_) | Err(Errno::INTR) => {}
            // Without children there is no program either; this cannot be told from a kill.
            Err(_) => return libc::SIGKILL,
        }
    }
}

fn pass_on_term(program: Pid) {
    PROGRAM.store(program.as_raw_nonzero().get(), Ordering::Relaxed);
    // SAFETY: the handler reads one atomic and makes one system call.
    unsafe { libc::signal(libc::SIGTERM, on_term as *const () as libc::sighandler_t) };
}

fn mask_term(how: i32) {
    // SAFETY: a set on the stack, and one system call; this process has one thread.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigprocmask(how, &raw const set, std::ptr::null_mut());
    }
}

extern "C" fn on_term(_signal: i32) {
    let program = PROGRAM.load(Ordering::Relaxed);
    if let Some(program) = Pid::from_raw(program) {
        // The program leads its own group; whoever is gone needs no signal.
        let _ = rustix::process::kill_process_group(program, Signal::TERM);
    }
}

fn say(words: BorrowedFd<'_>, word: Word) {
    // A shim that cannot hear us is dead, and so shall we be.
    let _ = rustix::io::write(words, &word.encode());
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
