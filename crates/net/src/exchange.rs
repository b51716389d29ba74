//! One exchange over one stream of bytes, whichever transport supplied the stream.
//!
//! Both directions have the same form, integers big-endian:
//!
//! ```text
//! length: u32, at most HEADER_LIMIT    kind: u8, 0 = no body, 1 = body    header: length bytes
//! if kind = 1, chunks:  size: u32, 1 to CHUNK_LIMIT, then size bytes
//!                       or 0 = the body is complete
//!                       or 0xffff_ffff = the sender could not read its own body
//! ```
//!
//! Upon `ask`: send the request and, at the same time, wait for the response's header. Upon that
//! header: give the response; what is left of the request's body is sent while the response's
//! body is read, and dropped with it. Upon a stream from a peer: `hear` reads one request.
//!
//! Invariant: a reader of a body sees its end only after the mark that completes it.
//!
//! Not here: opening streams, limits on their number, detection of dead connections.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use primitives::PeerId;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split},
    sync::OwnedSemaphorePermit,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    error::Error,
    message::{Body, Message},
};

/// The longest header, in bytes: 1 MiB.
pub const HEADER_LIMIT: usize = 1 << 20;

/// The longest chunk of a body, in bytes.
const CHUNK_LIMIT: usize = 64 << 10;
const COMPLETE: u32 = 0;
const FAILED: u32 = u32::MAX;

/// A request that a peer has sent, and the way to answer it.
#[derive(Debug)]
pub struct Incoming {
    /// Who asks; the transport has authenticated it.
    pub peer: PeerId,
    /// What it asks.
    pub message: Message,
    /// Where the answer goes. Dropped unsent, the peer sees [`Error::Cut`].
    pub reply: Reply,
}

/// The one answer to a request.
#[derive(Debug)]
pub struct Reply {
    peer: PeerId,
    write: WriteHalf<Line>,
}

/// A stream of bytes that ends with its connection and counts against its peer's limit.
pub(crate) struct Line {
    stream: Box<dyn Duplex>,
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: Option<OwnedSemaphorePermit>,
}

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Send `request` to `peer` over `line` and give the response.
pub(crate) async fn ask(peer: &PeerId, line: Line, request: Message) -> Result<Message, Error> {
    let head = head(peer, &request)?;
    let (mut read, mut write) = split(line);
    let mut sending: Sending = Box::pin(async move { send(&mut write, head, request.body).await });
    let mut sent = false;
    let response = {
        let mut answer = Box::pin(receive_head(&mut read));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer,
                outcome = &mut sending, if !sent => match outcome {
                    Err(Unsent::Source(source)) => {
                        return Err(Error::Source { peer: peer.clone(), source });
                    }
                    // The peer may have answered before it heard everything, so its answer, or
                    // the lack of one, decides.
                    Err(Unsent::Stream) | Ok(()) => sent = true,
                },
            }
        }
    };
    let (header, has_body) =
        response.map_err(|source| Error::Cut { peer: peer.clone(), source })?;
    let rest = if sent { None } else { Some(sending) };
    let body = if has_body { Body::reader(Chunks::new(read, rest)) } else { Body::Empty };
    Ok(Message { header, body })
}

/// Read one request of `peer` from `line`.
pub(crate) async fn hear(peer: PeerId, line: Line) -> io::Result<Incoming> {
    let (mut read, write) = split(line);
    let (header, has_body) = receive_head(&mut read).await?;
    let body = if has_body { Body::reader(Chunks::new(read, None)) } else { Body::Empty };
    let reply = Reply { peer: peer.clone(), write };
    Ok(Incoming { peer, message: Message { header, body }, reply })
}

impl Reply {
    /// Answer. Returns when everything has been handed to the connection; that the peer has
    /// received it only the peer can say.
    ///
    /// # Errors
    /// [`Error::Cut`] when the peer has gone or wants no more, [`Error::Source`] when the body
    /// could not be read, [`Error::HeaderTooLong`].
    pub async fn send(self, response: Message) -> Result<(), Error> {
        let Self { peer, mut write } = self;
        let head = head(&peer, &response)?;
        match send(&mut write, head, response.body).await {
            Ok(()) => {
                // Everything has been said; that the peer has hung up meanwhile loses nothing.
                let _ = write.shutdown().await;
                Ok(())
            }
            Err(Unsent::Source(source)) => Err(Error::Source { peer, source }),
            Err(Unsent::Stream) => {
                Err(Error::Cut { peer, source: io::ErrorKind::ConnectionReset.into() })
            }
        }
    }
}

type Sending = BoxFuture<'static, Result<(), Unsent>>;

/// Why a message was not sent whole.
enum Unsent {
    /// Our own body failed.
    Source(io::Error),
    /// The stream failed.
    Stream,
}

impl From<io::Error> for Unsent {
    fn from(_: io::Error) -> Self {
        Self::Stream
    }
}

