//! Bytes by digest.
//!
//! Upon `put`: read, hash and store at once, and show the blob only when it is whole and durable.
//! Upon `get`: give a reader that fails at its end if the bytes are no longer what they were.
//!
//! Not here: who may read a blob, and when it is deleted (`broker`, `provider`).

pub(crate) mod checked;
pub(crate) mod disk;
pub(crate) mod memory;

use std::io;

use async_trait::async_trait;
use primitives::{Bytes, Digest};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::Error;

/// Bytes that arrive over time.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// What is known of content before it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The digest promised, if one was.
    pub digest: Option<Digest>,
    /// The most bytes accepted.
    pub limit: Bytes,
}

/// A blob that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: Bytes,
}

/// Keeps bytes by digest.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Store everything that `content` gives. Durable when this returns. Storing the same bytes
    /// again is a success; if their digest was promised, they are not even read.
    ///
    /// # Errors
    /// Nothing is stored upon [`Error::Mismatch`] (not the digest expected), [`Error::TooLarge`]
    /// (beyond the expected limit), [`Error::Content`] (the reader failed),
    /// [`Error::LimitReached`], [`Error::DiskFull`] and [`Error::Path`].
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        expect: Expect,
    ) -> Result<Blob, Error>;

    /// The bytes of a blob. The reader fails at the end if they are not the blob's any more.
    ///
    /// # Errors
    /// [`Error::Absent`] and [`Error::Path`].
    async fn get(&self, digest: &Digest) -> Result<Reader, Error>;

    /// The size of a blob, or `None` when it is not kept.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn size(&self, digest: &Digest) -> Result<Option<Bytes>, Error>;

    /// Forget a blob; whether it was there.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn remove(&self, digest: &Digest) -> Result<bool, Error>;

    /// The blob that was promised, if it is here already.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn find(&self, expect: &Expect) -> Result<Option<Blob>, Error> {
        let Some(digest) = expect.digest else { return Ok(None) };
        Ok(self.size(&digest).await?.map(|size| Blob { digest, size }))
    }

    /// Whether a blob is kept.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn has(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.size(digest).await?.is_some())
    }

    /// Store bytes at hand.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    async fn put_bytes(&self, bytes: &[u8]) -> Result<Blob, Error> {
        let mut content = bytes;
        let size = Bytes(bytes.len() as u64);
        self.put(&mut content, Expect::exactly(Digest::of(bytes), size)).await
    }

    /// The bytes of a small blob.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`Error::TooLarge`] and [`Error::Content`].
    async fn get_bytes(&self, digest: &Digest, limit: Bytes) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let what = || format!("blob {digest}");
        let reader = self.get(digest).await?;
        let mut reader = reader.take(limit.0.saturating_add(1));
        reader
            .read_to_end(&mut bytes)
            .await
            .map_err(|source| Error::Content { what: what(), source })?;
        if bytes.len() as u64 > limit.0 {
            return Err(Error::TooLarge { what: what(), limit });
        }
        Ok(bytes)
    }
}

impl Expect {
    /// Any content up to `limit`.
    pub const fn any(limit: Bytes) -> Self {
        Self { digest: None, limit }
    }

    /// The content of this digest, up to `limit`.
    pub const fn exactly(digest: Digest, limit: Bytes) -> Self {
        Self { digest: Some(digest), limit }
    }

    /// How errors name the content.
    pub(crate) fn what(&self) -> String {
        self.digest.map_or_else(|| "a blob".to_owned(), |digest| format!("blob {digest}"))
    }

    /// Check what came against what was promised.
    pub(crate) fn check(&self, found: Digest) -> Result<(), Error> {
        match self.digest {
            Some(expected) if expected != found => Err(Error::Mismatch { expected, found }),
            _ => Ok(()),
        }
    }

    /// Check that `size` bytes are still accepted.
    pub(crate) fn check_size(&self, size: u64) -> Result<(), Error> {
        if size > self.limit.0 {
            return Err(Error::TooLarge { what: self.what(), limit: self.limit });
        }
        Ok(())
    }

    pub(crate) fn unreadable(&self, source: io::Error) -> Error {
        Error::Content { what: self.what(), source }
    }
}
