//! The recipe: how a process shuts itself in, one step after the other.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use landlock::{
    ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};
use primitives::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Gid, Mode, OFlags, Uid, mkdirat, openat, statat, symlinkat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
        OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
        mount_change, move_mount, open_tree, unmount,
    },
    process::{DumpableBehavior, Signal, pivot_root},
    thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, UnshareFlags},
};

use super::{
    device::Device,
    plan::Plan,
    view::{JOB, Shown, Thing},
    word::Step,
};

type Outcome<T> = Result<T, (Step, Errno)>;

/// Where `/proc` speaks of the whole machine; files first, then folders.
const MASKED_FILES: [&str; 9] = [
    "cmdline",
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "timer_list",
    "timer_stats",
];
const MASKED_FOLDERS: [&str; 6] = ["acpi", "asound", "bus", "driver", "fs", "scsi"];

/// Room for the few files and folders that we make at the root.
const SKELETON: Bytes = Bytes::mebi(1);

/// Shut this process in. `shim` is a pipe whose other end only the shim holds.
pub(super) fn jail(plan: &Plan, shim: BorrowedFd<'_>) -> Outcome<()> {
    // Nothing we mount may travel to the host, and nothing of the host's to us.
    at(
        Step::Private,
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE),
    )?;
    hide_cgroups()?;

    // Opened while we are still the shim's user: the way to the run folder may be closed to others.
    let shown = open_shown(&plan.view.shown)?;
    let work = at(Step::Work, tree(&plan.work, Restrict::Writable))?;
    let devices = open_devices(&plan.devices)?;
    let seat =
        at(Step::Root, openat(CWD, &plan.seat, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?;

    // Folders in memory belong to whoever makes them, so the job's user must.
    become_job(plan)?;
    let root = at(Step::Root, memory(SKELETON, "755"))?;
    at(Step::Root, place(&root, &seat, "."))?;
    place_shown(&root, &shown)?;
    write_etc(&root, &plan.view.texts)?;
    at(Step::Place, folder(&root, "work").and_then(|()| place(&work, &root, "work")))?;
    fill_dev(&root, &devices, plan.scratch)?;
    // A new /proc is granted only while the old one can still be seen.
    mount_proc(&root)?;
    let tmp = at(Step::Scratch, memory(plan.scratch, "1777"))?;
    at(Step::Scratch, folder(&root, "tmp").and_then(|()| place(&tmp, &root, "tmp")))?;
    at(Step::Seal, restrict(&root, Restrict::Sealed, false))?;

    // Stacking the new root upon the old one needs no folder for the old one (pivot_root(2)).
    at(Step::Pivot, rustix::process::fchdir(&root))?;
    at(Step::Pivot, pivot_root(".", "."))?;
    at(Step::Pivot, unmount(".", UnmountFlags::DETACH))?;
    at(Step::Pivot, rustix::process::chdir("/work"))?;

    at(Step::Name, rustix::system::sethostname(b"plaza"))?;
    at(Step::Loopback, raise_loopback())?;
    place_streams()?;

    // Rights go last: every step above needed some. Landlock and the filter demand that no program
    // can gain any.
    at(Step::Rights, rustix::thread::set_no_new_privs(true))?;
    raise_landlock()?;
    drop_rights()?;
    forget_our_name()?;
    at(Step::Silence, rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    die_with_the_shim(shim)?;
    seccompiler::apply_filter(&plan.filter).map_err(|_| (Step::Filter, last_errno()))
}

fn at<T>(step: Step, result: Result<T, Errno>) -> Outcome<T> {
    result.map_err(|errno| (step, errno))
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn hide_cgroups() -> Outcome<()> {
    // SAFETY: a new cgroup name space changes what is shown, and no descriptor of ours.
    match unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) } {
        // A kernel without cgroups has nothing to hide.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err((Step::CgroupSpace, errno)),
    }
}

/// How far a tree is cut down.
#[derive(Clone, Copy)]
enum Restrict {
    ReadOnly,
    Writable,
    Device,
    Sealed,
}

/// A private copy of the mount at `path` with all below it.
fn tree(path: &Path, how: Restrict) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = open_tree(CWD, path, flags)?;
    restrict(&tree, how, true)?;
    Ok(tree)
}

