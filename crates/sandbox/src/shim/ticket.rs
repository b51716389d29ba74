//! What the shim is told, what it tells about itself, and what its cgroup is called.

use std::{io, time::Duration};

use primitives::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    folder::{Folder, read_record},
    graphics::Graphics,
    spec::{Spec, Task},
    stopwatch::Stopwatch,
};

/// What `prepare` leaves for the shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) spec: Spec,
    pub(crate) task: Task,
    /// The user of this machine that is the job inside; `None` keeps the shim's own.
    pub(crate) own_user: Option<u32>,
    /// The graphics processors among which the run's are found.
    #[serde(default)]
    pub(crate) graphics: Graphics,
}

/// What the shim tells about itself while it lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Runs since readiness.
    pub(crate) watch: Option<Stopwatch>,
    /// Running time that counts at most.
    pub(crate) limit: Duration,
}

/// The name of the run's cgroup: one per run folder.
pub(super) fn cgroup_name(folder: &Folder) -> String {
    let digest = Digest::of(folder.path().as_os_str().as_encoded_bytes()).to_string();
    format!("plaza-{}", &digest[..16])
}

/// What `prepare` left in `folder`.
pub(super) fn ticket(folder: &Folder) -> io::Result<Ticket> {
    let ticket = read_record(&folder.spec()).map_err(io::Error::other)?;
    ticket.ok_or_else(|| io::Error::other("nothing was prepared here"))
}
