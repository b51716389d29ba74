//! A seat: the one process that holds a role in a data folder.
//!
//! Upon taking: the lock file is locked (the system frees it when the process ends, however it
//! ends), then `running.json` tells where the process answers. A record without a lock is stale and
//! means nothing.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use primitives::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::{
    failure::{Doing as _, Failure, Result},
    folder,
};

/// A role that this process holds until it ends.
#[derive(Debug)]
pub(crate) struct Seat {
    record: PathBuf,
    _lock: File,
}

/// Who holds a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occupant {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it answers HTTP.
    pub(crate) url: String,
    /// Since when.
    pub(crate) since: UnixSeconds,
}

/// Whoever asks whether a seat is taken holds its lock for an instant; whoever wants the seat
/// waits longer than that.
const PATIENCE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(10);

impl Seat {
    /// Take the seat in `place`; `None` when another process has it.
    pub(crate) fn take(place: &Path) -> Result<Option<Self>> {
        folder::make(place)?;
        let lock = open(&place.join("lock"))?;
        let until = Instant::now() + PATIENCE;
        while let Err(taken) = lock.try_lock() {
            match taken {
                TryLockError::Error(error) => {
                    return Err(
                        Failure::new(format!("locking {}", place.display())).because(&error)
                    );
                }
                TryLockError::WouldBlock if Instant::now() > until => return Ok(None),
                TryLockError::WouldBlock => std::thread::sleep(AGAIN),
            }
        }
        Ok(Some(Self { record: record(place), _lock: lock }))
    }

    /// Tell where this process answers.
    pub(crate) fn publish(&self, occupant: &Occupant) -> Result<()> {
        let text = serde_json::to_string_pretty(occupant).expect("plain data with string keys");
        folder::write(&self.record, &text)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A record that stays is stale by the lock being free.
        let _ = std::fs::remove_file(&self.record);
    }
}

/// What the last process that held the seat in `place` said; it may have ended since.
pub(crate) fn recorded(place: &Path) -> Option<Occupant> {
    let text = std::fs::read_to_string(record(place)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Who holds the seat in `place` now.
pub(crate) fn occupant(place: &Path) -> Result<Option<Occupant>> {
    if is_free(place)? { Ok(None) } else { Ok(recorded(place)) }
}

/// Whether nobody holds the seat in `place`.
pub(crate) fn is_free(place: &Path) -> Result<bool> {
    let lock = match File::open(place.join("lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => {
            return Err(Failure::new(format!("opening {}", place.display())).because(&error));
        }
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(Failure::new(format!("looking at the lock in {}", place.display())).because(&error))
        }
    }
}

/// Wait for the lock at `path` and hold it as long as the file is open.
pub(crate) fn queue(path: &Path) -> Result<File> {
    let lock = open(path)?;
    lock.lock().doing(|| format!("waiting for the lock {}", path.display()))?;
    Ok(lock)
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .doing(|| format!("opening the lock {}", path.display()))
}

fn record(place: &Path) -> PathBuf {
    place.join("running.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupant_of(pid: u32) -> Occupant {
        Occupant { pid, url: "http://127.0.0.1:1".into(), since: UnixSeconds(1) }
    }

    #[test]
    fn a_seat_has_one_holder_and_is_free_again_when_that_one_has_gone() {
        let scratch = tempfile::tempdir().expect("a folder for scratch");
        let place = scratch.path().join("gateway");
        assert!(is_free(&place).expect("it can be asked"));
        let seat = Seat::take(&place).expect("no failure").expect("it is free");
        seat.publish(&occupant_of(7)).expect("it can be written");
        assert_eq!(occupant(&place).expect("it can be asked"), Some(occupant_of(7)));
        assert!(Seat::take(&place).expect("no failure").is_none());
        drop(seat);
        assert_eq!(occupant(&place).expect("it can be asked"), None);
        assert!(Seat::take(&place).expect("no failure").is_some());
    }

    #[test]
    fn a_record_without_a_lock_is_stale() {
        let scratch = tempfile::tempdir().expect("a folder for scratch");
        let text = serde_json::to_string(&occupant_of(1)).expect("plain data");
        std::fs::write(scratch.path().join("running.json"), text).expect("it can be written");
        std::fs::write(scratch.path().join("lock"), "").expect("it can be written");
        assert_eq!(recorded(scratch.path()), Some(occupant_of(1)));
        assert_eq!(occupant(scratch.path()).expect("it can be asked"), None);
    }
}
