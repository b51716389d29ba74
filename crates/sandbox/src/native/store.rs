//! Compiled modules, kept on disk for the next run of the same module.
//!
//! An entry is one file, called `KEY.DIGEST`: the key stands for the module, the engine with its
//! version and settings, and the processor; the digest is that of the machine code in it. Upon a look:
//! an entry whose content is not what its name says is removed, and counts as none. Upon an addition:
//! the file is written beside and renamed, so two who add the same at once do no harm; then the
//! entries longest unused go, until the rest is within bounds.
//!
//! Invariant: only what the compiler of this machine made is ever added, and no work sees the folder;
//! a run is given a link to the file, so that an entry may go while runs still use it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use primitives::{Bytes, Digest};
use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat},
    io::Errno,
};

use crate::wasm;

/// What all entries together may take.
const MOST: Bytes = Bytes::gibi(1);

/// The folder of compiled modules.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// What stands for a module as this machine compiles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(Digest);

impl Key {
    /// The key of the module with this digest.
    pub(super) fn of(module: Digest, deterministic: bool) -> io::Result<Self> {
        let engine =
            wasm::fingerprint(deterministic).map_err(|it| io::Error::other(format!("{it:#}")))?;
        Ok(Self(Digest::of(&[&engine.to_be_bytes()[..], &module.0].concat())))
    }
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Put the code for `key` at `place`, if there is any; whether there was.
    pub(super) fn take(&self, key: Key, place: &Path) -> io::Result<bool> {
        for (path, digest) in self.entries(key)? {
            if Digest::of(&fs::read(&path)?) == digest {
                // Only a hint for whom to let go first.
                let _ = touch(&path);
                link(&path, place)?;
                return Ok(true);
            }
            fs::remove_file(&path)?;
        }
        Ok(false)
    }

    /// Keep `code` for `key`.
    pub(super) fn add(&self, key: Key, code: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        let name = format!("{}.{}", key.0, Digest::of(code));
        let beside = self.folder.join(format!("{name}.{}", std::process::id()));
        // Its reader is another user of this machine, who reaches it only through a run.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o444).open(&beside)?;
        file.write_all(code)?;
        fs::rename(&beside, self.folder.join(name))?;
        self.trim(MOST)
    }

    /// The entries for `key`, each with the digest it should have.
    fn entries(&self, key: Key) -> io::Result<Vec<(PathBuf, Digest)>> {
        let folder = match fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = format!("{}.", key.0);
        let mut found = Vec::new();
        for entry in folder {
            let entry = entry?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|it| it.strip_prefix(&prefix)?.parse().ok());
            found.extend(digest.map(|digest| (entry.path(), digest)));
        }
        Ok(found)
    }

    /// Remove the entries longest unused, until all together take no more than `most`.
    fn trim(&self, most: Bytes) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What somebody else has just removed is gone.
            if let Ok(metadata) = entry.metadata() {
                let used = (metadata.mtime(), metadata.mtime_nsec());
                entries.push((used, metadata.len(), entry.path()));
            }
        }
        entries.sort();
        let mut all: u64 = entries.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in entries {
            if all <= most.0 {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => all -= length,
            }
        }
        Ok(())
    }
}

/// Note that an entry was used just now.
fn touch(file: &Path) -> Result<(), Errno> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    set_times(file, now)
}

fn set_times(file: &Path, used: Timespec) -> Result<(), Errno> {
    let times = Timestamps { last_access: used, last_modification: used };
    utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Put a file at a second place: the same one, or a copy where that cannot be.
fn link(file: &Path, place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(file, place).or_else(|_| fs::copy(file, place).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key(Digest::of(name.as_bytes()))
    }

    fn store() -> (tempfile::TempDir, Store, PathBuf) {
        let scratch = tempfile::tempdir().expect("a folder");
        let (store, place) =
            (Store::new(scratch.path().join("store")), scratch.path().join("code"));
        (scratch, store, place)
    }

    #[test]
    fn what_was_added_is_taken_and_nothing_else() {
        let (_scratch, store, place) = store();
        assert!(!store.take(key("one"), &place).expect("looked"));
        store.add(key("one"), b"code").expect("added");
        assert!(!store.take(key("two"), &place).expect("looked"));
        assert!(!place.exists());
        assert!(store.take(key("one"), &place).expect("looked"));
        assert!(store.take(key("one"), &place).expect("again, in place of the first"));
        assert_eq!(fs::read(&place).expect("there"), b"code");
        assert_eq!(fs::metadata(&place).expect("there").permissions().mode() & 0o777, 0o444);
    }

    #[test]
    fn an_entry_that_is_not_what_its_name_says_is_removed() {
        let (_scratch, store, place) = store();
        store.add(key("one"), b"code").expect("added");
        let (path, _) = store.entries(key("one")).expect("listed").remove(0);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("opened");
        fs::write(&path, b"evil").expect("written");
        assert!(!store.take(key("one"), &place).expect("looked"));
        assert!(!path.exists() && !place.exists());
    }

    #[test]
    fn the_entries_longest_unused_go_first() {
        let (_scratch, store, place) = store();
        for name in ["one", "two", "three"] {
            store.add(key(name), name.as_bytes()).expect("added");
            let (path, _) = store.entries(key(name)).expect("listed").remove(0);
            set_times(&path, Timespec { tv_sec: 0, tv_nsec: 0 }).expect("aged");
        }
        assert!(store.take(key("one"), &place).expect("looked"));
        store.trim(Bytes(8)).expect("trimmed");
        assert!(store.take(key("one"), &place).expect("looked"), "used just now");
        let left = ["two", "three"].map(|name| store.take(key(name), &place).expect("looked"));
        assert_ne!(left, [true, true]);
    }
}
