//! Offer a machine, run what was placed on it, report usage.
//!
//! The story is one line, `lease.rs`: a firm bid is accepted, its work prepared, run, metered,
//! delivered, wiped; the steps are the modules below it. Its tasks lie on the bench, each in its own
//! small pipeline (`task`). Before it stands the desk, which bids by the owner's policy, and the
//! announcement, which keeps the offer in the gateway's book.
//!
//! In: orders and signed commands from one gateway over `net`; the chain's answers from
//! `settlement`; samples and records from `sandbox`. Out: a signed offer, firm bids, signed receipts,
//! outputs, facts in `store`, calls on the escrow.
//!
//! Invariant: a step may be taken again after a crash at any point: one start of each task, one
//! terminal receipt, and no signature leaves before the fact that holds it is durable. What both
//! sides signed is collected without the gateway's or the renter's help.
//!
//! Not here: rules (`market`), placing on many machines (`broker`), walls around runs (`sandbox`).

mod provider;

mod announce;
mod desk;

mod bid;
mod offer;

mod lease;

mod accept;

mod prepare;

mod meter;

mod conclude;

mod deliver;

mod exits;

mod wipe;

mod bench;
mod task;

mod clock;
mod fate;
mod inputs;
mod outputs;
mod print;
mod report;

mod outside;
mod root;
mod terminal;

mod assign;
mod line;
mod told;

mod world;

mod floor;
mod gateway;
mod inbox;

mod pace;
mod policy;
mod tally;
mod view;

mod error;

pub use bid::offer_digest;
pub use error::Error;
pub use offer::{for_sale, graphics_for_sale};
pub use policy::{Part, Policy, Price, Share};
pub use provider::Provider;
pub use view::{Earned, Earnings, LeaseView, Status};
pub use world::{Config, World};
