//! The list of system calls as a program for the kernel (seccomp(2)).
//!
//! A call that is not on the list answers "no such call" (`ENOSYS`): programs know how to do
//! without a call their kernel lacks, while a refusal (`EPERM`) makes many of them give up. A
//! program for another processor kind than the machine's is killed.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

use super::calls::{EVERYWHERE, HERE, UNNAMED};

/// Every way to ask `clone` for a name space of one's own.
const NEW_SPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Kinds of nodes that anyone may make.
const NODES: [u32; 4] = [0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];

/// Families of sockets that stay inside: the loopback, and names in the file system.
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Personalities that only change what `uname` says (personality(2)); all ones asks.
const PERSONALITIES: [u32; 3] = [0, 0x0002_0000, 0xffff_ffff];

/// Ways to type into someone else's terminal.
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// The compiled list.
pub(super) fn program() -> Result<BpfProgram, BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(
        rules()?,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        SeccompAction::Allow,
        arch,
    )?
    .try_into()
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        EVERYWHERE.iter().chain(UNNAMED).chain(HERE).map(|(_, call)| (*call, Vec::new())).collect();
    let mask = u64::from(NEW_SPACES.cast_unsigned());
    rules.insert(libc::SYS_clone, vec![all(&[when(0, SeccompCmpOp::MaskedEq(mask), 0)?])?]);
    let typing: Result<Vec<_>, _> =
        TYPING.into_iter().map(|word| when(1, SeccompCmpOp::Ne, word)).collect();
    rules.insert(libc::SYS_ioctl, vec![all(&typing?)?]);
    let families: Vec<u64> = FAMILIES.iter().map(|it| u64::from(it.cast_unsigned())).collect();
    rules.insert(libc::SYS_socket, any(0, &families)?);
    rules.insert(libc::SYS_socketpair, any(0, &families[..1])?);
    rules.insert(libc::SYS_personality, any(0, &PERSONALITIES.map(u64::from))?);
    rules.insert(libc::SYS_mknodat, nodes(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, nodes(1)?);
    Ok(rules)
}

fn nodes(argument: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let kind = SeccompCmpOp::MaskedEq(libc::S_IFMT.into());
    NODES.iter().map(|node| all(&[when(argument, kind.clone(), (*node).into())?])).collect()
}

fn any(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    values.iter().map(|value| all(&[when(argument, SeccompCmpOp::Eq, *value)?])).collect()
}

fn all(conditions: &[SeccompCondition]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.to_vec())
}

fn when(argument: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value)
}

#[cfg(test)]
mod tests;
