//! Carry a deal from order to settlement.
//!
//! The story is two lines. A **job** is what a renter wants done (`job.rs`); placing it makes a
//! **deal**, one agreement with one escrow (`deal.rs`), whose steps are the modules below it.
//!
//! In: signed orders, consents and stops from `api`; receipts and outputs from providers over
//! `net`; the chain's answers from `settlement`. Out: facts in `store`, commands to providers, calls
//! on the escrow.
//!
//! Invariant: a step may be taken again after a crash at any point; nothing is lost and nothing is
//! doubled. A fact that holds a signature is durable before the signature leaves.
//!
//! Not here: rules (`market`, `verification`), HTTP (`api`), the provider's line (`provider`).

mod broker;

mod sweep;

mod door;

mod desk;
mod handed;
mod patient;

mod job;

mod place;
mod submit;

mod deal;

mod meter;
mod open;
mod run;
mod settle;
mod sign;
mod verify;

mod ask;
mod board;
mod book;
mod line;
mod outside;
mod ready;
mod refusal;
mod tasks;
mod tell;
mod view;
mod world;

mod error;

pub use broker::{Broker, next_fence};
pub use desk::{Tunnel, output_name};
pub use error::Error;
pub use ready::Ready;
pub use refusal::Refusal;
pub use view::{DealView, JobView, Listing, TaskCounts, TaskView};
pub use world::{MOST_FILES, World};
