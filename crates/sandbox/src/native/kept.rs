//! A run that a shim keeps, seen from a provider: through the run folder and nothing else.
//!
//! Upon a change in the folder or the death of the shim the kernel wakes us (inotify, pidfd);
//! nothing is polled. Upon finding the lock free and no exit record: the shim died, its work with
//! it, and we write the record of the loss in its place.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use primitives::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, inotify},
    io::Errno,
    process::{Flock, FlockType, Pid, PidfdFlags, fcntl_getlk, pidfd_open},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::kernel::{blocking, file};
use crate::{
    cgroup,
    chain::{Beat, Chain},
    disk,
    error::Error,
    folder::{Durability, Folder, Stream, read_record, write_record},
    judge,
    outcome::ExitRecord,
    runtime::{Output, Phase, Progress, Run},
    shim::State,
    stopwatch::monotonic,
};

/// How long a shim may take to end after its last word.
const PARTING: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// A run found by its folder.
pub(super) struct Kept {
    folder: Folder,
    changes: AsyncFd<OwnedFd>,
    /// Readable once the shim is dead; `None` when it was dead when we looked.
    death: Option<AsyncFd<OwnedFd>>,
    read: Mutex<Cursor>,
}

/// How far the samples were read and checked.
#[derive(Clone, Copy, Default)]
struct Cursor {
    offset: u64,
    chain: Chain,
}

impl Kept {
    pub(super) fn find(folder: Folder) -> Result<Self, Error> {
        let path = folder.path();
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let changes = file("watching", path, inotify::init(flags))?;
        let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO;
        file("watching", path, inotify::add_watch(&changes, path, events))?;
        let changes = file("watching", path, readable(changes))?;
        let death = match keeper(&folder)? {
            Some(shim) => match pidfd_open(shim, PidfdFlags::empty()) {
                Ok(death) => Some(file("watching the shim of", path, readable(death))?),
                // It died between the two questions.
                Err(Errno::SRCH) => None,
                Err(error) => return Err(Error::file("watching the shim of", path, error)),
            },
            None => None,
        };
        Ok(Self { folder, changes, death, read: Mutex::default() })
    }

    fn tell(&self, line: &str) -> Result<(), Error> {
        let path = self.folder.control();
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
        let told = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(&path)
            .and_then(|mut control| control.write_all(line.as_bytes()));
        match told {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENOENT)) => {
                Err(Error::NotRunning { folder: self.folder.path().to_owned() })
            }
            Err(error) => Err(Error::file("writing to", path, error)),
        }
    }

    fn drain_changes(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut events = inotify::Reader::new(self.changes.get_ref(), &mut buffer);
        while events.next().is_ok() {}
    }
}

#[async_trait]
impl Run for Kept {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn progress(&self) -> Result<Progress, Error> {
        progress(&self.folder)
    }

    async fn changed(&self) -> Result<(), Error> {
        let death = async {
            match &self.death {
                Some(death) => death.readable().await.map(|mut guard| guard.retain_ready()),
                None => Ok(()),
            }
        };
        let changed = tokio::select! {
            ready = self.changes.readable() => ready.map(|mut guard| {
                self.drain_changes();
                guard.clear_ready();
            }),
            ready = death => ready,
        };
        file("watching", self.folder.path(), changed)
    }

    async fn samples(&self, from: u64) -> Result<Vec<Beat>, Error> {
        let held = || self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = *held();
        let start = if from >= known.chain.length { known } else { Cursor::default() };
        let folder = self.folder.clone();
        let (beats, end) = blocking(move || samples(&folder, start)).await?;
        let mut cursor = held();
        if end.chain.length > cursor.chain.length {
            *cursor = end;
        }
        let skip = usize::try_from(from.saturating_sub(start.chain.length)).unwrap_or(usize::MAX);
        Ok(beats.into_iter().skip(skip).collect())
    }

    async fn log(&self, stream: Stream, from: u64, most: usize) -> Result<Vec<u8>, Error> {
        let path = self.folder.log(stream);
        blocking(move || match File::open(&path) {
            Ok(log) => file("reading", &path, read_piece(log, from, most)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::file("opening", path, error)),
        })
        .await
    }

    async fn pause(&self) -> Result<(), Error> {
        self.tell("pause\n")
    }

    async fn resume(&self) -> Result<(), Error> {
        self.tell("resume\n")
    }

    async fn stop(&self, grace: Duration) -> Result<(), Error> {
        self.tell(&format!("stop {}\n", grace.as_millis()))
    }

    async fn outputs(&self) -> Result<Vec<Output>, Error> {
        let out = self.folder.out();
        blocking(move || file("listing", &out, disk::outputs(&out))).await
    }

    async fn read_output(&self, path: &str, from: u64, most: usize) -> Result<Vec<u8>, Error> {
        let (folder, path) = (self.folder.clone(), path.to_owned());
        blocking(move || {
            let missing =
                || Error::NoOutput { folder: folder.path().to_owned(), path: path.clone() };
            let output = disk::open_output(&folder.out(), &path).map_err(|_| missing())?;
            file("reading an output of", folder.path(), read_piece(output, from, most))
        })
        .await
    }
}

/// Wait for a descriptor through the runtime.
fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, for as long as its owner lives, and the
    // result owns it.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}

