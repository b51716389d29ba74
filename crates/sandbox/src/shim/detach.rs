//! Leaving the provider: own session, own process, nothing inherited, the lock taken.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    process::ExitCode,
    time::Duration,
};

use rustix::{
    fs::{FileType, FlockOperation, Mode, fcntl_lock, mknodat},
    pipe::{PipeFlags, pipe_with},
};

use super::ticket::State;
use crate::folder::{Durability, Folder, write_record};

/// The exit status of a shim that failed before it could keep a run.
pub(super) const FAILED: u8 = 125;

/// Which of the two processes we are after detaching.
pub(super) enum Side {
    /// The one that was started: ends at once, with this code.
    Starter(ExitCode),
    /// The one that stays, holding the lock of the run.
    Keeper(File),
}

/// What the keeper says to the starter when it holds the run.
const KEPT: &[u8] = b"kept";

pub(super) fn detach(folder: &Folder) -> io::Result<Side> {
    close_inherited()?;
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the shim was called in a process with threads"));
    }
    let (ear, mouth) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::process::setsid()?;
    // SAFETY: this process has one thread, as checked above.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ear);
            settle(folder, File::from(mouth))
        }
        _ => {
            drop(mouth);
            relay(ear)
        }
    }
}

/// The starter: wait until the run is kept, or pass on why not.
fn relay(ear: OwnedFd) -> io::Result<Side> {
    let mut words = Vec::new();
    File::from(ear).read_to_end(&mut words)?;
    if words == KEPT {
        return Ok(Side::Starter(ExitCode::SUCCESS));
    }
    io::stderr().write_all(&words)?;
    Ok(Side::Starter(ExitCode::from(FAILED)))
}

/// The keeper: take the run, then let go of the starter's streams.
fn settle(folder: &Folder, mut mouth: File) -> io::Result<Side> {
    match take(folder).and_then(|lock| leave_streams().map(|()| lock)) {
        Ok(lock) => {
            mouth.write_all(KEPT)?;
            Ok(Side::Keeper(lock))
        }
        Err(error) => {
            mouth.write_all(error.to_string().as_bytes())?;
            Ok(Side::Starter(ExitCode::from(FAILED)))
        }
    }
}

fn take(folder: &Folder) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let lock = options.open(folder.lock())?;
    // A record lock, because it names its holder and is not passed on to children.
    fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::other("another shim keeps this run"))?;
    if folder.state().exists() || folder.exit().exists() {
        return Err(io::Error::other("this run was started before"));
    }
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(rustix::fs::CWD, folder.control(), FileType::Fifo, mode, 0)?;
    let state = State { watch: None, limit: Duration::ZERO };
    write_record(&folder.state(), &state, Durability::Death).map_err(io::Error::other)?;
    Ok(lock)
}

fn leave_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: both are descriptors of this process, and nothing else uses the streams.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    std::env::set_current_dir("/")
}

/// Close whatever the provider left open to us by mistake.
fn close_inherited() -> io::Result<()> {
    // SAFETY: nothing in this process has opened a descriptor yet.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
