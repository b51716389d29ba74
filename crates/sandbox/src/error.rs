//! What can go wrong on our side; what goes wrong on the work's side is an [`crate::Outcome`].

use std::{io, path::PathBuf};

/// A failure of the sandbox itself, naming the operation and its object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried: `writing`, `opening`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A record in a run folder is not what we wrote.
    #[error("understanding the record {}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The chain of samples does not hold together.
    #[error("sample {line} of {} breaks the chain", path.display())]
    Chain {
        /// The file of samples.
        path: PathBuf,
        /// Which sample, counted from 0.
        line: usize,
    },
    /// The program that should be the shim cannot be started.
    #[error("starting the shim {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The shim started and refused.
    #[error("the shim of {} refused: {words}", folder.display())]
    Shim {
        /// The run folder.
        folder: PathBuf,
        /// What it said.
        words: String,
    },
    /// Nothing runs in this folder, so there is nobody to tell.
    #[error("nothing runs in {}", folder.display())]
    NotRunning {
        /// The run folder.
        folder: PathBuf,
    },
    /// The run must end before its folder can be wiped.
    #[error("wiping {} while it runs", folder.display())]
    StillRunning {
        /// The run folder.
        folder: PathBuf,
    },
    /// An output was asked for that the run did not make.
    #[error("no output {path} in {}", folder.display())]
    NoOutput {
        /// The run folder.
        folder: PathBuf,
        /// The path asked for, under `out`.
        path: String,
    },
    /// The machine cannot shut work in; the words say what to change.
    #[error("this machine cannot shut work in: {words}")]
    Unfit {
        /// What failed, and what to change.
        words: String,
    },
    /// A task of the runtime was cancelled.
    #[error("waiting for a task")]
    Task(#[source] tokio::task::JoinError),
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::File { action, path: path.into(), source: source.into() }
    }
}
