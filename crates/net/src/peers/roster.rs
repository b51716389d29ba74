//! Which connections are alive, and how to open a stream on one of them.
//!
//! Invariant: a connection is either in the roster and usable, or out of it and every stream on it
//! fails; there is nothing between.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::{Stream, StreamProtocol, swarm::ConnectionId};
use primitives::PeerId;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::{
    compat::{Compat, FuturesAsyncReadCompatExt as _},
    sync::CancellationToken,
};

use crate::exchange::Line;

/// The protocol of exchanges.
pub(crate) const EXCHANGE: StreamProtocol = StreamProtocol::new("/plaza/exchange/1");
/// The protocol of beats: the listener returns every byte.
pub(crate) const BEAT: StreamProtocol = StreamProtocol::new("/plaza/beat/1");

/// Exchanges that one side may have open on one connection; more wait for their turn.
pub(crate) const EXCHANGES: usize = 256;

/// One connection among those of all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionKey {
    pub(crate) peer: libp2p::PeerId,
    pub(crate) id: ConnectionId,
}

/// A living connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) cut: CancellationToken,
    openings: mpsc::Sender<Opening>,
    permits: Arc<Semaphore>,
}

/// The wish for a new stream.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) protocol: StreamProtocol,
    pub(crate) opened: oneshot::Sender<io::Result<Stream>>,
}

/// All living connections.
#[derive(Default)]
pub(crate) struct Roster {
    connections: Mutex<HashMap<libp2p::PeerId, Vec<Connection>>>,
    peers: watch::Sender<BTreeSet<PeerId>>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId) -> (Self, mpsc::Receiver<Opening>) {
        let (openings, wishes) = mpsc::channel(EXCHANGES);
        let permits = Arc::new(Semaphore::new(EXCHANGES));
        (Self { id, cut: CancellationToken::new(), openings, permits }, wishes)
    }

    /// Open a stream for one exchange, waiting while too many are open.
    pub(crate) async fn open_exchange(&self) -> io::Result<Line> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        Ok(Line::new(self.open(EXCHANGE).await?, &self.cut, Some(permit)))
    }

    /// Open the stream on which this side's beats go out.
    pub(crate) async fn open_beat(&self) -> io::Result<Line> {
        Ok(Line::new(self.open(BEAT).await?, &self.cut, None))
    }

    async fn open(&self, protocol: StreamProtocol) -> io::Result<Compat<Stream>> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let (opened, stream) = oneshot::channel();
        let opening = async {
            self.openings.send(Opening { protocol, opened }).await.map_err(|_| gone())?;
            stream.await.map_err(|_| gone())?
        };
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(gone()),
            stream = opening => Ok(stream?.compat()),
        }
    }
}

impl Roster {
    pub(crate) fn watch(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.peers.subscribe()
    }

    pub(crate) fn enter(&self, peer: libp2p::PeerId, connection: Connection) {
        let mut connections = self.lock();
        connections.entry(peer).or_default().push(connection);
        self.publish(&connections);
    }

    /// Take the connection out and fail every stream on it.
    pub(crate) fn strike(&self, key: ConnectionKey) {
        let mut connections = self.lock();
        if let Some(of_peer) = connections.get_mut(&key.peer) {
            of_peer.retain(|connection| {
                let stays = connection.id != key.id;
                if !stays {
                    connection.cut.cancel();
                }
                stays
            });
            if of_peer.is_empty() {
                connections.remove(&key.peer);
            }
        }
        self.publish(&connections);
    }

    /// Take all connections out.
    pub(crate) fn strike_all(&self) {
        let mut connections = self.lock();
        connections.drain().flat_map(|(_, of_peer)| of_peer).for_each(|one| one.cut.cancel());
        self.publish(&connections);
    }

    /// The connection of the peer that was made last: after a silent loss it is the living one.
    pub(crate) fn newest(&self, peer: libp2p::PeerId) -> Option<Connection> {
        self.lock().get(&peer).and_then(|of_peer| of_peer.last().cloned())
    }

    pub(crate) fn get(&self, key: ConnectionKey) -> Option<Connection> {
        let connections = self.lock();
        connections.get(&key.peer)?.iter().find(|connection| connection.id == key.id).cloned()
    }

    pub(crate) fn has(&self, peer: libp2p::PeerId) -> bool {
        self.lock().contains_key(&peer)
    }

    fn publish(&self, connections: &HashMap<libp2p::PeerId, Vec<Connection>>) {
        let present = connections.keys().map(|peer| PeerId(peer.to_base58())).collect();
        self.peers.send_if_modified(|known| {
            let changed = *known != present;
            *known = present;
            changed
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<libp2p::PeerId, Vec<Connection>>> {
        // The map is changed by single calls that cannot leave it half-changed.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
