//! Peers over libp2p: TCP, Noise (the peer's key is proven), Yamux (many streams on one connection).
//!
//! One task drives the connections. Upon an address to keep: dial it, and again after every loss,
//! waiting a little longer each time. Upon a connection: enter it in the roster and start its
//! heart-beat. Upon a missed beat: strike it from the roster at once, so that every exchange on it
//! fails, and close it. Upon `exchange`: open a stream on the newest connection of the peer.
//!
//! Invariant: only given addresses are listened on and dialled; a dead connection is noticed
//! within 9 seconds; streams and connections are bounded
//! per peer.
//!
//! Not here: discovery, relays, gossip.

pub(crate) mod redial;
pub(crate) mod roster;
pub(crate) mod stall;
pub(crate) mod streams;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, Swarm, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    noise,
    swarm::{
        self, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use primitives::PeerId;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    redial::Redial,
    roster::{ConnectionKey, Roster},
    stall::Stall,
    streams::{Streams, beat},
};
use crate::{
    address::{Address, TransportKey, transport_id},
    error::Error,
    exchange::{Incoming, ask},
    message::Message,
    transport::Transport,
};

/// How long bytes may wait for the system to take them before the connection counts as dead.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new connection may take to prove its key.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests heard but not yet accepted; more of them wait on their streams.
const WAITING_REQUESTS: usize = 256;
/// Streams on one connection, both directions together; a peer that opens more is cut off. Twice
/// the exchanges of both directions, for streams that are just ending.
const STREAMS_PER_CONNECTION: usize = 1_024;
/// The system's send buffer: small enough that a beat is not stuck for seconds behind an upload
/// on a slow line, large enough for 160 Mbit/s at 50 ms.
const SEND_BUFFER: usize = 1 << 20;

/// This machine among its peers.
pub struct Peers {
    local: PeerId,
    addresses: Vec<Address>,
    roster: Arc<Roster>,
    incoming: Mutex<mpsc::Receiver<Incoming>>,
    closing: CancellationToken,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Peers {
    /// Listen on `addresses` only; port 0 chooses a free one.
    ///
    /// # Errors
    /// [`Error::Listen`] naming the address.
    pub async fn listen(key: &TransportKey, addresses: &[Address]) -> Result<Self, Error> {
        Self::start(key, addresses, &[]).await
    }

    /// Keep a connection to the peer at `to`, which must name it (`/p2p/ID`). Returns at once:
    /// the peer may be down now, and is tried again for ever.
    ///
    /// # Errors
    /// [`Error::Address`] when `to` names no peer.
    pub async fn dial(key: &TransportKey, to: &Address) -> Result<Self, Error> {
        Self::start(key, &[], std::slice::from_ref(to)).await
    }

    /// Both: listen on some addresses and keep connections to others.
    ///
    /// # Errors
    /// As [`listen`](Self::listen) and [`dial`](Self::dial).
    pub async fn start(
        key: &TransportKey,
        listen: &[Address],
        dial: &[Address],
    ) -> Result<Self, Error> {
        let standing = dial.iter().map(Redial::new).collect::<Result<Vec<_>, _>>()?;
        let (hear, incoming) = mpsc::channel(WAITING_REQUESTS);
        let roster = Arc::new(Roster::default());
        let streams = Streams::new(Arc::clone(&roster), hear);
        let config = swarm::Config::with_tokio_executor().with_max_negotiating_inbound_streams(512);
        let local = key.pair().public().to_peer_id();
        let mut swarm = Swarm::new(wire(key)?, streams, local, config);
        let mut addresses = Vec::new();
        for address in listen {
            let place = listen_on(&mut swarm, address).await?;
            addresses.push(Address::from_place(place).of(&key.peer_id())?);
        }
        let closing = CancellationToken::new();
        let driver = tokio::spawn(drive(swarm, standing, Arc::clone(&roster), closing.clone()));
        Ok(Self {
            local: key.peer_id(),
            addresses,
            roster,
            incoming: Mutex::new(incoming),
            closing,
            driver: Mutex::new(Some(driver)),
        })
    }

    /// Where we are reached: the addresses listened on, with the ports chosen and our name.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Close every connection and listener and wait until the ports are free again. Dropping
    /// closes as well, without waiting.
    pub async fn close(&self) {
        self.closing.cancel();
        if let Some(driver) = self.driver.lock().await.take() {
            // A driver that panicked is gone too, which is all that is asked here.
            let _ = driver.await;
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("local", &self.local)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Peers {
    fn local(&self) -> PeerId {
        self.local.clone()
    }

    fn watch_peers(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.roster.watch()
    }

    async fn exchange(&self, to: &PeerId, request: Message) -> Result<Message, Error> {
        if self.closing.is_cancelled() {
            return Err(Error::Closed);
        }
        let absent = || Error::NotConnected { peer: to.clone() };
        let connection =
            transport_id(to).and_then(|id| self.roster.newest(id)).ok_or_else(absent)?;
        let line = connection
            .open_exchange()
            .await
            .map_err(|source| Error::Cut { peer: to.clone(), source })?;
        ask(to, line, request).await
    }

    async fn accept(&self) -> Option<Incoming> {
        let mut incoming = self.incoming.lock().await;
        tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            next = incoming.recv() => next,
        }
    }
}

/// TCP, then Noise, then Yamux.
fn wire(key: &TransportKey) -> Result<Boxed<(libp2p::PeerId, StreamMuxerBox)>, Error> {
    let noise =
        noise::Config::new(key.pair()).map_err(|error| Error::Key { why: error.to_string() })?;
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(STREAMS_PER_CONNECTION);
    Ok(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .map(|socket, _| {
            if let Err(error) =
                rustix::net::sockopt::set_socket_send_buffer_size(&socket.0, SEND_BUFFER)
            {
                tracing::debug!(%error, "the system keeps its own send buffer");
            }
            Stall::new(socket, STALL_TIMEOUT)
        })
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(streams)
        .timeout(HANDSHAKE_TIMEOUT)
        .boxed())
}

/// Listen and wait for the address with its real port.
async fn listen_on(swarm: &mut Swarm<Streams>, address: &Address) -> Result<Multiaddr, Error> {
    let refuse = |why: String| Error::Listen { address: address.to_string(), why };
    // The swarm would share a port with another program that also allows it; we share none.
    if let Some(socket) = address.socket().filter(|socket| socket.port() != 0) {
        TcpListener::bind(socket).await.map_err(|error| refuse(error.to_string()))?;
    }
    let listener = swarm.listen_on(address.place()).map_err(|error| refuse(error.to_string()))?;
    let real = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } if listener_id == listener => {
                    return Ok(address);
                }
                SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                    return Err(error.to_string());
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. }
                    if listener_id == listener =>
                {
                    return Err(format!("the listener closed: {reason:?}"));
                }
                _ => {}
            }
        }
    };
    match timeout(HANDSHAKE_TIMEOUT, real).await {
        Ok(outcome) => outcome.map_err(refuse),
        Err(_) => Err(refuse("the system reports no address".to_owned())),
    }
}

