//! Paths that a module names, resolved by the kernel beneath an open folder and never out of it.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use super::guest::Error;

/// How often the kernel may say that somebody else is moving folders about.
const TRIES: u32 = 16;

/// Open `path` beneath `folder`.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Error> {
    let flags = flags | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut answer = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        answer = openat2(folder, path, flags, mode, resolve);
        if !matches!(answer, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    Ok(answer?)
}

/// What lies at `path`, neither read nor written; a link itself unless it is to be followed.
pub(super) fn look(folder: BorrowedFd<'_>, path: &str, follow: bool) -> Result<OwnedFd, Error> {
    let link = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    open(folder, path, OFlags::PATH | link, Mode::empty())
}

/// A name in an open folder, for calls that make, move or remove it.
pub(super) struct Entry<'a> {
    pub(super) folder: OwnedFd,
    pub(super) name: &'a str,
    /// Whether the path said by a slash at its end that it means a folder.
    pub(super) is_folder: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn find(folder: BorrowedFd<'_>, path: &'a str) -> Result<Self, Error> {
        let bare = path.trim_end_matches('/');
        let (above, name) = match bare.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some((above, name)) => (above, name),
            None => (".", bare),
        };
        // The slash is cut off, because behind one the kernel follows a link wherever it leads.
        if matches!(name, "" | "." | "..") {
            return Err(Error::INVAL);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let folder = open(folder, above, flags, Mode::empty())?;
        Ok(Self { folder, name, is_folder: bare.len() < path.len() })
    }

    /// The same where a folder cannot be meant.
    pub(super) fn find_plain(folder: BorrowedFd<'_>, path: &'a str) -> Result<Self, Error> {
        let entry = Self::find(folder, path)?;
        if entry.is_folder { Err(Error::NOTDIR) } else { Ok(entry) }
    }
}
