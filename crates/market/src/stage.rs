//! Stages: what is known of a job, a deal or a lease by now, and how a fact moves it on.
//!
//! Each stage struct holds what is known by then, so a step cannot be taken early. Failure runs
//! down the same line: before money is locked it ends the deal; afterwards it becomes a verdict
//! that pays nobody, and settling refunds.
//!
//! Invariant: `apply` is pure and total over what a journal can hold: a fact that cannot follow is
//! an error, never a panic and never silently taken.

mod deal;
mod job;
mod lease;

pub use deal::{Chosen, DealStage, Delivered, Judged, Open, Running, Settled, Signed};
pub use job::JobStage;
pub use lease::{Ended, LeaseStage, Leased};
