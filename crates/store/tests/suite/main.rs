//! What every store promises, shown on the one that lasts and on the one in memory, and what each
//! promises besides.

#![expect(clippy::unwrap_used, reason = "a test that fails here says so by failing here")]

mod blobs;
mod crash;
mod documents;
mod full_disk;
mod log;
mod outputs;
mod tree;
