//! A provider between a ledger, a scripted gateway and scripted programs, on a clock that stands
//! still until everybody waits.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use market::{
    Domain, Machine, Order, Rules, Signed, State, Wish, Work,
    document::{Act, Command, Consent, Kind},
    escrow::Windows,
    fact::Closing,
    message::{Assignment, Bid, BidAnswer, BidRequest, CommandAnswer, Instruction, ToProvider},
    work::{Array, TASK_VARIABLE, salted},
};
use net::{Conditions, Message, Network, Simulated, Transport};
use primitives::{
    Address, Amount, B256, BasisPoints, Bytes, Clock, DealId, Epoch, Key, Millicores, PeerId, Rate,
    Resources, Seconds, TaskIndex, UnixSeconds,
};
use sandbox::{
    Beat, Isolation, Preparation, Prepared, Progress, Run, Runtime, Script, Scripted, Spec, Stream,
    Wiped,
};
use serde::de::DeserializeOwned;
use settlement::{Call, Ledger, Sent, Settlement, Setup};
use store::{MemoryBlobs, MemoryLog};
use tokio::time::{Instant, sleep};

use super::gate::Gate;
use crate::{Config, Policy, Provider, World};

/// The clock of the timers, with a wall time that a test may step.
pub(super) struct TestClock {
    start: Instant,
    step: AtomicI64,
}

/// Scripts, and how often one was started.
#[derive(Clone)]
pub(super) struct Counting {
    pub(super) scripted: Scripted,
    pub(super) starts: Arc<AtomicUsize>,
    /// Whether the samples of all runs are damaged.
    pub(super) damaged: Arc<AtomicBool>,
    /// Whether no run ends when it is told to.
    pub(super) stubborn: Arc<AtomicBool>,
}

pub(super) struct Hall {
    pub(super) clock: Arc<TestClock>,
    pub(super) ledger: Ledger,
    pub(super) network: Network,
    pub(super) gate: Arc<Gate>,
    pub(super) runtime: Counting,
    pub(super) log: MemoryLog,
    pub(super) blobs: MemoryBlobs,
    pub(super) provider: Option<Provider>,
    pub(super) policy: Policy,
    pub(super) wire: Arc<Simulated>,
    pub(super) folder: tempfile::TempDir,
    salts: Arc<AtomicUsize>,
}

pub(super) const BORN: u64 = 1_800_000_000;
pub(super) const WINDOWS: Windows = Windows { dispute: Seconds(600), accept: Seconds(90) };

pub(super) fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32]).expect("a key")
}

pub(super) fn provider_key() -> Key {
    key(1)
}

pub(super) fn renter() -> Key {
    key(2)
}

/// The renter key, which the gateway holds.
pub(super) fn signer() -> Key {
    key(3)
}

fn owner() -> Key {
    key(5)
}

pub(super) fn gateway_account() -> Address {
    Address::repeat_byte(0x99)
}

pub(super) fn peer(name: &str) -> PeerId {
    PeerId(name.into())
}

pub(super) fn machine() -> Machine {
    Machine {
        resources: Resources {
            cpu: Millicores::cores(4),
            memory: Bytes::gibi(8),
            disk: Bytes::gibi(100),
            gpus: 0,
        },
        divisible: true,
        os: "linux".into(),
        arch: "x86_64".into(),
        cpu_model: None,
        gpu_models: Some(Vec::new()),
        host_root: true,
        wasm: true,
        isolation: Default::default(),
    }
}

pub(super) fn wish() -> Wish {
    Wish::of(Resources {
        cpu: Millicores::cores(2),
        memory: Bytes::gibi(4),
        disk: Bytes::gibi(10),
        gpus: 0,
    })
}

pub(super) fn work() -> Work {
    Work {
        command: vec!["tool".into(), "-v".into()],
        env: Default::default(),
        inputs: None,
        wish: wish(),
        time_limit: Seconds(3_600),
        output_limit: Bytes::mebi(1),
        array: None,
    }
}

/// The work at so many points, two at once, each with a quarter of the machine. Task `i` runs
/// `tool i`.
pub(super) fn array(points: u32) -> Work {
    let mut wish = wish();
    wish.resources.cpu = Millicores::cores(1);
    wish.resources.memory = Bytes::gibi(2);
    let point = |index: u32| [("x".to_owned(), index.to_string())].into();
    Work {
        command: vec!["tool".into(), "{x}".into()],
        wish,
        array: Some(Array { points: (0..points).map(point).collect(), deals: 1, at_once: 2 }),
        ..work()
    }
}

/// Which task a spec was made for.
pub(super) fn index_of(spec: &Spec) -> u32 {
    spec.environment.get(TASK_VARIABLE).and_then(|index| index.parse().ok()).unwrap_or_default()
}

pub(super) const SALT: B256 = B256::repeat_byte(0x51);

