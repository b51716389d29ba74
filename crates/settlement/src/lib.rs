//! Speak to the contracts on any EVM chain (the only room that knows an ABI).
//!
//! In: calls as values, JSON-RPC answers. Out: slots, balances, openings and closings at the
//! network's depth; refusals as values; a network set up from nothing.
//!
//! Invariant: nothing read here is taken back by a reorganisation within the network's depth; a
//! call that the contracts refuse leaves no transaction.
//!
//! Not here: which call is wanted (`market::exit`), the signed documents (`market::document`).

mod abi;
mod authorisation;
mod book;
mod call;
mod coin;
mod deploy;
mod encode;
mod error;
mod evm;
mod follow;
mod ledger;
mod node;
mod refusal;
mod rpc;
mod seam;
mod sender;
mod view;

pub use authorisation::authorisation_digest;
pub use book::Setup;
pub use call::{Call, Cosigned, MAX_BATCH, Mined, Sent, Skipped};
pub use coin::endow;
pub use deploy::{Deployment, Plan, deploy, genesis, newest_block};
pub use error::{Error, RpcError};
pub use evm::{Evm, Network};
pub use ledger::{Carried, Imbalance, Ledger, Seat};
pub use refusal::{Reason, Refusal};
pub use rpc::{Http, Rpc, read_answer};
pub use seam::Settlement;
pub use sender::Pace;
pub use view::{Admission, Balances, Head};
