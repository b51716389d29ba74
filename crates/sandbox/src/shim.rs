//! The shim: the small process that keeps one run and outlives the provider that started it.
//!
//! Upon start: leave the provider's session, take the lock of the run folder, say so to whoever
//! waits, claim the graphics processors reserved, build the jail. Upon the program's `exec`: the clock starts, the first sample is taken.
//! Each second: a sample, chained to the last. Upon output: it is appended to the log, up to its
//! bound. Upon a line in `control` (`pause`, `resume`, `stop MILLISECONDS`): it is done. Upon
//! no line for as long as the spec lets work run unattended: the work and its clock are held, until
//! the next line. Upon a limit: the run is ended. Upon the end of the program: everything left is killed, the cgroup is
//! removed, and the exit record is written so that it survives a power cut; then the shim ends.
//!
//! Invariant: one thread, from the first instruction to the last; no wall clock; the run folder is
//! written by the shim alone. Whoever finds the lock free and no exit record knows that the shim
//! died, and that the kernel killed the work with it.
//!
//! Not here: what happens inside the jail (`jail`), what an ending is called (`judge`).

mod detach;
mod keep;

mod walls;

mod claim;
mod journal;
mod log;
mod meter;
mod ticket;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use crate::folder::Folder;

use detach::{FAILED, Side};

pub(crate) use ticket::{State, Ticket};

/// Be the shim of the run in `folder`. To be called first thing in `main`, before any thread exists;
/// whoever started it learns from the exit status when the run is kept (0) or why not (stderr).
pub fn main(folder: &Path) -> ExitCode {
    let folder = Folder::new(folder);
    match detach::detach(&folder) {
        Ok(Side::Starter(code)) => code,
        Ok(Side::Keeper(lock)) => {
            let kept = keep::keep(&folder);
            // Held until the very end: a free lock means that nobody keeps the run.
            drop(lock);
            kept.map_or(ExitCode::from(FAILED), |()| ExitCode::SUCCESS)
        }
        Err(error) => {
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(FAILED)
        }
    }
}
