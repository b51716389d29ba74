//! How streams are opened and received on the connections of a swarm.
//!
//! Upon a new connection: put it in the roster. Upon a wish to open: ask the connection for a
//! stream. Upon a stream from the peer: read one request, or return beats. Upon a closed
//! connection: strike it.
//!
//! `libp2p-stream` is not used, because it drops incoming streams whenever its receiver is one
//! stream behind; here they wait their turn.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    InboundUpgrade, Multiaddr, OutboundUpgrade, PeerId, Stream, StreamProtocol,
    connection_limits::{self, ConnectionLimits},
    core::{Endpoint, UpgradeInfo, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::{compat::FuturesAsyncReadCompatExt as _, sync::CancellationToken};

use super::roster::{BEAT, Connection, ConnectionKey, EXCHANGE, EXCHANGES, Opening, Roster};
use crate::exchange::{Incoming, Line, hear};

/// How long a living connection rests between two beats.
pub(crate) const BEAT_INTERVAL: Duration = Duration::from_secs(3);
/// How long an answer to a beat may take before the connection counts as dead.
pub(crate) const BEAT_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a peer may take to send the header of a request on a stream that it has opened.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that have not yet proven their key.
const PENDING_CONNECTIONS: u32 = 128;
/// Connections of one peer; more than one while a lost one is still being noticed.
const CONNECTIONS_PER_PEER: u32 = 8;
/// Connections of all peers.
const CONNECTIONS: u32 = 4_096;

/// The behaviour of a swarm that carries exchanges and beats.
pub(crate) struct Streams {
    roster: Arc<Roster>,
    hear: mpsc::Sender<Incoming>,
    limits: connection_limits::Behaviour,
    /// Connections that are made but not yet announced.
    fresh: HashMap<ConnectionId, Connection>,
}

impl Streams {
    pub(crate) fn new(roster: Arc<Roster>, hear: mpsc::Sender<Incoming>) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_CONNECTIONS))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
            .with_max_established(Some(CONNECTIONS));
        let limits = connection_limits::Behaviour::new(limits);
        Self { roster, hear, limits, fresh: HashMap::new() }
    }

    fn handler(&mut self, id: ConnectionId, peer: PeerId) -> Handler {
        let (connection, wishes) = Connection::new(id);
        let cut = connection.cut.clone();
        self.fresh.insert(id, connection);
        let permits = Arc::new(Semaphore::new(EXCHANGES));
        let peer = primitives::PeerId(peer.to_base58());
        Handler { wishes, inbound: Inbound { peer, cut, permits, hear: self.hear.clone() } }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.limits.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.limits.handle_established_inbound_connection(id, peer, local, remote)?;
        Ok(self.handler(id, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.limits.handle_established_outbound_connection(id, peer, address, role, port)?;
        Ok(self.handler(id, peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => {
                if let Some(connection) = self.fresh.remove(connection_id) {
                    self.roster.enter(*peer_id, connection);
                }
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.roster
                    .strike(ConnectionKey { peer: closed.peer_id, id: closed.connection_id });
            }
            FromSwarm::DialFailure(failure) => {
                self.fresh.remove(&failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.fresh.remove(&failure.connection_id);
            }
            _ => {}
        }
        self.limits.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// One connection's end.
pub(crate) struct Handler {
    wishes: mpsc::Receiver<Opening>,
    inbound: Inbound,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = Wish;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<io::Result<Stream>>;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer, ()> {
        SubstreamProtocol::new(Offer, ())
    }

    /// A connection is kept until one side closes it or it dies.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Wish, Self::OutboundOpenInfo, Infallible>> {
        match self.wishes.poll_recv(context) {
            Poll::Ready(Some(Opening { protocol, opened })) => {
                let protocol = SubstreamProtocol::new(Wish(protocol), opened);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            // Without a sender nobody can wish for streams any more; those from the peer go on.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Offer, Wish, (), Self::OutboundOpenInfo>,
    ) {
        // An opener that has gone drops the stream, which resets it: nothing is owed to it.
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.inbound.receive(stream, &protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: opened,
            }) => {
                let _ = opened.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: opened, error }) => {
                let _ = opened.send(Err(match error {
                    StreamUpgradeError::Timeout => io::ErrorKind::TimedOut.into(),
                    StreamUpgradeError::NegotiationFailed => io::ErrorKind::Unsupported.into(),
                    StreamUpgradeError::Io(error) => error,
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}

/// Where the streams go that a peer opens.
struct Inbound {
    peer: primitives::PeerId,
    cut: CancellationToken,
    permits: Arc<Semaphore>,
    hear: mpsc::Sender<Incoming>,
}

impl Inbound {
    fn receive(&self, stream: Stream, protocol: &StreamProtocol) {
        if *protocol == BEAT {
            tokio::spawn(return_beats(Line::new(stream.compat(), &self.cut, None)));
            return;
        }
        let (peer, cut) = (self.peer.clone(), self.cut.clone());
        let (permits, accepted) = (Arc::clone(&self.permits), self.hear.clone());
        tokio::spawn(async move {
            let Ok(permit) = permits.acquire_owned().await else { return };
            let line = Line::new(stream.compat(), &cut, Some(permit));
            // A stream without a proper request is dropped, which its opener sees as a cut.
            if let Ok(Ok(request)) = timeout(HEADER_TIMEOUT, hear(peer, line)).await {
                let _ = accepted.send(request).await;
            }
        });
    }
}

/// Send a byte and wait for it to come back, for as long as that works.
pub(crate) async fn beat(connection: Connection) {
    let Ok(Ok(mut line)) = timeout(BEAT_TIMEOUT, connection.open_beat()).await else { return };
    let mut byte = [0];
    loop {
        let there_and_back = async {
            line.write_all(&byte).await?;
            line.flush().await?;
            line.read_exact(&mut byte).await
        };
        match timeout(BEAT_TIMEOUT, there_and_back).await {
            Ok(Ok(_)) => sleep(BEAT_INTERVAL).await,
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

async fn return_beats(mut line: Line) {
    let mut byte = [0];
    while line.read_exact(&mut byte).await.is_ok() {
        if line.write_all(&byte).await.is_err() || line.flush().await.is_err() {
            return;
        }
    }
}

/// The protocols that a peer may open.
pub(crate) struct Offer;

/// The one protocol that we open.
pub(crate) struct Wish(StreamProtocol);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 2];

    fn protocol_info(&self) -> Self::InfoIter {
        [EXCHANGE, BEAT]
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl UpgradeInfo for Wish {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 1];

    fn protocol_info(&self) -> Self::InfoIter {
        [self.0.clone()]
    }
}

impl OutboundUpgrade<Stream> for Wish {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
