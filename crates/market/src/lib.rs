//! What offers, orders, bids, deals and receipts are; who fits whom; what usage costs.
//!
//! In: signed documents, facts, moments in time. Out: hashes, prices, quotes, next stages, next moves.
//!
//! Invariant: pure functions only. The same facts always give the same stage; the same stage and
//! the same escrow slot always give the same move, so that a simulator can replay anything.
//!
//! Not here: carrying any of it out (`broker`, `provider`), the contracts' encoding (`settlement`).

pub mod document;
pub mod escrow;
pub mod exit;
pub mod fact;
pub mod machine;
pub mod message;
pub mod meter;
pub mod outcome;
pub mod quote;
pub mod rules;
pub mod session;
pub mod stage;
pub mod task;
pub mod work;

mod error;

pub use document::{Consent, Domain, Kind, Offer, Order, Receipt, Session, Signed, Terms};
pub use error::Error;
pub use escrow::{Slot, State};
pub use fact::{DealFact, Fact, JobFact, LeaseFact, Record};
pub use machine::{Machine, Root, Wasm, Wish};
pub use meter::Meter;
pub use outcome::{Outcome, Verdict};
pub use rules::Rules;
pub use session::SessionUse;
pub use stage::{DealStage, JobStage, LeaseStage};
pub use task::TaskResult;
pub use work::Work;
