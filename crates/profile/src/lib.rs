//! What a network's constitution is: the sum of the rooms' rules, and presets of it.
//!
//! In: a preset or a file of an operator's. Out: one [`Profile`] whose hash every node compares at
//! its start, and the [`Descriptor`] by which newcomers join.
//!
//! Not here: reading files (`plaza`), carrying the numbers onto a chain (`settlement`).

mod descriptor;
mod error;
mod profile;

pub use descriptor::{Contracts, Descriptor, Gateway};
pub use error::Error;
pub use profile::{Depth, LOCAL_CHAIN_IDS, Profile};
