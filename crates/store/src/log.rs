//! Facts in order: the journal from which everything else can be rebuilt.
//!
//! A log holds many streams (one per job, deal, lease); a fact has a number in its stream, from 0
//! without gaps, and a position in the whole log, from 1 and growing. Upon `append` with the
//! number that the writer believes comes next: if it is right, the facts are durable when the call
//! returns; if not, nothing is written and the right number comes back (so of two writers who
//! believe to own a stream one learns that it does not). Upon `watch`: the last position, so that
//! feeds wait instead of polling.
//!
//! Invariant: an acknowledged fact is there after any crash, an unacknowledged batch is there
//! whole or not at all, and the cursor moves exactly with the facts that it came with.
//!
//! Not here: what facts mean.

pub(crate) mod memory;
pub(crate) mod sqlite;

use async_trait::async_trait;
use primitives::B256;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::Error;

/// Where a fact stands in the whole log, from 1; 0 is before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// The last block of a chain whose events have become facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
}

/// One fact as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the whole log.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: String,
    /// Its number in that stream, from 0.
    pub number: u64,
    /// The fact, as JSON.
    pub fact: Vec<u8>,
}

/// A stream and the number that its next fact will have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// The stream's name.
    pub stream: String,
    /// How many facts it has, which is the next fact's number.
    pub next: u64,
}

/// Facts for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream's name.
    pub stream: String,
    /// The number that the first of `facts` is to get.
    pub expected_next: u64,
    /// The facts, as JSON.
    pub facts: Vec<Vec<u8>>,
}

/// What is written together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Facts, stream by stream.
    pub appends: Vec<Append>,
    /// The name of a chain and how far it has been read.
    pub cursor: Option<(String, Cursor)>,
}

/// What became of a batch.
#[must_use = "a conflict means that nothing was written"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Everything is durable.
    Stored {
        /// The position of the last fact of the log at that moment.
        last: Position,
    },
    /// Someone else has written to a stream; nothing was written.
    Conflict {
        /// The stream.
        stream: String,
        /// The number that its next fact will have.
        next: u64,
    },
}

/// Keeps facts in order.
#[async_trait]
pub trait Log: Send + Sync {
    /// Write a batch whole; durable when this returns [`Appended::Stored`].
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DiskFull`] when it could not be written; then whether it
    /// is there must be asked with [`replay`](Self::replay).
    async fn append(&self, batch: Batch) -> Result<Appended, Error>;

    /// The facts of one stream, from number `from` on, in order.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn replay(&self, stream: &str, from: u64) -> Result<Vec<Entry>, Error>;

    /// Every stream whose name begins with `prefix`, by name.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn streams(&self, prefix: &str) -> Result<Vec<StreamHead>, Error>;

    /// At most `limit` facts of all streams after `after`, in order.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Entry>, Error>;

    /// How far the chain of that name has been read, if ever.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn cursor(&self, chain: &str) -> Result<Option<Cursor>, Error>;

    /// The position of the last fact, as this process has written it.
    fn watch(&self) -> watch::Receiver<Position>;
}

impl Batch {
    /// Facts for one stream.
    pub fn to(stream: impl Into<String>, expected_next: u64, facts: Vec<Vec<u8>>) -> Self {
        Self::default().and(stream, expected_next, facts)
    }

    /// And facts for another stream, with the same fate.
    #[must_use]
    pub fn and(
        mut self,
        stream: impl Into<String>,
        expected_next: u64,
        facts: Vec<Vec<u8>>,
    ) -> Self {
        self.appends.push(Append { stream: stream.into(), expected_next, facts });
        self
    }

    /// And the cursor of a chain, with the same fate.
    #[must_use]
    pub fn with_cursor(mut self, chain: impl Into<String>, cursor: Cursor) -> Self {
        self.cursor = Some((chain.into(), cursor));
        self
    }
}