/// The shim that keeps the run, if one does: whoever holds the lock.
pub(super) fn keeper(folder: &Folder) -> Result<Option<Pid>, Error> {
    let path = folder.lock();
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("opening", path, error)),
    };
    let held = file("asking for", &path, fcntl_getlk(&lock, &Flock::from(FlockType::ReadLock)))?;
    Ok(held.and_then(|lock| lock.pid))
}

/// Whether nobody keeps the run any more; a shim that has written its record gets the moment it
/// needs to end.
pub(super) fn is_left(folder: &Folder) -> Result<bool, Error> {
    let Some(shim) = keeper(folder)? else { return Ok(true) };
    if !folder.exit().exists() {
        return Ok(false);
    }
    let Ok(death) = pidfd_open(shim, PidfdFlags::empty()) else { return Ok(true) };
    let mut polled = [PollFd::new(&death, PollFlags::IN)];
    let ended = poll(&mut polled, Some(&PARTING));
    file("waiting for the shim of", folder.path(), ended).map(|ready| ready > 0)
}

fn progress(folder: &Folder) -> Result<Progress, Error> {
    let now = monotonic();
    let length = |stream| folder.log(stream).metadata().map_or(0, |it| it.len());
    // The lock is asked for before the record is looked for: the record comes first, then the lock
    // is let go.
    let keeper = keeper(folder)?;
    let exit: Option<ExitRecord> = read_record(&folder.exit())?;
    let state: Option<State> = read_record(&folder.state())?;
    let watch = state.as_ref().and_then(|state| state.watch);
    // A program that tidies up after its time is not billed for it.
    let limit = state.as_ref().map_or(Duration::ZERO, |state| state.limit);
    let exit = match (exit, keeper, &state) {
        (None, None, Some(_)) => Some(lose(folder, watch.is_some())?),
        (exit, ..) => exit,
    };
    let (phase, elapsed, paused) = match (exit, state, watch) {
        (Some(exit), ..) => {
            let spans = (exit.elapsed_ms, exit.paused_ms);
            let [elapsed, paused] = [spans.0, spans.1].map(Duration::from_millis);
            (Phase::Ended(Box::new(exit)), elapsed, paused)
        }
        (None, None, _) => (Phase::Prepared, Duration::ZERO, Duration::ZERO),
        (None, Some(_), None) => (Phase::Starting, Duration::ZERO, Duration::ZERO),
        (None, Some(_), Some(watch)) => {
            let phase = if watch.is_held() { Phase::Paused } else { Phase::Running };
            (phase, watch.elapsed(now).min(limit), watch.held(now))
        }
    };
    Ok(Progress {
        phase,
        elapsed,
        paused,
        stdout: length(Stream::Stdout),
        stderr: length(Stream::Stderr),
    })
}

/// Write the record that a dead shim could not; time ends at its last sample. Work that was held when
/// the shim died cannot die by itself, so its cgroups go first.
fn lose(folder: &Folder, started: bool) -> Result<ExitRecord, Error> {
    clear_cgroups(folder)?;
    let (beats, end) = samples(folder, Cursor::default())?;
    let last = beats.last().map(|beat| beat.sample).unwrap_or_default();
    let record = ExitRecord {
        ending: judge::lost(),
        exit_code: None,
        signal: None,
        started,
        elapsed_ms: last.at_ms,
        paused_ms: 0,
        cpu_ms: last.cpu_ms,
        peak: last.peak,
        fuel: last.fuel,
        output: disk::measure(&folder.out(), Bytes(u64::MAX)).length,
        log_dropped: Bytes(0),
        samples: end.chain.length,
        chain: end.chain.head,
    };
    write_record(&folder.exit(), &record, Durability::PowerCut)?;
    Ok(record)
}

/// End what lives in the cgroups of the run and remove them; how many there were.
pub(super) fn clear_cgroups(folder: &Folder) -> Result<u64, Error> {
    let cgroups: Vec<PathBuf> = read_record(&folder.cgroups())?.unwrap_or_default();
    // Every one must be thawed before any can be emptied: they hold the same processes.
    let removed = cgroups.iter().rev().filter(|cgroup| cgroup::remove(cgroup)).count();
    Ok(removed as u64)
}

/// The samples from `start` on, checked; a last line that is not whole yet is left for later.
fn samples(folder: &Folder, start: Cursor) -> Result<(Vec<Beat>, Cursor), Error> {
    let path = folder.samples();
    let opened = match File::open(&path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), start)),
        Err(error) => return Err(Error::file("opening", path, error)),
    };
    let bytes = file("reading", &path, read_piece(opened, start.offset, usize::MAX))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let beats = bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
        .collect::<Result<Vec<Beat>, _>>()
        .map_err(|source| Error::Record { path: path.clone(), source })?;
    let chain = start.chain.follow(&beats).map_err(|line| Error::Chain { path, line })?;
    Ok((beats, Cursor { offset: start.offset + whole as u64, chain }))
}

fn read_piece(mut from_file: File, from: u64, most: usize) -> io::Result<Vec<u8>> {
    from_file.seek(SeekFrom::Start(from))?;
    let mut piece = Vec::new();
    from_file.take(most as u64).read_to_end(&mut piece)?;
    Ok(piece)
}
