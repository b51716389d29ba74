//! A reader that fails at its end when its bytes do not have the digest they are named by.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use primitives::{Digest, Hasher};
use tokio::io::{AsyncRead, ReadBuf};

pub(crate) struct Checked<R> {
    reader: R,
    hasher: Option<Hasher>,
    digest: Digest,
}

impl<R> Checked<R> {
    pub(crate) fn new(reader: R, digest: Digest) -> Self {
        Self { reader, hasher: Some(Hasher::default()), digest }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Checked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let wanted = into.remaining() > 0;
        ready!(Pin::new(&mut self.reader).poll_read(context, into))?;
        let piece = &into.filled()[before..];
        if !piece.is_empty() {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(piece);
            }
        } else if wanted
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            let why = format!("blob {} is damaged", self.digest);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}
