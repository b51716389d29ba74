//! The shim's side of making a jail.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::Pid,
};

use super::{
    first::{self, Ends},
    fork::fork,
    plan::Plan,
    view::JOB,
    word::{Step, WORD, Word},
};

/// A jail whose first process lives.
pub(crate) struct Jail {
    pub(crate) first: Pid,
    pub(crate) words: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
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
