//! What every transport promises, shown on the real one and on the simulated one, and what each
//! promises besides.

mod bodies;
mod conformance;
mod proxy;

mod peers;
mod simulated;
