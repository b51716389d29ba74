//! Carry messages and streams between authenticated peers.
//!
//! There is one idea, the **exchange**: a request (a small header and a body of any length) that
//! goes to one peer and is answered by a response of the same shape. Either side of a connection
//! may start exchanges, so a provider behind a firewall keeps one outbound connection and its
//! gateway asks back over it.
//!
//! Upon `exchange`: open a stream to the peer, send the request, give the response as soon as its
//! header is there; bodies flow on with back-pressure. Upon a stream from a peer: read the
//! request's header, give it to whoever waits in `accept`.
//!
//! In: headers and bodies as bytes. Out: the same bytes at the peer whose key is known.
//!
//! Invariant: a body that was cut anywhere is an error at its reader, never a short success; an
//! exchange with a peer that is not connected fails at once instead of waiting.
//!
//! Not here: what the bytes mean (`market`), who may ask for what (`broker`, `provider`), retries
//! (callers compare desired with actual state and ask again).

mod peers;
mod simulated;

mod transport;

mod exchange;
mod message;

mod address;
mod error;

pub use address::{Address, TransportKey};
pub use error::Error;
pub use exchange::{HEADER_LIMIT, Incoming, Reply};
pub use message::{Body, Message, Reader};
pub use peers::Peers;
pub use simulated::{Conditions, Network, Simulated};
pub use transport::Transport;
