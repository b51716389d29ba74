//! A reader that fails when nothing has come for a while.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes of a peer, with a limit on how long they may make us wait.
pub(crate) struct Patient<R> {
    reader: R,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<R> Patient<R> {
    pub(crate) const fn new(reader: R, limit: Duration) -> Self {
        Self { reader, limit, waiting: None }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Patient<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let it = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut it.reader).poll_read(context, into) {
            it.waiting = None;
            return Poll::Ready(read);
        }
        let limit = it.limit;
        let waiting = it.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        it.waiting = None;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long")))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::Instant,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn bytes_that_keep_coming_are_read_however_slowly() {
        let (mut writer, reader) = duplex(1);
        let writing = async move {
            for _ in 0..10 {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                writer.write_all(b"x").await.expect("read");
            }
        };
        let mut read = Vec::new();
        let mut reader = Patient::new(reader, LIMIT);
        let (_, outcome) = tokio::join!(writing, reader.read_to_end(&mut read));
        assert_eq!((outcome.expect("in time"), read), (10, vec![b'x'; 10]));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_beyond_the_limit_is_an_error() {
        let (mut writer, reader) = duplex(8);
        writer.write_all(b"begun").await.expect("room");
        let (begun, mut reader) = (Instant::now(), Patient::new(reader, LIMIT));
        let outcome = reader.read_to_end(&mut Vec::new()).await;
        assert_eq!(outcome.expect_err("silent").kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), LIMIT);
    }
}