/// The first bytes of a message: length, kind and header.
fn head(peer: &PeerId, message: &Message) -> Result<Vec<u8>, Error> {
    let length = message.header.len();
    let too_long = || Error::HeaderTooLong { peer: peer.clone(), length, limit: HEADER_LIMIT };
    let prefix = u32::try_from(length).map_err(|_| too_long())?;
    if length > HEADER_LIMIT {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(length + 5);
    bytes.extend_from_slice(&prefix.to_be_bytes());
    bytes.push(u8::from(!message.body.is_empty()));
    bytes.extend_from_slice(&message.header);
    Ok(bytes)
}

async fn receive_head(read: &mut ReadHalf<Line>) -> io::Result<(Vec<u8>, bool)> {
    let mut prefix = [0; 5];
    read.read_exact(&mut prefix).await?;
    let [a, b, c, d, kind] = prefix;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > HEADER_LIMIT || kind > 1 {
        return Err(malformed("a header longer than allowed or of unknown kind"));
    }
    let mut header = vec![0; length];
    read.read_exact(&mut header).await?;
    Ok((header, kind == 1))
}

/// Send a message whole. An asker does not close its direction afterwards: Yamux tells the other
/// side that a stream was dropped only if it was not closed before.
async fn send(write: &mut WriteHalf<Line>, head: Vec<u8>, body: Body) -> Result<(), Unsent> {
    write.write_all(&head).await?;
    if let Some(mut reader) = (!body.is_empty()).then(|| body.into_reader()) {
        send_chunks(write, &mut reader).await?;
    }
    Ok(write.flush().await?)
}

async fn send_chunks(
    write: &mut WriteHalf<Line>,
    body: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<(), Unsent> {
    let mut chunk = vec![0; 4 + CHUNK_LIMIT];
    loop {
        let size = match body.read(&mut chunk[4..]).await {
            Ok(size) => size,
            Err(error) => {
                write.write_all(&FAILED.to_be_bytes()).await?;
                write.flush().await?;
                return Err(Unsent::Source(error));
            }
        };
        let prefix = u32::try_from(size).unwrap_or(FAILED);
        chunk[..4].copy_from_slice(&prefix.to_be_bytes());
        write.write_all(&chunk[..4 + size]).await?;
        if prefix == COMPLETE {
            return Ok(());
        }
    }
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the peer sent {why}"))
}

/// Reads a body chunk by chunk, and drives what is still to be sent on the same stream.
struct Chunks {
    read: ReadHalf<Line>,
    sending: Option<Sending>,
    prefix: [u8; 4],
    /// How many bytes of `prefix` have arrived.
    prefixed: usize,
    /// How many bytes of the present chunk are still to come.
    left: usize,
    complete: bool,
}

impl Chunks {
    const fn new(read: ReadHalf<Line>, sending: Option<Sending>) -> Self {
        Self { read, sending, prefix: [0; 4], prefixed: 0, left: 0, complete: false }
    }

    /// Send on. A failure here shows itself to the reader as a cut stream, if it matters at all.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(sending) = &mut self.sending
            && sending.as_mut().poll(context).is_ready()
        {
            self.sending = None;
        }
    }

    /// Read until a chunk with bytes has begun or the body is complete.
    fn poll_prefix(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left == 0 && !self.complete {
            while self.prefixed < self.prefix.len() {
                let mut part = ReadBuf::new(&mut self.prefix[self.prefixed..]);
                ready!(Pin::new(&mut self.read).poll_read(context, &mut part))?;
                let arrived = part.filled().len();
                if arrived == 0 {
                    return Poll::Ready(Err(cut_short()));
                }
                self.prefixed += arrived;
            }
            self.prefixed = 0;
            match u32::from_be_bytes(self.prefix) {
                COMPLETE => self.complete = true,
                FAILED => {
                    return Poll::Ready(Err(io::Error::other("the peer could not read its body")));
                }
                size => self.left = usize::try_from(size).unwrap_or(usize::MAX),
            }
            if self.left > CHUNK_LIMIT {
                return Poll::Ready(Err(malformed("a chunk longer than allowed")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the body was cut before its end")
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.drive(context);
        ready!(self.poll_prefix(context))?;
        let most = self.left.min(into.remaining());
        if self.complete || most == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.read).poll_read(context, &mut part))?;
        let arrived = part.filled().len();
        if arrived == 0 {
            return Poll::Ready(Err(cut_short()));
        }
        into.advance(arrived);
        self.left -= arrived;
        Poll::Ready(Ok(()))
    }
}

impl Line {
    /// The stream, failing as soon as `cut` says that its connection is gone.
    pub(crate) fn new(
        stream: impl Duplex + 'static,
        cut: &CancellationToken,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            stream: Box::new(stream),
            read_cut: Box::pin(cut.clone().cancelled_owned()),
            write_cut: Box::pin(cut.clone().cancelled_owned()),
            _permit: permit,
        }
    }

    fn poll_cut(
        cut: &mut Pin<Box<WaitForCancellationFutureOwned>>,
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        match cut.as_mut().poll(context) {
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection is gone"))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Self::poll_cut(&mut self.read_cut, context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_cut(&mut self.write_cut, context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_cut(&mut self.write_cut, context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_cut(&mut self.write_cut, context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
