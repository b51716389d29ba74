//! What can go wrong between two peers, naming the operation and the peer or address.

use std::io;

use primitives::PeerId;

/// A failure of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the peer exists now; whoever waits for one looks at `watch_peers`.
    #[error("asking {peer}: it is not connected")]
    NotConnected {
        /// The peer that was asked.
        peer: PeerId,
    },
    /// The connection or the stream ended before the exchange did. The peer may or may not have
    /// acted on the request.
    #[error("exchanging with {peer}: the stream was cut")]
    Cut {
        /// The peer at the other end.
        peer: PeerId,
        /// What the stream reported.
        #[source]
        source: io::Error,
    },
    /// The bytes that should have been sent as a body could not be read on this side.
    #[error("reading the body to send to {peer}")]
    Source {
        /// The peer that was to receive them.
        peer: PeerId,
        /// What the reader reported.
        #[source]
        source: io::Error,
    },
    /// A header is longer than [`HEADER_LIMIT`](crate::HEADER_LIMIT); long things go in bodies.
    #[error("sending a header of {length} bytes to {peer}: at most {limit} are allowed")]
    HeaderTooLong {
        /// The peer that was to receive it.
        peer: PeerId,
        /// The header's length in bytes.
        length: usize,
        /// The longest header allowed, in bytes.
        limit: usize,
    },
    /// A received body could not be read to its end, or is longer than the reader allows.
    #[error("receiving a body")]
    Receive {
        /// What the body reported.
        #[source]
        source: io::Error,
    },
    /// A text is not an address of a peer.
    #[error("reading peer address '{text}': {why}")]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Bytes are not a transport key.
    #[error("reading a transport key: {why}")]
    Key {
        /// What is wrong with them.
        why: String,
    },
    /// An address cannot be listened on.
    #[error("listening on {address}: {why}")]
    Listen {
        /// The address.
        address: String,
        /// What the system reported.
        why: String,
    },
    /// This side has been closed.
    #[error("exchanging: this side's transport is closed")]
    Closed,
}
