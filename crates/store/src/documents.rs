//! Tables to query: documents of some kind, by id, in the order of their last change.
//!
//! For offers, remembered answers (idempotency keys) and the like. Upon `put`: replace. Upon
//! `put_new`: keep the first. Upon `expire`: forget what is past its time.
//!
//! Not here: what must never be lost or reordered (`log`).

pub(crate) mod memory;
pub(crate) mod sqlite;

use async_trait::async_trait;
use primitives::UnixSeconds;

use crate::{error::Error, log::Position};

/// A document as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What sort of document: `offer`, `answer`.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// Its content, as JSON.
    pub json: Vec<u8>,
    /// When it is forgotten, if ever.
    pub expires: Option<UnixSeconds>,
    /// Grows with every change of any document; feeds read on from the last one they saw.
    pub position: Position,
}

/// What became of a document that was to be the first of its id.
#[must_use = "another document may have been first"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is.
    New(Position),
    /// This one was there before.
    Before(Document),
}

/// Keeps documents.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Keep a document in the place of any other of its kind and id.
    ///
    /// # Errors
    /// [`Error::Database`] and [`Error::DiskFull`].
    async fn put(
        &self,
        kind: &str,
        id: &str,
        json: &[u8],
        expires: Option<UnixSeconds>,
    ) -> Result<Position, Error>;

    /// Keep a document unless one of its kind and id is there that has not expired by `now`.
    ///
    /// # Errors
    /// [`Error::Database`] and [`Error::DiskFull`].
    async fn put_new(
        &self,
        kind: &str,
        id: &str,
        json: &[u8],
        expires: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> Result<Stored, Error>;

    /// A document that has not expired by `now`.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn get(&self, kind: &str, id: &str, now: UnixSeconds) -> Result<Option<Document>, Error>;

    /// At most `limit` documents of a kind changed after `after` and not expired by `now`, in the
    /// order of their last change.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn list(
        &self,
        kind: &str,
        after: Position,
        limit: usize,
        now: UnixSeconds,
    ) -> Result<Vec<Document>, Error>;

    /// Forget a document; whether it was there.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn remove(&self, kind: &str, id: &str) -> Result<bool, Error>;

    /// Forget every document that has expired by `now`; how many there were.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn expire(&self, now: UnixSeconds) -> Result<u64, Error>;
}

impl Document {
    /// Whether the document's time is over at `now`.
    pub fn expired(&self, now: UnixSeconds) -> bool {
        self.expires.is_some_and(|moment| moment <= now)
    }
}
