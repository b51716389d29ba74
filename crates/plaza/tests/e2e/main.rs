//! End to end: the real binary, a real chain, real sandboxes, real money arithmetic.
//!
//! Every test has a data folder of its own, ends what it started, and needs no network. Where a
//! machine cannot shut work in, the tests say so and pass over.

mod anvil;
mod api;
mod arrays;
mod crash;
mod elsewhere;
mod examples;
mod hands;
mod house;
mod money;
mod outcomes;
mod provider;
mod sessions;
mod sharing;
