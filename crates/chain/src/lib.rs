//! Run the EVM chain: pool, blocks, state, JSON-RPC.

mod block;
mod chain;
mod diff;
mod error;
mod execute;
mod forks;
mod genesis;
mod node;
mod pool;
mod rpc;
mod seal;
mod sealer;
mod state;
mod store;
#[cfg(test)]
mod testing;
mod trie;

pub use alloy_genesis::{Genesis, GenesisAccount};
pub use block::{BaseFee, Block, NewBlock, Receipt, SealedBlock, Transaction};
pub use chain::Chain;
pub use error::Error;
pub use forks::Forks;
pub use genesis::{Config, local_genesis};
pub use pool::Refusal;
pub use rpc::RpcError;
pub use seal::Sealing;
pub use store::Place;
