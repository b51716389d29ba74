//! The jail: a process tree with its own name spaces, its own root folder, few system calls, and no
//! rights.
//!
//! Upon `launch`: the shim clones a child into new name spaces; the child waits. The shim writes
//! the child's identity map and puts it into its cgroup, then lets it go. The child, first process
//! of its own process space, follows the recipe in [`build`], starts the program, reports to the
//! shim over one pipe, waits for everything that ends inside, and ends with the program; the kernel
//! then kills what is left. When the shim dies, the kernel kills the child and so all.
//!
//! In: a [`Plan`], complete before the clone. Out: [`Word`]s of the child, the two streams.
//!
//! Invariant: the shim has one thread, so the child may use memory freely until it starts the
//! program; between that fork and `exec` there are only system calls on values made before.

mod build;
mod calls;
mod filter;
mod first;
mod program;
mod view;
mod word;

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use primitives::Bytes;
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::Pid,
};
use seccompiler::BpfProgram;

use crate::{folder::Folder, spec::Spec};

pub(crate) use build::landlock_abi;
pub(crate) use view::{Unstartable, locate};
pub(crate) use word::{Step, WORD, Word};

use program::Program;
use view::View;

/// The user and group a job finds itself to be.
pub(crate) const JOB: u32 = 1_000;

/// Everything the child needs, made before it exists.
pub(crate) struct Plan {
    view: View,
    program: Program,
    filter: BpfProgram,
    work: PathBuf,
    /// An empty folder on which the new root is put before it becomes the root.
    seat: PathBuf,
    /// The user outside that is the job inside; `None` keeps the shim's own.
    own_user: Option<u32>,
    /// Bound of each folder that lives in memory.
    scratch: Bytes,
}

/// A jail whose first process lives.
pub(crate) struct Jail {
    pub(crate) first: Pid,
    pub(crate) words: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The child's ends of the pipes.
struct Ends {
    go: OwnedFd,
    words: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Plan {
    /// Work out the jail for `spec`; `bounded` says that a cgroup bounds its memory.
    pub(crate) fn new(
        spec: &Spec,
        folder: &Folder,
        own_user: Option<u32>,
        bounded: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            view: View::of(&spec.root)?,
            program: Program::new(spec, bounded)?,
            filter: filter::program().map_err(io::Error::other)?,
            work: folder.work(),
            seat: folder.root(),
            own_user,
            scratch: Bytes((spec.limits.resources.memory.0 / 2).max(1 << 20)),
        })
    }
}

/// Make the jail; `join` is told its first process before anything runs in it.
pub(crate) fn launch(
    plan: &Plan,
    join: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<Jail, (Step, io::Error)> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| (Step::Pipes, error.into()));
    let (go, permit) = pipe()?;
    let (words, words_end) = pipe()?;
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let spaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    // SAFETY: this process has one thread (the shim checked), so the child may go on using memory;
    // it never returns from `first::process`.
    let forked = unsafe { fork(spaces) }.map_err(|error| (Step::Spaces, error))?;
    let Some(first) = forked else {
        first::process(plan, Ends { go, words: words_end, stdout: stdout_end, stderr: stderr_end })
    };
    drop((go, words_end, stdout_end, stderr_end));
    map_identity(first, plan.own_user).map_err(|error| (Step::Map, error))?;
    join(first).map_err(|error| (Step::Cgroup, error))?;
    rustix::io::write(&permit, &[1]).map_err(|error| (Step::Permit, error.into()))?;
    // The other end stays with the child: it closes when we die, which is how the child learns of a
    // death that came before it could ask the kernel for a signal.
    std::mem::forget(permit);
    Ok(Jail { first, words, stdout, stderr })
}

/// Clone this process as `fork` does, into the name spaces of `flags`; `None` in the child.
///
/// # Safety
/// The process must have one thread, or the child must restrict itself to system calls.
unsafe fn fork(flags: i32) -> io::Result<Option<Pid>> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without a stack and without CLONE_VM the call behaves as `fork`; the caller answers
    // for the threads.
    let answer = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(answer) {
        Ok(pid) if pid >= 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Make [`JOB`] inside stand for one user outside (user_namespaces(7)).
fn map_identity(first: Pid, own_user: Option<u32>) -> io::Result<()> {
    let process = PathBuf::from(format!("/proc/{}", first.as_raw_nonzero()));
    let (user, group) = match own_user {
        Some(user) => (user, user),
        None => {
            // Without privilege the kernel demands this before a group may be mapped.
            fs::write(process.join("setgroups"), "deny")?;
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
        }
    };
    fs::write(process.join("gid_map"), format!("{JOB} {group} 1"))?;
    fs::write(process.join("uid_map"), format!("{JOB} {user} 1"))
}

/// Read the next word of the child; `None` when it can say no more.
pub(crate) fn hear(words: impl AsFd) -> io::Result<Option<Word>> {
    let mut bytes = [0; WORD];
    match rustix::io::read(words, &mut bytes)? {
        WORD => Ok(Word::decode(bytes)),
        _ => Ok(None),
    }
}