/// A script that runs for so many seconds.
pub(super) fn lasting(seconds: u64) -> Script {
    Script { ends_after: Some(Duration::from_secs(seconds)), ..Script::default() }
}

impl Hall {
    pub(super) async fn with(script: Script) -> Self {
        Self::seeded(script, 7).await
    }

    /// A hall whose network draws its fates from `seed`.
    pub(super) async fn seeded(script: Script, seed: u64) -> Self {
        Self::scripted(move |_| script.clone(), seed).await
    }

    /// A hall in which each run plays what `script` says for it.
    pub(super) async fn scripted(
        script: impl Fn(&Spec) -> Script + Send + Sync + 'static,
        seed: u64,
    ) -> Self {
        let clock = Arc::new(TestClock { start: Instant::now(), step: AtomicI64::new(0) });
        let setup = Setup::fake(WINDOWS, BasisPoints(250), owner().address());
        let ledger = Ledger::new(setup, 0, clock.clone());
        let network = Network::new(seed, Conditions::fair());
        network.link(&peer("provider"), &peer("gateway"));
        let wire = Arc::new(network.join(&peer("gateway")));
        let gate = Gate::open(wire.clone(), ledger.seat(gateway_account()).escrow());
        let runtime = Counting {
            scripted: Scripted::new(script),
            starts: Arc::default(),
            damaged: Arc::default(),
            stubborn: Arc::default(),
        };
        let mut hall = Self {
            clock,
            ledger,
            network,
            gate,
            runtime,
            log: MemoryLog::new(),
            blobs: MemoryBlobs::new(Bytes::mebi(64)),
            provider: None,
            policy: policy(),
            wire,
            folder: tempfile::tempdir().expect("a folder"),
            salts: Arc::default(),
        };
        hall.fund(renter().address(), 100_000_000).await;
        hall.start().await;
        hall
    }

    /// Start the provider, for the first time or after a crash.
    pub(super) async fn start(&mut self) {
        let wire = Arc::new(self.network.join(&peer("provider")));
        let salts = self.salts.clone();
        let world = World {
            settlement: Arc::new(self.ledger.seat(provider_key().address())),
            transport: wire,
            runtime: Arc::new(self.runtime.clone()),
            blobs: Arc::new(self.blobs.clone()),
            log: Arc::new(self.log.clone()),
            clock: self.clock.clone(),
            salts: Arc::new(move || {
                let count = salts.fetch_add(1, Ordering::Relaxed) as u64;
                primitives::keccak256(count.to_be_bytes())
            }),
        };
        let config = Config {
            key: provider_key(),
            account: provider_key().address(),
            gateway: peer("gateway"),
            gateway_account: gateway_account(),
            token: self.token(),
            rules: Rules::default(),
            policy: self.policy.clone(),
            machine: machine(),
            region: String::new(),
            runs: self.folder.path().join("runs"),
        };
        self.provider = Some(Provider::start(world, config).await.expect("a journal that reads"));
        let gate = self.gate.clone();
        self.until("the offer is listed", |_| gate.is_listed()).await;
    }

    /// The provider's process is gone from one moment to the next.
    pub(super) async fn crash(&mut self) {
        self.network.crash(&peer("provider"));
        if let Some(provider) = self.provider.take() {
            provider.shutdown().await;
        }
        self.log = self.log.reopen();
    }

    /// Start the provider again if its journal has crashed.
    pub(super) async fn revive(&mut self) {
        if self.log.is_down() {
            self.crash().await;
            self.start().await;
        }
    }

    pub(super) fn token(&self) -> Address {
        Address::repeat_byte(0xa4)
    }

    pub(super) fn plaza(&self) -> Domain {
        self.ledger.seat(Address::ZERO).plaza()
    }

    pub(super) fn escrow(&self) -> Domain {
        self.ledger.seat(Address::ZERO).escrow()
    }

    async fn fund(&self, account: Address, units: u128) {
        let amount = Amount::new(units).expect("small");
        let token = self.token();
        let mint = Call::Mint { token, to: account, amount };
        self.done(self.ledger.seat(owner().address()).send(mint).await);
        let deposit = Call::Deposit { token, account, amount };
        self.done(self.ledger.seat(account).send(deposit).await);
    }

    pub(super) fn done(&self, sent: Result<Sent, settlement::Error>) {
        match sent.expect("the ledger is there") {
            Sent::Done(_) => self.ledger.check().expect("money is conserved"),
            Sent::Refused(refusal) => panic!("refused: {refusal}"),
        }
    }

