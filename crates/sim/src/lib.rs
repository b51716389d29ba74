//! Run the whole house against simulated time, network, faults and cheats.
//!
//! One seed, one thread, paused time: the runtime's timers jump from event to event, so that a deal
//! of an hour takes milliseconds and the same seed gives the same life again.
//!
//! Two ways lead in. Scenes (`House`, `Den`, `Cell`) put a few parties in one room, for tests that tell
//! one story. A world (`Plan`, `live`) is drawn from a seed whole, and judged by the protocol's
//! promises.
//!
//! In: a seed, a plan of crashes, who behaves how. Out: how it ended, for tests to judge.
//!
//! Invariant: only what a real process would find on its disk survives a crash: the log, the blobs,
//! the printed outputs and the keys.
//!
//! Not here: real sockets, chains, sandboxes and disks, which the end-to-end tests of `plaza` use.

mod life;
mod promises;

mod absence;
mod plan;

mod cell;
mod den;
mod house;

mod crook;
mod keeper;
mod puppet;
mod rogue;

mod gateway;
mod renter;
mod workshop;

mod stall;
mod town;

mod clock;
mod script;
mod wire;
mod words;

pub use absence::Absence;
pub use cell::Cell;
pub use clock::SimulatedClock;
pub use crook::{Crook, Trick};
pub use den::Den;
pub use gateway::Gateway;
pub use house::House;
pub use keeper::{Keeper, Mood};
pub use life::{Life, live};
pub use plan::{
    Failure, Job, Kind, Nature, Network, Operator, Plan, PlannedCrash, Seller, Standing, Temper,
    Trouble, Weather,
};
pub use promises::{Broken, Promise};
pub use puppet::{Behaviour, Puppet};
pub use renter::{Renter, WALLET, Wanted};
pub use rogue::Rogue;
pub use script::{Program, lasting};
pub use stall::{Stall, machine};
pub use town::{Town, key};
pub use wire::{ask, message};
pub use words::Words;
pub use workshop::Workshop;
