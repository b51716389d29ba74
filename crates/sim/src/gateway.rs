//! A gateway of the simulation: a broker that can be killed and started again.

use std::sync::Arc;

use broker::{Broker, Ready, World, next_fence};
use primitives::{Address, Bytes, Key, PeerId};
use store::{Crash, Log as _, MemoryBlobs, MemoryLog, MemoryOutputs, Position};

use crate::{
    clock::SimulatedClock,
    town::{Town, key, peer},
    words::Words,
};

/// One gateway: what is on its disk, and its process while it lives.
pub struct Gateway {
    /// Its transport name.
    pub peer: PeerId,
    /// Its account, named in orders.
    pub account: Address,
    /// Its facts.
    pub log: MemoryLog,
    /// Its blobs.
    pub blobs: Arc<MemoryBlobs>,
    /// What tasks printed.
    pub outputs: Arc<MemoryOutputs>,
    /// A clock of its own; the town's without one.
    pub clock: Option<Arc<SimulatedClock>>,
    signer: Key,
    number: u8,
    starts: u64,
    broker: Option<Broker>,
}

impl Gateway {
    /// A gateway with an empty disk, not yet started.
    pub fn new(name: &str) -> Self {
        Self::numbered(name, 0)
    }

    /// The same as one of several, with keys of its own; at most fifty.
    pub fn numbered(name: &str, number: u8) -> Self {
        Self {
            peer: peer(name),
            account: key(100 + 2 * number).address(),
            log: MemoryLog::new(),
            blobs: Arc::new(MemoryBlobs::new(Bytes::gibi(1))),
            outputs: Arc::new(MemoryOutputs::new()),
            clock: None,
            signer: key(101 + 2 * number),
            number,
            starts: 0,
            broker: None,
        }
    }

    /// The running broker.
    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("the gateway was started")
    }

    /// The key that co-signs.
    pub fn signer(&self) -> Address {
        self.signer.address()
    }

    pub(crate) const fn signing_key(&self) -> &Key {
        &self.signer
    }

    /// Start it, or start it again after a crash.
    pub async fn start(&mut self, town: &Town) {
        self.starts += 1;
        let fence = next_fence(&self.log).await.expect("the log is up");
        let world = World {
            settlement: Arc::new(town.ledger.seat(self.signer())),
            transport: Arc::new(town.network.join(&self.peer)),
            blobs: self.blobs.clone(),
            log: Arc::new(self.log.clone()),
            outputs: self.outputs.clone(),
            clock: self.clock.as_ref().unwrap_or(&town.clock).clone(),
            salts: Words::of(&[
                b"gateway",
                &town.seed.to_be_bytes(),
                &[self.number],
                &self.starts.to_be_bytes(),
            ])
            .source(),
            signer: self.signer.clone(),
            fence,
            account: self.account,
            token: town.setup.token,
            token_domain: town.setup.token_domain.clone(),
            open_fee: town.profile.open_fee,
            close_fee: town.profile.close_fee,
            rules: town.profile.market.clone(),
            ready: Arc::new(Ready::default()),
        };
        self.broker = Some(Broker::start(world, None).await.expect("the log is up"));
    }

    /// Plan a crash at the fact with this position.
    pub fn crash_at(&self, position: u64, when: Crash) {
        self.log.crash_at(Position(position), when);
    }

    /// How many facts its log holds.
    pub fn log_length(&self) -> u64 {
        self.log.watch().borrow().0
    }

    /// Whether its process has crashed.
    pub fn is_down(&self) -> bool {
        self.log.is_down()
    }

    /// Kill its process, and let nobody reach it.
    pub async fn kill(&mut self, town: &Town) {
        self.log.crash();
        town.network.crash(&self.peer);
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await;
        }
    }

    /// Kill its process, if a planned crash did not, and start the next one on the same disk.
    pub async fn restart(&mut self, town: &Town) {
        self.kill(town).await;
        self.log = self.log.reopen();
        self.start(town).await;
    }
}
