//! A socket that fails when the system has not taken its bytes for a while.
//!
//! A peer that vanished without a word leaves the system's send buffer full for a quarter of an
//! hour; closing such a connection in order would wait as long.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};

/// A stream of bytes with a limit on how long writing may make no progress.
pub(crate) struct Stall<T> {
    stream: T,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<T> Stall<T> {
    pub(crate) const fn new(stream: T, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    /// Give `outcome`, or an error when it has been pending for longer than the limit.
    fn within_limit<V>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<V>>,
    ) -> Poll<io::Result<V>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stall<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stall<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_limit(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.within_limit(context, outcome)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_close(context);
        self.within_limit(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncWriteExt as _;
    use tokio::io::AsyncReadExt as _;
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writing_fails_once_nobody_has_taken_bytes_for_the_limit() {
        let (near, _far) = tokio::io::duplex(8);
        let mut stalled = Stall::new(near.compat(), Duration::from_secs(10));
        stalled.write_all(b"12345678").await.unwrap();
        let error = stalled.write_all(b"9").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_no_stall() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut slow = Stall::new(near.compat(), Duration::from_secs(10));
        let reading = tokio::spawn(async move {
            for _ in 0..8 {
                sleep(Duration::from_secs(9)).await;
                far.read_exact(&mut [0; 8]).await.unwrap();
            }
        });
        slow.write_all(&[7; 64]).await.unwrap();
        reading.await.unwrap();
    }
}