    /// A request for a price for `work`, told apart by a number.
    pub(super) fn request(&self, work: &Work, number: u8) -> BidRequest {
        let order = Order {
            renter: renter().address(),
            renter_key: signer().address(),
            session: B256::ZERO,
            token: self.token(),
            kind: Kind::Lease,
            resources: salted(SALT, &work.bundle().expect("no overflow")),
            max_rate: Rate::per_hour(10_000_000).expect("small"),
            time_limit: work.time_limit,
            output_limit: work.output_limit.0,
            spec: work.digest(SALT),
            gateway: gateway_account(),
            nonce: number.into(),
            expiry: UnixSeconds(BORN + 100_000),
        };
        let signature = renter().sign(order.id(&self.plaza()).0);
        BidRequest {
            order: Signed { document: order, signature },
            wish: work.bundle().expect("no overflow"),
            salt: SALT,
            deal_salt: B256::repeat_byte(number),
            open_fee: Amount::ZERO,
            close_fee: Amount::ZERO,
        }
    }

    async fn ask<A: DeserializeOwned>(&self, question: &ToProvider) -> Option<A> {
        let header = serde_json::to_vec(question).expect("plain data");
        let provider = peer("provider");
        let asked = self.wire.exchange(&provider, Message::new(header));
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.ok()?.ok()?;
        Some(serde_json::from_slice(&answer.header).expect("an answer"))
    }

    pub(super) async fn price(&self, request: &BidRequest) -> Option<BidAnswer> {
        self.ask(&ToProvider::Bid(Box::new(request.clone()))).await
    }

    pub(super) async fn bid(&self, request: &BidRequest) -> Bid {
        match self.price(request).await {
            Some(BidAnswer::Bid(bid)) => *bid,
            other => panic!("no bid: {other:?}"),
        }
    }

    pub(super) fn deal(&self, bid: &Bid) -> DealId {
        bid.terms.document.id(&self.escrow())
    }

    pub(super) async fn open(&self, bid: &Bid) {
        let terms = bid.terms.document.clone();
        let signature = renter().sign(self.deal(bid).0);
        let call =
            Call::Open { terms, bid: bid.terms.signature, consent: Consent::Terms { signature } };
        self.done(self.ledger.seat(gateway_account()).send(call).await);
    }

    pub(super) async fn command(&self, command: Instruction) -> Option<CommandAnswer> {
        self.ask(&ToProvider::Command(Box::new(command))).await
    }

    /// All tasks of the work in their first epoch, and the release.
    pub(super) fn assignment(&self, deal: DealId, work: &Work, fence: u64) -> Instruction {
        let tasks: Vec<(u32, u32)> = (0..work.tasks()).map(|index| (index, 1)).collect();
        self.instruction(deal, work, fence, (&tasks, true))
    }

    /// Some tasks of the work, each with its epoch, and whether that is all.
    pub(super) fn instruction(
        &self,
        deal: DealId,
        work: &Work,
        fence: u64,
        (tasks, released): (&[(u32, u32)], bool),
    ) -> Instruction {
        let spec = work.digest(SALT);
        let acts = tasks.iter().map(|(task, epoch)| Act::Assign {
            task: TaskIndex(*task),
            epoch: Epoch(*epoch),
            spec,
        });
        let acts = acts.chain(released.then_some(Act::Release));
        Instruction {
            commands: acts.map(|act| self.signed(deal, fence, act)).collect(),
            assignment: Some(Assignment { work: work.clone(), salt: SALT }),
        }
    }

    pub(super) fn signed(&self, deal: DealId, fence: u64, act: Act) -> Signed<Command> {
        Command { deal, fence, act }.signed(&self.plaza(), &signer())
    }

    pub(super) fn stop(&self, deal: DealId, fence: u64) -> Instruction {
        let commands = vec![self.signed(deal, fence, Act::Stop)];
        Instruction { commands, assignment: None }
    }

    /// The run folder of the first attempt at a task.
    pub(super) fn run_folder(&self, deal: DealId, task: u32) -> PathBuf {
        let deal = deal.to_string();
        let runs = self.folder.path().join("runs");
        runs.join(deal.trim_start_matches("0x")).join(format!("{task}-1"))
    }

    /// Bid, open, assign everything: the work is taken.
    pub(super) async fn place(&self, work: &Work) -> Bid {
        let bid = self.opened(work).await;
        let command = self.assignment(self.deal(&bid), work, 1);
        assert_eq!(self.command(command).await, Some(CommandAnswer::Taken));
        bid
    }

    /// Bid and open.
    pub(super) async fn opened(&self, work: &Work) -> Bid {
        let bid = self.bid(&self.request(work, 1)).await;
        self.open(&bid).await;
        bid
    }

