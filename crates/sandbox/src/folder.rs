//! The run folder: what lies where, and how records are written so that they survive.
//!
//! `spec.json` and for a module `code` (by [`crate::Runtime::prepare`]), then by the shim: `lock` (held while it lives),
//! `control` (a FIFO), `state.json`, `isolation.json`, `cgroups.json`, `samples`, `stdout`,
//! `stderr`, `exit.json`. `work` is what the job sees as `/work`; `root` stays empty outside.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;

/// One of the two streams a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The paths inside one run folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The run folder at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the job sees as `/work`; inputs are placed here before `prepare`, as copies.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Where the job leaves its results: `work/out`.
    pub fn out(&self) -> PathBuf {
        self.0.join("work/out")
    }

    /// The log of a stream, as it grows.
    pub fn log(&self, stream: Stream) -> PathBuf {
        self.0.join(match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        })
    }

    /// The chain of samples, one JSON object a line.
    pub fn samples(&self) -> PathBuf {
        self.0.join("samples")
    }

    /// The exit record.
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// The compiled code of a module.
    pub(crate) fn code(&self) -> PathBuf {
        self.0.join("code")
    }

    /// The run folder in which a module is compiled, while it is.
    pub(crate) fn making(&self) -> PathBuf {
        self.0.join("making")
    }

    pub(crate) fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    pub(crate) fn isolation(&self) -> PathBuf {
        self.0.join("isolation.json")
    }

    pub(crate) fn cgroups(&self) -> PathBuf {
        self.0.join("cgroups.json")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root")
    }
}

/// Whether a record must survive a power cut, or only our own death.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    PowerCut,
    Death,
}

/// Put `record` at `path`: readers see the old one or the whole new one, never a part.
pub(crate) fn write_record<T: Serialize>(
    path: &Path,
    record: &T,
    durability: Durability,
) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let bytes = serde_json::to_vec(record)
        .map_err(|source| Error::Record { path: path.to_owned(), source })?;
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        if durability == Durability::PowerCut {
            file.sync_all()?;
        }
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(folder) if durability == Durability::PowerCut => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(|source| Error::file("writing", path, source))
}

/// The record at `path`, or `None` when there is none.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Record { path: path.to_owned(), source }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("reading", path, error)),
    }
}
