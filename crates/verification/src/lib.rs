//! Decide from evidence whether work was done honestly.
//!
//! In: what was agreed, what was co-signed before, what the provider states now, and what the
//! renter's side saw itself. Out: whether to sign, and a verdict at the end.
//!
//! Invariant: nothing is signed that is dearer, longer or less than what the renter's own clock and
//! the terms allow; a refusal names what was found.
//!
//! Not here: courts, replication and attestation; fetching the evidence (`broker`).

mod receipt;

pub use receipt::{Doubt, Evidence, Own, in_order, judge, running};
