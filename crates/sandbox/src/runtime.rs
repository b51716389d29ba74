//! The seam: how a provider prepares, starts, watches, pauses, stops, finds again and wipes a run.
//!
//! Upon `prepare`: the spec is checked and the program found, a module compiled unless it was before;
//! a refusal is a value and costs nothing. Upon `start`: the run lives on its own from here. Upon `changed`: look at `progress`
//! again, nothing else is promised. Upon `adopt`: the same as `start` gave, for a run that a
//! provider before us started. Upon `wipe`: nothing of the run is left on the machine.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use primitives::Bytes;

use crate::{
    chain::Beat,
    error::Error,
    folder::Stream,
    isolation::Isolation,
    outcome::{Ending, ExitRecord},
    spec::Spec,
};

/// Something that can run work shut in: native processes and WebAssembly modules now; virtual machines
/// join by implementing the same.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Run the smallest of programs in `scratch` and report which walls stood.
    ///
    /// # Errors
    /// [`Error::Unfit`] says why this machine cannot shut work in.
    async fn probe(&self, scratch: &Path) -> Result<Isolation, Error>;

    /// Make the run folder ready for `spec`. Inputs lie in its `work` folder already. May be
    /// repeated until `start`.
    ///
    /// # Errors
    /// Only for failures of this machine; what is wrong with the spec is a refusal.
    async fn prepare(&self, spec: &Spec, folder: &Path) -> Result<Preparation, Error>;

    /// Start it. Returns when somebody keeps the run, perhaps before the program is ready.
    ///
    /// # Errors
    /// When the run cannot be kept, or was started before.
    async fn start(&self, prepared: Prepared) -> Result<Box<dyn Run>, Error>;

    /// Find a run that was started earlier, running or not; `None` when none was.
    ///
    /// # Errors
    /// When the folder cannot be read.
    async fn adopt(&self, folder: &Path) -> Result<Option<Box<dyn Run>>, Error>;

    /// Remove everything a run left, its folder included.
    ///
    /// # Errors
    /// [`Error::StillRunning`] while it runs.
    async fn wipe(&self, folder: &Path) -> Result<Wiped, Error>;
}

/// One run, watched from outside. Dropping it changes nothing for the run.
#[async_trait]
pub trait Run: Send + Sync {
    /// The run folder.
    fn folder(&self) -> &Path;

    /// Where it stands now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    async fn progress(&self) -> Result<Progress, Error>;

    /// Wait until something may have changed since the last call: a phase, a sample, a log. Returns
    /// at once, again and again, when the run is over.
    ///
    /// # Errors
    /// When the run cannot be watched.
    async fn changed(&self) -> Result<(), Error>;

    /// The samples from position `from` on, their chain checked from the first one on.
    ///
    /// # Errors
    /// [`Error::Chain`] when the chain is broken.
    async fn samples(&self, from: u64) -> Result<Vec<Beat>, Error>;

    /// At most `most` bytes of a log from byte `from` on; empty when there are none yet.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn log(&self, stream: Stream, from: u64, most: usize) -> Result<Vec<u8>, Error>;

    /// Hold the work and its clock until `resume`. Seen in `progress` when done.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when there is nobody to tell.
    async fn pause(&self) -> Result<(), Error>;

    /// Let the work run, whoever held it. To be said again and again while it runs: work that hears
    /// nothing for [`crate::Limits::unattended`] holds itself, and its clock.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when there is nobody to tell.
    async fn resume(&self) -> Result<(), Error>;

    /// Ask the work to end (signal TERM), and kill it after `grace`.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when there is nobody to tell.
    async fn stop(&self, grace: Duration) -> Result<(), Error>;

    /// What lies under `out`: plain files only, in order of path.
    ///
    /// # Errors
    /// When the folder cannot be read.
    async fn outputs(&self) -> Result<Vec<Output>, Error>;

    /// At most `most` bytes of one output from byte `from` on; never follows a link out of `out`.
    ///
    /// # Errors
    /// [`Error::NoOutput`] when it is not there.
    async fn read_output(&self, path: &str, from: u64, most: usize) -> Result<Vec<u8>, Error>;
}

/// What `prepare` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// It can start.
    Ready(Prepared),
    /// It can never start; nothing is billed.
    Refused(Ending),
}

/// A run folder that `prepare` has made ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub(crate) folder: PathBuf,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its phase.
    pub phase: Phase,
    /// Running time since readiness, pauses excluded, read on the monotonic clock.
    pub elapsed: Duration,
    /// Time spent paused.
    pub paused: Duration,
    /// Bytes of stdout kept so far.
    pub stdout: u64,
    /// Bytes of stderr kept so far.
    pub stderr: u64,
}

/// The phases of a run, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Prepared, and not started.
    Prepared,
    /// Started; the program is not ready yet.
    Starting,
    /// The program runs.
    Running,
    /// The program is held, and its clock with it.
    Paused,
    /// It is over.
    Ended(Box<ExitRecord>),
}

/// One file that a job left under `out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its path under `out`, with `/` between the parts.
    pub path: String,
    /// Its length.
    pub length: Bytes,
    /// Whether it may be executed.
    pub executable: bool,
}

/// What a wipe removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wiped {
    /// Files, links and other entries.
    pub files: u64,
    /// Folders, the run folder included.
    pub folders: u64,
    /// The length of the files.
    pub bytes: Bytes,
    /// Cgroups that were left.
    pub cgroups: u64,
}

impl Progress {
    /// The exit record, once the run is over.
    pub fn exit(&self) -> Option<&ExitRecord> {
        match &self.phase {
            Phase::Ended(record) => Some(record),
            _ => None,
        }
    }
}