    /// Wait for a condition on the clock that runs only while all wait.
    pub(super) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(100_000);
        while !condition(self) {
            if Instant::now() > deadline {
                let status = self.provider.as_ref().map(Provider::status);
                panic!("never: {what}; {status:#?}; {:#?}", self.gate.all_faults());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn stage(&self, deal: DealId) -> Option<String> {
        let status = self.provider.as_ref()?.status();
        Some(status.leases.into_iter().find(|lease| lease.deal == deal)?.stage)
    }

    pub(super) async fn until_stage(&self, deal: DealId, stage: &str) {
        self.until(stage, |hall| hall.stage(deal).as_deref() == Some(stage)).await;
    }

    /// Wait until the lease is over and wiped.
    pub(super) async fn until_over(&self, deal: DealId) {
        self.until("the lease is over", |hall| hall.stage(deal).is_none()).await;
    }

    pub(super) async fn state(&self, deal: DealId) -> State {
        let slot = self.ledger.seat(Address::ZERO).slot(deal).await;
        slot.expect("the ledger is there").state
    }

    pub(super) async fn closing(&self, deal: DealId) -> Closing {
        let closing = self.ledger.seat(Address::ZERO).closing(deal).await;
        closing.expect("the ledger is there").expect("a settled deal")
    }

    /// The facts of a lease, as the journal has them.
    pub(super) async fn facts(&self, deal: DealId) -> Vec<market::LeaseFact> {
        crate::line::Line::facts(&self.log, deal).await.expect("a journal that reads")
    }

    pub(super) fn starts(&self) -> usize {
        self.runtime.starts.load(Ordering::Relaxed)
    }

    pub(super) async fn pass(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }
}

pub(super) fn policy() -> Policy {
    // 1,000 units a second for the whole machine.
    Policy::parse("[price]\nmachine = \"3.6\"", 6).expect("a policy")
}

impl TestClock {
    /// Step the wall clock; the other goes on as if nothing had happened.
    pub(super) fn step(&self, seconds: i64) {
        self.step.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixSeconds {
        let now = BORN + self.start.elapsed().as_secs();
        UnixSeconds(now.saturating_add_signed(self.step.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

#[async_trait]
impl Runtime for Counting {
    async fn probe(&self, scratch: &Path) -> Result<Isolation, sandbox::Error> {
        self.scripted.probe(scratch).await
    }

    async fn prepare(&self, spec: &Spec, folder: &Path) -> Result<Preparation, sandbox::Error> {
        self.scripted.prepare(spec, folder).await
    }

    async fn start(&self, prepared: Prepared) -> Result<Box<dyn Run>, sandbox::Error> {
        let started = self.scripted.start(prepared).await?;
        self.starts.fetch_add(1, Ordering::Relaxed);
        Ok(self.fragile(started))
    }

    async fn adopt(&self, folder: &Path) -> Result<Option<Box<dyn Run>>, sandbox::Error> {
        let found = self.scripted.adopt(folder).await?;
        Ok(found.map(|run| self.fragile(run)))
    }

    async fn wipe(&self, folder: &Path) -> Result<Wiped, sandbox::Error> {
        self.scripted.wipe(folder).await
    }
}

impl Counting {
    fn fragile(&self, run: Box<dyn Run>) -> Box<dyn Run> {
        let (damaged, stubborn) = (self.damaged.clone(), self.stubborn.clone());
        Box::new(Fragile { run, damaged, stubborn })
    }
}

/// A run whose samples a bad disk may damage, and which may take long to end.
struct Fragile {
    run: Box<dyn Run>,
    damaged: Arc<AtomicBool>,
    stubborn: Arc<AtomicBool>,
}

#[async_trait]
impl Run for Fragile {
    fn folder(&self) -> &Path {
        self.run.folder()
    }

    async fn progress(&self) -> Result<Progress, sandbox::Error> {
        self.run.progress().await
    }

    async fn changed(&self) -> Result<(), sandbox::Error> {
        self.run.changed().await
    }

    async fn samples(&self, from: u64) -> Result<Vec<Beat>, sandbox::Error> {
        if self.damaged.load(Ordering::Relaxed) {
            return Err(sandbox::Error::Chain { path: self.folder().to_owned(), line: 3 });
        }
        self.run.samples(from).await
    }

    async fn log(&self, stream: Stream, from: u64, most: usize) -> Result<Vec<u8>, sandbox::Error> {
        self.run.log(stream, from, most).await
    }

    async fn pause(&self) -> Result<(), sandbox::Error> {
        self.run.pause().await
    }

    async fn resume(&self) -> Result<(), sandbox::Error> {
        self.run.resume().await
    }

    async fn stop(&self, grace: Duration) -> Result<(), sandbox::Error> {
        if self.stubborn.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.run.stop(grace).await
    }

    async fn outputs(&self) -> Result<Vec<sandbox::Output>, sandbox::Error> {
        self.run.outputs().await
    }

    async fn read_output(
        &self,
        path: &str,
        from: u64,
        most: usize,
    ) -> Result<Vec<u8>, sandbox::Error> {
        self.run.read_output(path, from, most).await
    }
}