/// Drive all connections until told to close.
async fn drive(
    mut swarm: Swarm<Streams>,
    mut standing: Vec<Redial>,
    roster: Arc<Roster>,
    closing: CancellationToken,
) {
    let (dying, mut dead) = mpsc::channel::<ConnectionKey>(64);
    loop {
        let next_dial = redial::next(&standing, &roster);
        tokio::select! {
            biased;
            () = closing.cancelled() => break,
            () = redial::wait(next_dial) => dial_due(&mut swarm, &mut standing, &roster),
            Some(key) = dead.recv() => {
                tracing::debug!(peer = %key.peer, "the connection is dead");
                roster.strike(key);
                swarm.close_connection(key.id);
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                    tracing::debug!(peer = %peer_id, "connected");
                    redial::reached(&mut standing, peer_id);
                    let key = ConnectionKey { peer: peer_id, id: connection_id };
                    if let Some(connection) = roster.get(key) {
                        tokio::spawn(watch_over(key, beat(connection), dying.clone()));
                    }
                }
                SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                    tracing::debug!(%peer, %error, "cannot reach");
                    redial::missed(&mut standing, peer);
                }
                SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                    tracing::debug!(peer = %peer_id, ?cause, "disconnected");
                }
                _ => {}
            },
        }
    }
    roster.strike_all();
}

fn dial_due(swarm: &mut Swarm<Streams>, standing: &mut [Redial], roster: &Roster) {
    for target in redial::due(standing, roster) {
        // Always: the roster, not the swarm, knows which connections are alive.
        let options = DialOpts::peer_id(target.peer)
            .addresses(vec![target.place.clone()])
            .condition(PeerCondition::Always)
            .allocate_new_port()
            .build();
        if let Err(error) = swarm.dial(options) {
            tracing::debug!(peer = %target.peer, %error, "cannot dial");
            target.miss();
        }
    }
}

/// Report the connection as dead when its beat ends.
async fn watch_over(
    key: ConnectionKey,
    beat: impl Future<Output = ()>,
    dying: mpsc::Sender<ConnectionKey>,
) {
    beat.await;
    // The driver is gone only when everything is being closed anyway.
    let _ = dying.send(key).await;
}
