//! A network inside one process, the same on every run: for the simulation and for tests.
//!
//! Peers join, are linked as a dialled connection would link them, and exchange over the same
//! framing as real ones. A seed decides, exchange by exchange and in the order in which they are
//! started, how long each way takes and which are lost or heard twice. Upon a partition or a
//! crash: every exchange across it is cut. Upon healing or a new join: the links are there again,
//! as after a redial.
//!
//! In: seed, conditions, the tokio clock (paused in simulations). Out: a [`Transport`] per peer.
//!
//! Invariant: neither the wall clock nor real randomness is used; with one thread and paused time
//! the same program sees the same network.
//!
//! Not here: bandwidth; a body moves at once when both sides are ready.

pub(crate) mod dice;
pub(crate) mod map;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex as StateMutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use primitives::PeerId;
use tokio::{
    io::duplex,
    sync::{Mutex, mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

pub use self::dice::Conditions;
use self::{
    dice::{Dice, Fate, Way},
    map::Map,
};
use crate::{
    error::Error,
    exchange::{Incoming, Line, ask, hear},
    message::{Body, Message},
    transport::Transport,
};

/// Bytes under way on one stream before its writer waits.
const WINDOW: usize = 256 << 10;
/// Requests heard but not yet accepted by one peer.
const WAITING_REQUESTS: usize = 256;

/// The network that simulated peers share. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<StateMutex<State>>);

/// One peer's view of a [`Network`], from its joining to its crash.
pub struct Simulated {
    network: Network,
    local: PeerId,
    incoming: Mutex<mpsc::Receiver<Incoming>>,
    down: CancellationToken,
}

struct State {
    dice: Dice,
    conditions: Conditions,
    map: Map,
}

impl Network {
    /// An empty network whose fates follow from `seed`.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self(Arc::new(StateMutex::new(State {
            dice: Dice::new(seed),
            conditions,
            map: Map::default(),
        })))
    }

    /// `peer` comes up, for the first time or after a crash; an earlier one of that name goes
    /// down.
    pub fn join(&self, peer: &PeerId) -> Simulated {
        let (hear, incoming) = mpsc::channel(WAITING_REQUESTS);
        let down = self.lock().map.join(peer, hear);
        Simulated {
            network: self.clone(),
            local: peer.clone(),
            incoming: Mutex::new(incoming),
            down,
        }
    }

    /// `peer` goes down without a word: its transport is closed, every exchange with it is cut.
    pub fn crash(&self, peer: &PeerId) {
        self.lock().map.crash(peer);
    }

    /// Two peers keep a connection from now on whenever both are up and no partition divides them.
    pub fn link(&self, one: &PeerId, other: &PeerId) {
        self.lock().map.link(one, other);
    }

    /// Nothing passes between the two until [`heal`](Self::heal).
    pub fn divide(&self, one: &PeerId, other: &PeerId) {
        self.lock().map.set_divided(one, other, true);
    }

    /// Undo [`divide`](Self::divide).
    pub fn heal(&self, one: &PeerId, other: &PeerId) {
        self.lock().map.set_divided(one, other, false);
    }

    /// Change what exchanges started from now on will meet.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.lock().conditions = conditions;
    }

    fn roll(&self) -> Way {
        let mut state = self.lock();
        let conditions = state.conditions.clone();
        state.dice.roll(&conditions)
    }

    /// Open a stream to `to` and let it hear one request there.
    fn open(&self, from: &PeerId, to: &PeerId) -> Result<Line, Error> {
        let (hear_there, cut) = self
            .lock()
            .map
            .connection(from, to)
            .ok_or_else(|| Error::NotConnected { peer: to.clone() })?;
        let (near, far) = duplex(WINDOW);
        let (line, caller) = (Line::new(far, &cut, None), from.clone());
        tokio::spawn(async move {
            // What is no request, or finds nobody to hear it, is dropped; the caller sees a cut.
            if let Ok(request) = hear(caller, line).await {
                let _ = hear_there.send(request).await;
            }
        });
        Ok(Line::new(near, &cut, None))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Simulated {
    /// Ask as the network's fate has it.
    async fn ask_by(&self, way: Way, to: &PeerId, request: Message) -> Result<Message, Error> {
        let lost = || Error::Cut {
            peer: to.clone(),
            source: std::io::Error::new(std::io::ErrorKind::ConnectionReset, "lost on the way"),
        };
        let connected = self.network.lock().map.connection(&self.local, to).is_some();
        if !connected {
            return Err(Error::NotConnected { peer: to.clone() });
        }
        sleep(way.there).await;
        if way.fate == Fate::RequestLost {
            return Err(lost());
        }
        let line = self.network.open(&self.local, to).map_err(|_| lost())?;
        if way.fate == Fate::HeardTwice
            && let Some(copy) = copy(&request)
        {
            let (echo, to) = (self.network.open(&self.local, to).map_err(|_| lost())?, to.clone());
            tokio::spawn(async move { ask(&to, echo, copy).await.map(drop) });
        }
        let response = ask(to, line, request).await?;
        sleep(way.back).await;
        let still_connected = self.network.lock().map.connection(&self.local, to).is_some();
        if way.fate == Fate::ResponseLost || !still_connected {
            return Err(lost());
        }
        Ok(response)
    }
}

/// The same request again, when its body is at hand.
fn copy(request: &Message) -> Option<Message> {
    let body = match &request.body {
        Body::Empty => Body::Empty,
        Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
        Body::Reader(_) => return None,
    };
    Some(Message { header: request.header.clone(), body })
}

#[async_trait]
impl Transport for Simulated {
    fn local(&self) -> PeerId {
        self.local.clone()
    }

    fn watch_peers(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.network.lock().map.watch(&self.local)
    }

    async fn exchange(&self, to: &PeerId, request: Message) -> Result<Message, Error> {
        let way = self.network.roll();
        tokio::select! {
            biased;
            () = self.down.cancelled() => Err(Error::Closed),
            outcome = self.ask_by(way, to, request) => outcome,
        }
    }

    async fn accept(&self) -> Option<Incoming> {
        let mut incoming = self.incoming.lock().await;
        tokio::select! {
            biased;
            () = self.down.cancelled() => None,
            next = incoming.recv() => next,
        }
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulated({})", self.local)
    }
}
