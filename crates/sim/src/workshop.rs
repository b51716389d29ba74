//! A provider of the simulation: the real room `provider` over a scripted sandbox, which can be
//! killed and started again while its runs go on.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use primitives::{Address, Bytes, Key, PeerId};
use provider::{Config, Policy, Provider, World};
use sandbox::{Script, Scripted, Spec};
use store::{Crash, Log as _, MemoryBlobs, MemoryLog, Position};

use crate::{
    clock::SimulatedClock,
    gateway::Gateway,
    stall::machine,
    town::{Town, key, peer},
    words::Words,
};

/// One provider: what is on its disk, its runs, and its process while it lives.
pub struct Workshop {
    /// Its transport name.
    pub peer: PeerId,
    /// The account that is paid.
    pub account: Address,
    /// Its facts.
    pub log: MemoryLog,
    /// Its runs, which outlive its process as shims do.
    pub runtime: Scripted,
    /// A clock of its own; the town's without one.
    pub clock: Option<Arc<SimulatedClock>>,
    /// How many runs were prepared: one per deal, however often the process dies.
    pub prepared: Arc<AtomicU32>,
    blobs: Arc<MemoryBlobs>,
    key: Key,
    number: u8,
    starts: u64,
    provider: Option<Provider>,
}

impl Workshop {
    /// A provider with an empty disk whose runs play `script`, not yet started.
    pub fn new(number: u8, script: Script) -> Self {
        Self::playing(number, move |_| script.clone())
    }

    /// The same with runs that play what their own words say.
    pub fn playing(number: u8, script: impl Fn(&Spec) -> Script + Send + Sync + 'static) -> Self {
        let prepared = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&prepared);
        let play = move |spec: &Spec| {
            count.fetch_add(1, Ordering::Relaxed);
            script(spec)
        };
        Self {
            peer: peer(&format!("workshop-{number}")),
            account: key(number).address(),
            log: MemoryLog::new(),
            runtime: Scripted::new(play),
            clock: None,
            prepared,
            blobs: Arc::new(MemoryBlobs::new(Bytes::gibi(1))),
            key: key(number.wrapping_add(50)),
            number,
            starts: 0,
            provider: None,
        }
    }

    /// The running provider.
    pub fn provider(&self) -> &Provider {
        self.provider.as_ref().expect("the provider was started")
    }

    /// Start it, or start it again after a crash.
    pub async fn start(&mut self, town: &Town, gateway: &Gateway) {
        self.starts += 1;
        let world = World {
            settlement: Arc::new(town.ledger.seat(self.account)),
            transport: Arc::new(town.network.join(&self.peer)),
            runtime: Arc::new(self.runtime.clone()),
            blobs: self.blobs.clone(),
            log: Arc::new(self.log.clone()),
            clock: self.clock.as_ref().unwrap_or(&town.clock).clone(),
            salts: Words::of(&[
                b"workshop",
                &town.seed.to_be_bytes(),
                &[self.number],
                &self.starts.to_be_bytes(),
            ])
            .source(),
        };
        town.network.link(&self.peer, &gateway.peer);
        let config = Config {
            key: self.key.clone(),
            account: self.account,
            gateway: gateway.peer.clone(),
            gateway_account: gateway.account,
            token: town.setup.token,
            rules: town.profile.market.clone(),
            policy: Policy::parse(Policy::EXAMPLE, 6).expect("the example is a policy"),
            machine: machine(),
            region: String::new(),
            runs: PathBuf::from("/nowhere/runs"),
        };
        self.provider = Some(Provider::start(world, config).await.expect("the log is up"));
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

    /// Kill its process; its runs go on.
    pub async fn kill(&mut self, town: &Town) {
        self.log.crash();
        town.network.crash(&self.peer);
        if let Some(provider) = self.provider.take() {
            provider.shutdown().await;
        }
        self.log = self.log.reopen();
    }

    /// Kill its process and start the next one on the same disk.
    pub async fn restart(&mut self, town: &Town, gateway: &Gateway) {
        self.kill(town).await;
        self.start(town, gateway).await;
    }
}
