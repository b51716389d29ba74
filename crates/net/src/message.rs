//! What one side of an exchange says: a small header and a body of any length.

use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::Error;

/// Bytes that arrive over time.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A request or a response. The header is opaque to this room.
#[derive(Debug, Default)]
pub struct Message {
    /// At most [`HEADER_LIMIT`](crate::HEADER_LIMIT) bytes; users put JSON here.
    pub header: Vec<u8>,
    /// Anything long.
    pub body: Body,
}

/// The long part of a message.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// Bytes at hand.
    Bytes(Vec<u8>),
    /// Bytes that are read while they are sent. A reader's error fails the exchange.
    Reader(Reader),
}

impl Message {
    /// A message without a body.
    pub fn new(header: impl Into<Vec<u8>>) -> Self {
        Self { header: header.into(), body: Body::Empty }
    }

    /// The same message with this body.
    pub fn with_body(self, body: impl Into<Body>) -> Self {
        Self { header: self.header, body: body.into() }
    }
}

impl Body {
    /// A body that is read from `reader` while it is sent.
    pub fn reader(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self::Reader(Box::new(reader))
    }

    /// Whether there is certainly nothing.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The body as bytes that arrive over time.
    pub fn into_reader(self) -> Reader {
        match self {
            Self::Empty => Box::new(tokio::io::empty()),
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Self::Reader(reader) => reader,
        }
    }

    /// The whole body in memory.
    ///
    /// # Errors
    /// [`Error::Receive`] when it was cut, or has more than `limit` bytes.
    pub async fn collect(self, limit: usize) -> Result<Vec<u8>, Error> {
        let bytes = match self {
            Self::Empty => Vec::new(),
            Self::Bytes(bytes) => bytes,
            Self::Reader(reader) => {
                let mut bytes = Vec::new();
                let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
                let read = reader.take(most).read_to_end(&mut bytes).await;
                read.map_err(|source| Error::Receive { source })?;
                bytes
            }
        };
        if bytes.len() > limit {
            let source = io::Error::other(format!("it has more than {limit} bytes"));
            return Err(Error::Receive { source });
        }
        Ok(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}
