//! Run the EVM chain: pool, blocks, state, JSON-RPC.
//!
//! A whole Ethereum chain in this process: blocks with real headers, transaction, receipt and state
//! roots; one redb file or memory; instant sealing; JSON-RPC with which cast, viem, ethers and alloy
//! work unchanged.
//!
//! Upon a transaction: it is checked, takes its place in the pool, and the sealer makes
//! blocks until no transaction is ready; the answer goes out when the block is on the disk. Upon a
//! question: it is answered from one snapshot of the store. Upon a block made elsewhere: it is
//! executed by the same executor and adopted if its header comes out the same.
//!
//! In: a genesis, signed transactions, blocks, JSON-RPC requests. Out: answers, a stream of blocks.
//!
//! Invariant: what was acknowledged is on the disk; header n, its body, receipts, indexes and state
//! are all there or not at all; latency does not depend on how many accounts or blocks there are;
//! the head is final, so `latest`, `safe` and `finalized` are one block.
//!
//! How the parts stand, from below, each importing only from those above it in the list of modules:
//! `trie` and `diff` are values; `store` is the only one that touches a file; `state` reads it and
//! settles changes into a root; `execute` is the one executor for building and verifying; `seal`
//! composes environment and header; `pool` orders; `node` makes the step from block to block, and a
//! consensus takes its place between `node` and `sealer`; `rpc` speaks.
//!
//! Good to know:
//! - Rules are those of Prague from the first block on; all of its precompiles are there, those of
//!   BLS12-381 and KZG in pure Rust (slower than the usual C libraries). A genesis may name any
//!   schedule of Ethereum's forks up to Osaka.
//! - The local network has base fee zero: transactions at gas price 0 are accepted, and an account
//!   without a coin can deploy and call. Libraries that insist on a tip of at least 1 wei (alloy's
//!   and cast's own estimate) must be told the price 0 (`--gas-price 0 --priority-gas-price 0` or
//!   `--legacy`), or their sender needs some wei.
//! - `eth_call` at `latest` sees the time of the head; at `pending`, and in every estimate, it sees
//!   the time at which a block would be made now.
//! - The state after every block stays readable (kept are the values before each change); trie
//!   nodes are those of the head, so `eth_getProof` answers for the newest block only.
//! - Filters live in memory. PREVRANDAO is the hash of the parent's hash, until a consensus draws it.
//!
//! Not here: who may propose a block (a later consensus), HTTP (`plaza` mounts [`Chain::handle`]),
//! what contracts mean (`settlement`), tracing of transactions.

// Values and rules.
mod error;
mod forks;
mod trie;

mod block;
mod diff;

// What is kept, and the state read from it.
mod store;

mod state;

// From one block to the next.
mod execute;
mod seal;

mod genesis;
mod pool;

mod node;
mod sealer;

// To the outside.
mod rpc;

mod chain;

#[cfg(test)]
mod testing;

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
