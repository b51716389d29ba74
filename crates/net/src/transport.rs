//! The seam between what is said and how it travels.

use std::collections::BTreeSet;

use async_trait::async_trait;
use primitives::PeerId;
use tokio::sync::watch;

use crate::{error::Error, exchange::Incoming, message::Message};

/// Carries exchanges to and from the peers that are connected now.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Who we are.
    fn local(&self) -> PeerId;

    /// Who is connected now. The set changes as peers come and go; level-triggered loops wait on
    /// it instead of being told of single events.
    fn watch_peers(&self) -> watch::Receiver<BTreeSet<PeerId>>;

    /// Ask a connected peer and give its answer as soon as the answer's header is there. The
    /// request's body goes on being sent while the answer's body is read; dropping the answer, or
    /// this future, ends the exchange on both sides. There is no time limit here.
    ///
    /// # Errors
    /// [`Error::NotConnected`] at once for a peer that is not connected; [`Error::Cut`] when the
    /// stream ends early, after which the peer may or may not have acted; [`Error::Source`] when
    /// the request's body could not be read; [`Error::HeaderTooLong`].
    async fn exchange(&self, to: &PeerId, request: Message) -> Result<Message, Error>;

    /// The next request of any peer, or `None` once this side is closed. Several tasks may wait;
    /// each request goes to one of them.
    async fn accept(&self) -> Option<Incoming>;
}
