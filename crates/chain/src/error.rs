//! What can go wrong in the chain, naming the operation and the object it failed on.

use alloy_primitives::B256;
use revm::database_interface::DBErrorMarker;

/// A failure of the machine or of an input that claims to be a block; refusals of single
/// transactions are values ([`crate::Refusal`]), not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused an operation: disk full, file locked by another process, I/O error.
    #[error("chain store: cannot {operation}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// The database's own word.
        source: Box<redb::Error>,
    },
    /// The database answered, but what it holds does not fit together.
    #[error("chain store is damaged: {what}")]
    Damaged {
        /// The record that is missing or unreadable.
        what: String,
    },
    /// The file holds another chain than the one that was configured.
    #[error("the file holds the chain with genesis {found}, the configuration describes {wanted}")]
    OtherChain {
        /// Genesis hash in the file.
        found: B256,
        /// Genesis hash that follows from the configuration.
        wanted: B256,
    },
    /// A block offered for import breaks a rule.
    #[error("block {number} is invalid: {reason}")]
    InvalidBlock {
        /// Its number.
        number: u64,
        /// The rule and by how much it was missed.
        reason: String,
    },
    /// The EVM stopped for a reason that is not the transaction's fault.
    #[error("block {number}: cannot execute: {reason}")]
    Execution {
        /// Number of the block being executed.
        number: u64,
        /// The EVM's word.
        reason: String,
    },
    /// State before this height was not kept, or the height was never reached.
    #[error("no state is kept for block {number}")]
    NoState {
        /// The height asked for.
        number: u64,
    },
    /// The sealing thread is gone: the chain was closed, or a block could not be stored.
    #[error("the chain is closed")]
    Closed,
    /// A thread could not be started.
    #[error("cannot start the sealing thread")]
    Thread {
        /// The operating system's word.
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps a database error with the operation it interrupted.
    pub(crate) fn store<E: Into<redb::Error>>(operation: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Store { operation, source: Box::new(source.into()) }
    }

    /// Names a record that is missing or unreadable.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

// The EVM passes database errors through.
impl DBErrorMarker for Error {}
