//! Run untrusted work on this machine, shut in, and measure it.
//!
//! In: a [`Spec`] and a run folder whose `work` folder already holds the inputs. Out: a run that can
//! be watched, paused, stopped and found again, its samples, its logs, its outputs, and one durable
//! [`ExitRecord`].
//!
//! Who does what: the provider holds a [`Runtime`] and never touches the work itself. Each run has
//! its own small process, the **shim**, which outlives the provider; the shim builds the **jail**
//! and owns the work, its cgroup, its logs and its samples. The run folder is all they share.
//!
//! Work is a native program, or a WebAssembly module (`wasm`), which the jail's own process executes.
//!
//! Invariant: work counts as started only when its `exec` succeeded or its module is loaded, and time
//! is counted from then on the monotonic clock alone; when the shim dies, the work dies with it; what
//! a run left on the machine, [`Runtime::wipe`] removes.
//!
//! Not here: what a second costs (`market`), receipts and deals (`provider`), images (a later room
//! service); there is no network inside.

#[cfg(target_os = "linux")]
mod native;
mod scripted;
#[cfg(target_os = "linux")]
pub mod shim;

#[cfg(not(target_os = "linux"))]
mod elsewhere;

mod runtime;

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod jail;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod wasm;

mod chain;
mod error;
mod folder;
mod graphics;
mod isolation;
mod judge;
mod outcome;
mod spec;
mod stopwatch;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Native, Shim, shim};

pub use chain::{Beat, Chain};
pub use error::Error;
pub use folder::{Folder, Stream};
pub use graphics::Graphics;
pub use isolation::{Isolation, Wall};
#[cfg(target_os = "linux")]
pub use native::{Native, Shim};
pub use outcome::{Ending, ExitRecord, Outcome};
pub use runtime::{Output, Phase, Preparation, Prepared, Progress, Run, Runtime, Wiped};
pub use scripted::{Script, Scripted, Spoken};
pub use spec::{Limits, Root, Spec, Wasm};