fn restrict(tree: &OwnedFd, how: Restrict, recursive: bool) -> Result<(), Errno> {
    let set = libc::MOUNT_ATTR_NOSUID
        | match how {
            Restrict::ReadOnly | Restrict::Sealed => {
                libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_RDONLY
            }
            Restrict::Writable => libc::MOUNT_ATTR_NODEV,
            Restrict::Device => libc::MOUNT_ATTR_NOEXEC,
        };
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: a valid descriptor, an empty path that ends in zero, and a structure whose size is
    // given and that lives through the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if answer == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Mount `what` onto `name` in `folder`.
fn place(what: &OwnedFd, folder: impl AsFd, name: &str) -> Result<(), Errno> {
    move_mount(what, "", folder, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// A folder in memory, bounded in bytes and entries.
fn memory(size: Bytes, mode: &str) -> Result<OwnedFd, Errno> {
    let kind = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(kind.as_fd(), "size", size.0.to_string())?;
    fsconfig_set_string(kind.as_fd(), "nr_inodes", (size.0 / 4_096).max(512).to_string())?;
    fsconfig_set_string(kind.as_fd(), "mode", mode)?;
    fsconfig_create(kind.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(kind.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn folder(root: &OwnedFd, name: &str) -> Result<(), Errno> {
    match mkdirat(root, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Make the folders above `name`, which is relative and free of dots.
fn folders_above(root: &OwnedFd, name: &str) -> Result<(), Errno> {
    let ends = name.match_indices('/').map(|(end, _)| end);
    ends.into_iter().try_for_each(|end| folder(root, &name[..end]))
}

fn empty_file(root: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(root, name, flags, Mode::from_raw_mode(0o644))
}

struct Opened<'a> {
    shown: &'a Shown,
    tree: Option<OwnedFd>,
}

fn open_shown(shown: &[Shown]) -> Outcome<Vec<Opened<'_>>> {
    fn open(shown: &Shown) -> Result<Opened<'_>, Errno> {
        let tree = match &shown.thing {
            Thing::Tree(path) | Thing::File(path) => Some(tree(path, Restrict::ReadOnly)?),
            Thing::Link(_) => None,
        };
        Ok(Opened { shown, tree })
    }
    at(Step::Trees, shown.iter().map(open).collect())
}

fn place_shown(root: &OwnedFd, opened: &[Opened<'_>]) -> Outcome<()> {
    for Opened { shown, tree } in opened {
        let name = shown.inside.as_str();
        at(Step::Place, folders_above(root, name))?;
        let made = match &shown.thing {
            Thing::Tree(_) => folder(root, name),
            Thing::File(_) => empty_file(root, name).map(drop),
            Thing::Link(target) => symlinkat(target, root, name),
        };
        at(Step::Place, made)?;
        if let Some(tree) = tree {
            at(Step::Place, place(tree, root, name))?;
        }
    }
    Ok(())
}

fn write_etc(root: &OwnedFd, texts: &[(&str, String)]) -> Outcome<()> {
    for (name, text) in texts {
        let write = || {
            folder(root, "etc")?;
            let file = empty_file(root, &format!("etc/{name}"))?;
            rustix::io::write(&file, text.as_bytes()).map(drop)
        };
        at(Step::Etc, write())?;
    }
    Ok(())
}

fn open_devices(devices: &[Device]) -> Outcome<Vec<(&str, OwnedFd)>> {
    fn open(device: &Device) -> Result<(&str, OwnedFd), Errno> {
        // The number decides, not the name: a device that was put in its place is refused.
        let stat = statat(CWD, &device.outside, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let genuine = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if !genuine || number != device.number {
            return Err(Errno::NODEV);
        }
        Ok((&device.name, tree(&device.outside, Restrict::Device)?))
    }
    at(Step::Devices, devices.iter().map(open).collect())
}

fn fill_dev(root: &OwnedFd, devices: &[(&str, OwnedFd)], scratch: Bytes) -> Outcome<()> {
    let fill = || {
        folder(root, "dev")?;
        let dev = memory(SKELETON, "755")?;
        place(&dev, root, "dev")?;
        for (name, device) in devices {
            drop(empty_file(&dev, name)?);
            place(device, &dev, name)?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            symlinkat(target, &dev, name)?;
        }
        folder(&dev, "shm")?;
        place(&memory(scratch, "1777")?, &dev, "shm")?;
        restrict(&dev, Restrict::Sealed, false)
    };
    at(Step::Dev, fill())
}

fn mount_proc(root: &OwnedFd) -> Outcome<()> {
    let mount = || {
        let kind = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(kind.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let proc = fsmount(kind.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        folder(root, "proc")?;
        place(&proc, root, "proc")?;
        Ok(proc)
    };
    let proc = at(Step::Proc, mount())?;
    for name in MASKED_FILES {
        at(Step::Mask, cover(&proc, name, || null_again(root)))?;
    }
    for name in MASKED_FOLDERS {
        at(
            Step::Mask,
            cover(&proc, name, || {
                let nothing = memory(SKELETON, "555")?;
                restrict(&nothing, Restrict::Sealed, false)?;
                Ok(nothing)
            }),
        )?;
    }
    Ok(())
}

/// Another copy of our own `/dev/null`, which is already in place.
fn null_again(root: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(root, "dev/null", flags)
}

fn cover(
    proc: &OwnedFd,
    name: &str,
    with: impl FnOnce() -> Result<OwnedFd, Errno>,
) -> Result<(), Errno> {
    match statat(proc, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
        Ok(_) => place(&with()?, proc, name),
    }
}

fn become_job(plan: &Plan) -> Outcome<()> {
    let (user, group) = (Uid::from_raw(JOB), Gid::from_raw(JOB));
    if plan.own_user.is_some() {
        at(Step::Identity, rustix::thread::set_thread_groups(&[]))?;
    }
    at(Step::Identity, rustix::thread::set_thread_res_gid(group, group, group))?;
    at(Step::Identity, rustix::thread::set_thread_res_uid(user, user, user))
}

fn raise_loopback() -> Result<(), Errno> {
    /// `IFF_UP` and `IFF_RUNNING`, in the width the structure has.
    const UP: libc::c_short = 0x1 | 0x40;

    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all zeros is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = UP;
    // SAFETY: a socket of ours and a request that lives through the call.
    let answer =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if answer == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Give the program our `/dev/null` as its input.
fn place_streams() -> Outcome<()> {
    let null = at(Step::Streams, openat(CWD, "/dev/null", OFlags::RDONLY, Mode::empty()))?;
    // SAFETY: what was at 0 came from the shim and is given up on purpose.
    match unsafe { libc::dup2(null.as_raw_fd(), 0) } {
        0 => Ok(()),
        _ => Err((Step::Streams, last_errno())),
    }
}

/// The ABI of Landlock that this kernel speaks.
pub(crate) fn landlock_abi() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes no structure and only answers a number.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0usize,
            VERSION,
        )
    };
    u32::try_from(answer).ok().filter(|abi| *abi > 0)
}

/// A second wall behind the mounts: read everything, write to three folders, reach nobody outside.
fn raise_landlock() -> Outcome<()> {
    if landlock_abi().is_none() {
        return Ok(());
    }
    let abi = ABI::V6;
    let raise = || -> Result<RulesetStatus, landlock::RulesetError> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(["/"], AccessFs::from_read(abi)))?
            .add_rules(path_beneath_rules(["/work", "/tmp", "/dev"], AccessFs::from_all(abi)))?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    match raise() {
        Ok(RulesetStatus::NotEnforced) | Err(_) => Err((Step::Landlock, last_errno())),
        Ok(_) => Ok(()),
    }
}

fn drop_rights() -> Outcome<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    at(Step::Rights, rustix::thread::set_capabilities_secure_bits(bits))?;
    for number in 0..u64::BITS {
        // Past the last capability the kernel knows there is nothing to drop.
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if rustix::thread::remove_capability_from_bounding_set(capability) == Err(Errno::INVAL) {
            break;
        }
    }
    at(Step::Rights, rustix::thread::clear_ambient_capability_set())?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    at(Step::Rights, rustix::thread::set_capabilities(None, none))
}

/// Wipe the command line we were cloned with: it tells everyone inside where the host keeps its runs.
fn forget_our_name() -> Outcome<()> {
    at(Step::Silence, rustix::thread::set_name(c"plaza"))?;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some((start, end)) = argument_range(&stat) {
        // SAFETY: the kernel placed the arguments of this process there, on its own stack, and only
        // the shim's copy of this memory is ever read as arguments again.
        unsafe { std::ptr::write_bytes(start as *mut u8, 0, end - start) };
    }
    Ok(())
}

/// Where the kernel placed the arguments: fields 48 and 49 of `/proc/PID/stat` (proc(5)).
fn argument_range(stat: &str) -> Option<(usize, usize)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(48 - 3);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (start != 0 && start < end).then_some((start, end))
}

/// Ask the kernel to kill us when the shim dies, and find out whether it already has.
fn die_with_the_shim(shim: BorrowedFd<'_>) -> Outcome<()> {
    // Asked for after the last change of rights, which would have made the kernel forget it.
    at(Step::Parent, rustix::process::set_parent_process_death_signal(Some(Signal::KILL)))?;
    let mut pipe = [PollFd::from_borrowed_fd(shim, PollFlags::IN)];
    at(Step::Parent, poll(&mut pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
    if pipe[0].revents().contains(PollFlags::HUP) {
        Err((Step::Parent, Errno::PIPE))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_this_process_lie_where_the_kernel_says() {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("a process");
        let (start, end) = argument_range(&stat).expect("arguments");
        let whole = std::fs::read("/proc/self/cmdline").expect("arguments");
        assert_eq!(end - start, whole.len());
        assert_eq!(argument_range("1 (x) S 0 0"), None);
    }
}
