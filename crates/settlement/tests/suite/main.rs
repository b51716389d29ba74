//! The conformance suite of the seam: one specification, carried out by the contracts on a chain
//! and by the ledger in memory in step, and compared with the pure table after every call.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints")]

mod anvil;
mod deal;
mod deployment;
mod evm;
mod ledger;
mod limits;
mod money;
mod pair;
mod people;
mod random;
mod relay;
mod sessions;
mod table;
mod vectors;
