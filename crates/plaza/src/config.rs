//! What the command line and the environment mean: the only place that reads either.

use std::path::PathBuf;

use crate::{
    command::Typed,
    failure::{Failure, Result},
    folder::Folder,
    voice::Voice,
};

/// Everything that all commands share, read and checked once.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where things are kept.
    pub(crate) folder: Folder,
    /// How to talk.
    pub(crate) voice: Voice,
    /// Our own program, to be started again as daemon or shim.
    pub(crate) program: PathBuf,
    /// Which events the daemon logs, in the syntax of `RUST_LOG`.
    pub(crate) log: String,
}

impl Config {
    /// From what was typed.
    pub(crate) fn read(typed: &Typed) -> Result<Self> {
        let path = typed.data.clone().or_else(usual_folder).ok_or_else(|| {
            Failure::new("finding the data folder: neither XDG_DATA_HOME nor HOME is set")
                .advise("name one with --data DIR")
        })?;
        let program = std::env::current_exe()
            .map_err(|error| Failure::new("finding our own program").because(&error))?;
        Ok(Self {
            folder: Folder::open(&path, absolute("HOME").as_deref())?,
            voice: Voice { json: typed.json },
            program,
            log: std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()),
        })
    }
}

/// The data folder that the XDG Base Directory Specification names.
fn usual_folder() -> Option<PathBuf> {
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    absolute("XDG_DATA_HOME").or_else(home).map(|folder| folder.join("plaza"))
}

/// The folder that a variable names, if it is absolute.
fn absolute(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(name)?);
    path.is_absolute().then_some(path)
}
