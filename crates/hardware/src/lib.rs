//! Find out what a machine is, and watch it.
//!
//! In: the texts in which the system describes itself, the processor's own description, the disk
//! under one folder. Out: a [`Survey`] in which every finding says where it comes from, and
//! [`Load`]s.
//!
//! Invariant: what was not found is [`Finding::Unknown`], never a guess; parsers are pure and know
//! texts of other machines; only `survey` and `watch` read anything.
//!
//! Not here: how fast the machine is, graphics processors of other makers, what is sold of it
//! (`provider`), which walls a run really gets (`sandbox`).

mod survey;
mod watch;

mod control;
mod cpu;
mod disk;
mod finding;
mod graphics;
mod memory;
mod nvml;
mod system;

pub use control::{Cgroups, Form};
pub use cpu::Cpu;
pub use disk::Disk;
pub use finding::{Finding, Provenance};
pub use graphics::{Card, CardLoad, Graphics};
pub use survey::{Survey, survey};
pub use system::Virtualisation;
pub use watch::{Load, Watch};
