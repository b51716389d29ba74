//! What every transport promises, shown on the real one and on the simulated one, and what each
//! promises besides.

#![expect(clippy::unwrap_used, reason = "a test that fails here says so by failing here")]

mod bodies;
mod conformance;
mod proxy;

mod peers;
mod simulated;
