//! Run the whole house against simulated time, network, faults and cheats.
//!
//! One seed, one thread, paused time: the runtime's timers jump from event to event, so that a deal
//! of an hour takes milliseconds and the same seed gives the same life again.
//!
//! In: a seed, a plan of crashes, who behaves how. Out: how it ended, for tests to judge.
//!
//! Invariant: only what a real process would find on its disk survives a crash: the log, the blobs,
//! the printed outputs and the keys.
//!
//! Not here: real sockets, chains, sandboxes and disks, which the end-to-end tests of `plaza` use.

mod town;

mod gateway;
mod puppet;
mod renter;
mod workshop;

mod clock;
mod words;

pub use clock::SimulatedClock;
pub use gateway::Gateway;
pub use puppet::{Behaviour, Puppet};
pub use renter::{Renter, Wanted};
pub use town::{Town, key};
pub use words::Words;
pub use workshop::Workshop;
