//! What stands in for native work on systems other than Linux: a clear refusal.

use std::{ffi::OsString, path::Path, path::PathBuf};

use async_trait::async_trait;

use crate::{
    error::Error,
    graphics::Graphics,
    isolation::Isolation,
    runtime::{Preparation, Prepared, Run, Runtime, Wiped},
    spec::Spec,
};

/// How a shim would be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The program.
    pub program: PathBuf,
    /// The arguments before the folder.
    pub arguments: Vec<OsString>,
}

/// A runtime that refuses: native work needs the name spaces of Linux.
#[derive(Clone, Debug)]
pub struct Native;

impl Shim {
    /// This very binary.
    pub fn this_binary(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: PathBuf::new(), arguments }
    }
}

impl Native {
    /// A runtime that refuses.
    pub fn new(_shim: Shim, _modules: impl Into<PathBuf>) -> Self {
        Self
    }

    /// The same: it refuses.
    #[must_use]
    pub fn with_graphics(self, _graphics: Graphics) -> Self {
        self
    }
}

fn refuse<T>() -> Result<T, Error> {
    let words = "native work is supported on Linux alone; rent from here, provide from there";
    Err(Error::Unfit { words: words.to_owned() })
}

#[async_trait]
impl Runtime for Native {
    async fn probe(&self, _scratch: &Path) -> Result<Isolation, Error> {
        refuse()
    }

    async fn prepare(&self, _spec: &Spec, _folder: &Path) -> Result<Preparation, Error> {
        refuse()
    }

    async fn start(&self, _prepared: Prepared) -> Result<Box<dyn Run>, Error> {
        refuse()
    }

    async fn adopt(&self, _folder: &Path) -> Result<Option<Box<dyn Run>>, Error> {
        refuse()
    }

    async fn wipe(&self, _folder: &Path) -> Result<Wiped, Error> {
        refuse()
    }
}

/// What stands in for the shim.
pub mod shim {
    use std::{path::Path, process::ExitCode};

    /// Refuse: there is nothing to keep.
    pub fn main(_folder: &Path) -> ExitCode {
        ExitCode::from(125)
    }
}
