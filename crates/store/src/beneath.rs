//! Files and folders below a folder, reached name by name without ever following a link.
//!
//! Every step opens one name in a folder that is already open, so what others rename or replace
//! meanwhile cannot lead outside (the same promise as `openat2` with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`, on every Unix).

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// An open folder, below which everything stays.
#[derive(Debug)]
pub(crate) struct Beneath(OwnedFd);

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A regular file, and whether its owner may run it.
    File {
        size: u64,
        executable: bool,
    },
    Folder,
    Link,
    /// A socket, a pipe, a device.
    Special,
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Beneath {
    /// Open the folder at `path`. A link at its last name is not followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, FOLDER, Mode::empty())?))
    }

    /// Open a folder by its name in this one.
    pub(crate) fn folder(&self, name: &str) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(&self.0, name, FOLDER, Mode::empty())?))
    }

    /// Open a folder further down, given by names with `/` between them, or this one again.
    pub(crate) fn inner(&self, path: Option<&str>) -> io::Result<Self> {
        let mut folder = Self(self.0.try_clone()?);
        for name in path.into_iter().flat_map(|path| path.split('/')) {
            folder = folder.folder(name)?;
        }
        Ok(folder)
    }

    /// What stands under a name here.
    pub(crate) fn look(&self, name: &str) -> io::Result<Found> {
        let status = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Found::File {
                size: u64::try_from(status.st_size).unwrap_or(0),
                executable: Mode::from_raw_mode(status.st_mode).contains(Mode::XUSR),
            },
            FileType::Directory => Found::Folder,
            FileType::Symlink => Found::Link,
            _ => Found::Special,
        })
    }

    /// The names in this folder, sorted; the bytes of a name that is not UTF-8 are an error.
    pub(crate) fn names(&self) -> io::Result<Vec<Result<String, Vec<u8>>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(String::from_utf8(name).map_err(|error| error.into_bytes()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where the link of that name leads.
    pub(crate) fn read_link(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    /// Open a file for reading, if it is one: not a link, and never waiting as a pipe would.
    pub(crate) fn read_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
        }
    }

    /// Make a file that is not there yet.
    pub(crate) fn new_file(&self, name: &str, executable: bool) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if executable { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, mode)?))
    }

    /// Make a folder that is not there yet.
    pub(crate) fn new_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name, Mode::RWXU)?)
    }

    /// Make a link that is not there yet.
    pub(crate) fn new_link(&self, name: &str, target: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    /// Delete the file or link of that name, if there is one.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Beneath {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
