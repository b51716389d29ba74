//! Speak HTTP: resources, server-sent events, problems.
//!
//! Upon a request: the guard looks at host and token, the resource's function reads it, asks the
//! workshop behind it, and writes the answer. Upon anything refused or failed: a problem document
//! (RFC 9457) that says what, where and why.
//!
//! In: HTTP/1.1 on loopback. Out: JSON, server-sent events, bytes.
//!
//! Invariant: nothing is decided here; every answer is a value that a workshop gave, every refusal
//! keeps its words. One file is one resource.
//!
//! Not here: TLS and names (put a proxy in front), what an order must be (`broker`), keys (nobody's
//! wallet is ever here).

mod server;

mod network;
mod offer;
mod quote;

mod fact;
mod job;
mod printed;
mod task;

mod balance;
mod blob;
mod deal;
mod rpc;
mod seller;

mod guard;
mod idempotency;
mod world;

mod answer;
mod request;

mod problem;

pub use answer::{
    Balance, Cosigned, Deal, DealReceipt, Job, Jobs, Listed, Network, Offers, StoredBlob, Task,
    TaskCounts, TaskState, Tasks,
};
pub use guard::Access;
pub use printed::EPOCH;
pub use problem::Problem;
pub use seller::{Seller, Withdrawal, Withdrawn};
pub use server::{gateway, seller, serve};
pub use world::{Rpc, World};
