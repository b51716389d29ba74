//! The jail: a process tree with its own name spaces, its own root folder, few system calls, and no
//! rights.
//!
//! Upon `launch`: the shim clones a child into new name spaces; the child waits. The shim writes
//! the child's identity map and puts it into its cgroup, then lets it go. The child, first process
//! of its own process space, follows the recipe in `build`, starts the program, reports to the
//! shim over one pipe, waits for everything that ends inside, and ends with the program; the kernel
//! then kills what is left. When the shim dies, the kernel kills the child and so all.
//!
//! A module has no program to start: the forked process itself becomes its executor (`module`), and
//! the work has begun when the module is loaded.
//!
//! In: a [`Plan`], complete before the clone. Out: a [`Jail`] with the [`Word`]s of the child and the
//! two streams.
//!
//! Invariant: the shim has one thread, so the child may use memory freely until it starts the
//! program; between that fork and `exec` there are only system calls on values made before.

mod launch;

mod first;

mod build;
mod plan;

mod task;

mod module;
mod program;
mod setting;

mod filter;
mod fork;
mod view;
mod word;

mod calls;
mod device;

pub(crate) use build::landlock_abi;
pub(crate) use device::graphics;
pub(crate) use launch::{Jail, hear, launch};
pub(crate) use module::{MADE, REFUSED};
pub(crate) use plan::Plan;
pub(crate) use view::{Unstartable, locate};
pub(crate) use word::{Step, Word};
