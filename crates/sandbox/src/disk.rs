//! The work folder from outside: how much it holds, whose it is, what is in it, and its end.
//!
//! Invariant: no link is ever followed, and no path of the job's making is ever joined to one of
//! ours; everything goes through folders opened one inside the other.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString},
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use primitives::Bytes;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chmodat, chownat,
        openat, openat2, renameat, statat, unlinkat,
    },
    io::Errno,
};

use crate::runtime::{Output, Wiped};

/// Folders nested deeper than this count as a full disk.
const DEEPEST: usize = 128;

/// Each entry counts at least this much, so that a million empty files are not free.
const ENTRY: u64 = 4_096;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Blocks taken on the disk, each entry at least [`ENTRY`].
    pub(crate) disk: Bytes,
    /// Sum of the lengths of plain files.
    pub(crate) length: Bytes,
    /// Whether there was more than this looked at: too deep, or beyond a bound.
    pub(crate) beyond: bool,
}

/// Measure the folder at `path`; stops looking once it is beyond `most` on disk.
pub(crate) fn measure(path: &Path, most: Bytes) -> Content {
    let mut content = Content::default();
    if let Ok(folder) = openat(CWD, path, FOLDER, Mode::empty()) {
        measure_into(&folder, most, 0, &mut content);
    }
    content
}

fn measure_into(folder: &OwnedFd, most: Bytes, depth: usize, content: &mut Content) {
    content.beyond |= depth > DEEPEST;
    for name in entries(folder) {
        if content.beyond {
            return;
        }
        // What vanishes while we look takes no room.
        let Ok(stat) = statat(folder, &*name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        content.disk.0 += blocks(&stat).max(ENTRY);
        content.beyond |= content.disk > most;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => content.length.0 += length(&stat),
            FileType::Directory => {
                // A folder that is closed to us as well hides nothing: it is opened.
                if let Ok(inner) = open_folder(folder, &name) {
                    measure_into(&inner, most, depth + 1, content);
                }
            }
            _ => {}
        }
    }
}

/// Bytes left for everyone on the disk that holds `path`.
pub(crate) fn free(path: &Path) -> Bytes {
    rustix::fs::statvfs(path)
        .map_or(Bytes(u64::MAX), |it| Bytes(it.f_bavail.saturating_mul(it.f_frsize)))
}

/// Give everything in and under `path` to `user` and a group of the same number.
pub(crate) fn give(path: &Path, user: u32) -> io::Result<()> {
    let (owner, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(user)));
    let mut folders = vec![openat(CWD, path, FOLDER, Mode::empty())?];
    chownat(CWD, path, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
    while let Some(folder) = folders.pop() {
        for name in entries(&folder) {
            chownat(&folder, &*name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
            if is_folder(&folder, &name) {
                folders.push(openat(&folder, &*name, FOLDER, Mode::empty())?);
            }
        }
    }
    Ok(())
}

/// The plain files under `path`, in order of path; names that are no UTF-8 are left out.
pub(crate) fn outputs(path: &Path) -> io::Result<Vec<Output>> {
    let root = match openat(CWD, path, FOLDER, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let (mut folders, mut files) = (vec![(String::new(), root)], Vec::new());
    while let Some((prefix, folder)) = folders.pop() {
        for name in entries(&folder) {
            let Ok(text) = name.to_str() else { continue };
            let Ok(stat) = statat(&folder, &*name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = format!("{prefix}{text}");
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => files.push(Output {
                    path,
                    length: Bytes(length(&stat)),
                    executable: stat.st_mode & 0o100 != 0,
                }),
                FileType::Directory if folders.len() < DEEPEST * DEEPEST => {
                    folders.push((format!("{path}/"), open_folder(&folder, &name)?));
                }
                _ => {}
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Open the plain file `path` under `root`, following no link on the way.
pub(crate) fn open_output(root: &Path, path: &str) -> io::Result<File> {
    let root = openat(CWD, root, FOLDER, Mode::empty())?;
    // Without NONBLOCK a pipe that the job left would hold us for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(root, path, flags, Mode::empty(), resolve)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::INVAL.into()) }
}

/// Remove the folder at `path` with all it holds.
///
/// A folder that is not empty is first moved up to the top, so that no depth of nesting costs us
/// more than two open folders.
pub(crate) fn wipe(path: &Path) -> io::Result<Wiped> {
    let mut wiped = Wiped::default();
    let top = match openat(CWD, path, FOLDER, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(wiped),
        Err(error) => return Err(error.into()),
    };
    let mut waiting = VecDeque::new();
    let mut moved = 0u64;
    empty(&top, &top, &mut waiting, &mut moved, &mut wiped)?;
    while let Some(name) = waiting.pop_front() {
        let folder = open_folder(&top, &name)?;
        empty(&folder, &top, &mut waiting, &mut moved, &mut wiped)?;
        unlinkat(&top, &*name, AtFlags::REMOVEDIR)?;
        wiped.folders += 1;
    }
    fs::remove_dir(path)?;
    wiped.folders += 1;
    Ok(wiped)
}

/// Remove what `folder` holds; its folders that are not empty move to `top` and into `waiting`.
fn empty(
    folder: &OwnedFd,
    top: &OwnedFd,
    waiting: &mut VecDeque<CString>,
    moved: &mut u64,
    wiped: &mut Wiped,
) -> io::Result<()> {
    for name in entries(folder) {
        let stat = statat(folder, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            unlinkat(folder, &*name, AtFlags::empty())?;
            wiped.files += 1;
            wiped.bytes.0 += length(&stat);
        } else if unlinkat(folder, &*name, AtFlags::REMOVEDIR).is_ok() {
            wiped.folders += 1;
        } else {
            // Moving a folder writes to it; the job may have taken that right away.
            let _ = chmodat(folder, &*name, Mode::RWXU, AtFlags::empty());
            let fresh = loop {
                *moved += 1;
                let fresh = CString::new(format!(".wipe-{moved}"))?;
                if statat(top, &*fresh, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                    break fresh;
                }
            };
            renameat(folder, &*name, top, &*fresh)?;
            waiting.push_back(fresh);
        }
    }
    Ok(())
}

fn open_folder(folder: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    match openat(&folder, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(&folder, name, Mode::RWXU, AtFlags::empty())?;
            Ok(openat(&folder, name, FOLDER, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

/// The names in a folder, without its own and its parent's.
fn entries(folder: impl AsFd) -> Vec<CString> {
    Dir::read_from(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
        .collect()
}

fn is_folder(folder: impl AsFd, name: &CStr) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn blocks(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

#[cfg(test)]
mod tests;
