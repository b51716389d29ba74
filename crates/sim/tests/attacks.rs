//! Attacks on the deal protocol: hostile providers, hostile gateways, and a world that fails on
//! two sides at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use broker::JobView;
use market::{
    Consent, Machine, Meter, Offer, Outcome, Receipt, Signed, State, Terms,
    document::{Act, Command, terms_spec},
    fact::Submission,
    message::{
        Assignment, Bid, BidAnswer, BidRequest, CommandAnswer, Countersign, CountersignAnswer,
        Done, Instruction, Listed, Missing, Phase, Printed, ToGateway, ToProvider,
    },
    task::{TaskResult, result_root},
};
use net::{Conditions, Incoming, Message, Simulated, Transport};
use primitives::{
    Address, Amount, B256, Bytes, Clock as _, DealId, Digest, Epoch, Key, Millicores, PeerId, Rate,
    Resources, Sample, Seconds, TaskIndex, UnixSeconds,
};
use sandbox::{Script, Spoken, Stream};
use serde::{Serialize, de::DeserializeOwned};
use settlement::{Call, Sent, Settlement as _};
use sim::{Gateway, Renter, SimulatedClock, Town, Wanted, Workshop, key};
use store::Crash;
use tokio::{task::JoinSet, time::Instant};

const WALLET: u128 = 100_000_000;

fn amount(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

fn charge(rate: Rate, seconds: u64) -> u128 {
    rate.charge_down(Seconds(seconds)).units()
}

fn json(words: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(words).expect("plain data"))
}

fn machine() -> Machine {
    Machine {
        resources: Resources {
            cpu: Millicores::cores(4),
            memory: Bytes::gibi(8),
            disk: Bytes::gibi(64),
            gpus: 0,
        },
        divisible: true,
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        cpu_model: None,
        gpu_models: None,
        host_root: true,
        isolation: Default::default(),
    }
}

/// A program that says something, leaves a file, and ends after twelve seconds.
fn script() -> Script {
    lasting(12)
}

fn lasting(seconds: u64) -> Script {
    Script {
        ends_after: Some(Duration::from_secs(seconds)),
        speech: vec![Spoken {
            at: Duration::ZERO,
            stream: Stream::Stdout,
            words: b"begun\n".to_vec(),
        }],
        outputs: BTreeMap::from([("answer".to_owned(), b"42".to_vec())]),
        ..Script::default()
    }
}

/// A town with the real broker, the real provider and a renter.
struct House {
    town: Town,
    gateway: Gateway,
    workshop: Workshop,
    renter: Renter,
}

impl House {
    async fn begin(seed: u64, script: Script) -> Self {
        Self::in_town(Town::new(seed), script).await
    }

    async fn in_town(town: Town, script: Script) -> Self {
        let mut gateway = Gateway::new("gateway");
        gateway.start(&town).await;
        let mut workshop = Workshop::new(1, script);
        workshop.start(&town, &gateway).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), amount(WALLET)).await;
        Self { town, gateway, workshop, renter }
    }

    async fn revive(&mut self) {
        if self.gateway.is_down() {
            self.gateway.restart(&self.town).await;
        }
        if self.workshop.is_down() {
            self.workshop.restart(&self.town, &self.gateway).await;
        }
    }

    fn submission(&self, wanted: &Wanted) -> Submission {
        self.renter.submission(&self.town, &self.gateway, wanted)
    }

    /// One look of a renter that says everything again: orders, consents; gives the job.
    async fn nudge(&mut self, wanted: &Submission) -> Option<JobView> {
        self.revive().await;
        let job = self.renter.order(&self.gateway, wanted).await.ok()?;
        let view = self.gateway.broker().job(job)?;
        let consent = self.renter.consent(&self.town, &self.gateway, &view);
        let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        self.town.ledger.check().expect("money is conserved at every moment");
        Some(view)
    }

    /// The same without restarting anyone.
    async fn nudge_alive(&self, wanted: &Submission) {
        if let Ok(Ok(job)) =
            tokio::time::timeout(Duration::from_secs(1), self.renter.order(&self.gateway, wanted))
                .await
            && let Some(view) = self.gateway.broker().job(job)
        {
            let consent = self.renter.consent(&self.town, &self.gateway, &view);
            let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        }
    }

    /// Live until the job is done, restarting whoever crashed.
    async fn live(&mut self) -> JobView {
        let wanted = self.submission(&Wanted::plain(1));
        self.live_until_done(&wanted).await
    }

    async fn live_until_done(&mut self, wanted: &Submission) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(6 * 3_600);
        while Instant::now() < deadline {
            if let Some(view) = self.nudge(wanted).await
                && view.state == "done"
                && !self.gateway.is_down()
            {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the job did not end: {:?}", self.gateway.broker().jobs());
    }

    /// Live until the deal is in this state.
    async fn live_until(&mut self, wanted: &Submission, state: &str) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(3_600);
        loop {
            if let Some(view) = self.nudge(wanted).await
                && view.deal.as_ref().is_some_and(|deal| deal.state == state)
            {
                return view;
            }
            assert!(Instant::now() < deadline, "never {state}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Until the provider has nothing left to do.
    async fn rest(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(3 * 3_600);
        loop {
            self.revive().await;
            let status = self.workshop.provider().status();
            if status.leases.is_empty() && !self.workshop.is_down() {
                assert_eq!(status.free, status.capacity, "all capacity is free again");
                return;
            }
            assert!(Instant::now() < deadline, "never at rest: {status:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the provider's only lease stands.
    fn lease_stage(&self) -> Option<String> {
        self.workshop.provider().status().leases.first().map(|lease| lease.stage.clone())
    }

    /// Running time that both sides have signed for.
    fn signed_seconds(&self) -> u64 {
        let jobs = self.gateway.broker().jobs();
        let last = jobs[0].deal.as_ref().and_then(|deal| deal.last.as_ref());
        last.map_or(0, |last| last.receipt.document.seconds.0)
    }

    /// The files that were handed in.
    async fn outputs(&self, deal: &broker::DealView) -> Vec<String> {
        let limits = store::TreeLimits::up_to(Bytes::mebi(16));
        let output = deal.delivery.as_ref().expect("delivered").results[0].output;
        let tree = store::load_tree(&output, &*self.gateway.blobs, &limits).await;
        let tree = tree.expect("handed in");
        tree.entries().iter().map(|entry| entry.path.as_str().to_owned()).collect()
    }

    async fn paid(&self) -> (u128, u128) {
        let renter = self.town.wealth(self.renter.account()).await.units();
        let provider = self.town.wealth(self.workshop.account).await.units();
        let fees = self.town.ledger.fees(self.town.setup.token).units();
        assert_eq!(WALLET, renter + provider + fees, "no money is left anywhere else");
        (WALLET - renter, provider)
    }
}

/// A hostile provider: a connected peer with an authorised key and an offer in the book, which
/// says whatever a test lets it say.
struct Rogue {
    wire: Arc<Simulated>,
    gateway: PeerId,
    key: Key,
    escrow: market::Domain,
    mind: Arc<Mind>,
    _tasks: JoinSet<()>,
}

/// What a rogue does by itself, and what it has heard.
struct Mind {
    /// Bends the terms of its bids.
    bend: fn(&mut Terms),
    /// Whether commands are answered.
    deaf: AtomicBool,
    /// Whether its bids are signed by another key than they name.
    forges: AtomicBool,
    heard: Mutex<Vec<Command>>,
}

impl Rogue {
    async fn start(town: &Town, gateway: &Gateway, bend: fn(&mut Terms)) -> Self {
        let (account, provider_key) = (key(30), key(31));
        town.register(account.address(), &provider_key).await;
        let name = PeerId("rogue".to_owned());
        let wire = Arc::new(town.network.join(&name));
        town.network.link(&name, &gateway.peer);
        let document = Offer {
            provider: account.address(),
            provider_key: provider_key.address(),
            peer: name,
            machine: machine(),
            rate: Rate::per_hour(40_000).expect("small"),
            token: town.setup.token,
            sla: B256::ZERO,
            region: String::new(),
            sequence: 1,
            valid_until: town.clock.now().plus(Seconds(30 * 86_400)),
        };
        let signature = provider_key.sign(document.digest(&town.plaza()));
        let offer = Signed { document, signature };
        let mind = Arc::new(Mind {
            bend,
            deaf: AtomicBool::new(false),
            forges: AtomicBool::new(false),
            heard: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let (speaking, to, listed) = (wire.clone(), gateway.peer.clone(), offer.clone());
        tasks.spawn(async move {
            loop {
                let question = json(&ToGateway::Announce(Box::new(listed.clone())));
                let _ =
                    tokio::time::timeout(Duration::from_secs(5), speaking.exchange(&to, question))
                        .await;
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        let (listening, thinking, signer) = (wire.clone(), mind.clone(), provider_key.clone());
        let (plaza, escrow, clock) = (town.plaza(), town.escrow(), town.clock.clone());
        let (rules, fee) = (town.profile.market.clone(), town.setup.fee);
        tasks.spawn(async move {
            // Answers that are never given are kept, so that the asker waits.
            let mut silences = Vec::new();
            while let Some(Incoming { message, reply, .. }) = listening.accept().await {
                match serde_json::from_slice(&message.header) {
                    Ok(ToProvider::Bid(request)) => {
                        let now = clock.now();
                        let mut bid = bid(
                            &offer.document,
                            &signer,
                            &request,
                            (&plaza, &escrow),
                            (&rules, fee, now),
                            thinking.bend,
                        );
                        if thinking.forges.load(Ordering::Relaxed) {
                            bid.terms.signature = key(99).sign(bid.terms.document.id(&escrow).0);
                        }
                        drop(reply.send(json(&BidAnswer::Bid(Box::new(bid)))).await);
                    }
                    Ok(ToProvider::Command(it)) => {
                        locked(&thinking.heard).push(it.command.document);
                        if thinking.deaf.load(Ordering::Relaxed) {
                            silences.push(reply);
                        } else {
                            drop(reply.send(json(&CommandAnswer::Taken)).await);
                        }
                    }
                    Err(_) => {}
                }
            }
        });
        let gateway = gateway.peer.clone();
        Self { wire, gateway, key: provider_key, escrow: town.escrow(), mind, _tasks: tasks }
    }

    async fn ask<A: DeserializeOwned>(&self, question: &ToGateway, body: &[u8]) -> Option<A> {
        let message = json(question).with_body(body.to_vec());
        let exchange = self.wire.exchange(&self.gateway, message);
        let answer = tokio::time::timeout(Duration::from_secs(10), exchange).await;
        serde_json::from_slice(&answer.ok()?.ok()?.header).ok()
    }

    fn signed(
        &self,
        deal: &market::fact::Agreement,
        seconds: u64,
        outcome: Outcome,
        results: &[TaskResult],
        samples: &[Sample],
    ) -> Signed<Receipt> {
        let seconds = Seconds(seconds);
        let document = Receipt {
            deal: deal.deal,
            amount: deal.terms.document.rate.charge_down(seconds),
            seconds,
            outcome,
            result: result_root(results),
            meter: Meter::default().extended(samples).root(),
        };
        Signed { signature: self.key.sign(document.digest(&self.escrow)), document }
    }

    /// Have a receipt over these samples co-signed, however many the gateway has already.
    async fn countersign(
        &self,
        receipt: &Signed<Receipt>,
        samples: &[Sample],
        results: &[TaskResult],
    ) -> Option<CountersignAnswer> {
        let mut before = 0;
        loop {
            let from = usize::try_from(before).expect("few").min(samples.len());
            let question = ToGateway::Countersign(Box::new(Countersign {
                receipt: receipt.clone(),
                samples_before: before,
                samples: samples[from..].to_vec(),
                results: results.to_vec(),
                ending: None,
            }));
            match self.ask(&question, b"").await {
                Some(CountersignAnswer::Behind { samples: has }) if has != before => before = has,
                Some(CountersignAnswer::NotYet) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    }
}

fn locked<T>(it: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bid(
    offer: &Offer,
    signer: &Key,
    request: &BidRequest,
    (plaza, escrow): (&market::Domain, &market::Domain),
    (rules, fee, now): (&market::Rules, primitives::BasisPoints, UnixSeconds),
    bend: fn(&mut Terms),
) -> Bid {
    let order = &request.order.document;
    let resources = request.wish.resources;
    let rate = market::quote::bundle_rate(offer.rate, &offer.machine, &resources).expect("small");
    let accept_by = now.plus(rules.bid_lead);
    let digest = Digest(offer.digest(plaza).0);
    let mut terms = Terms {
        renter: order.renter,
        provider: offer.provider,
        renter_key: order.renter_key,
        provider_key: offer.provider_key,
        session: order.session,
        token: order.token,
        cap: rate.hold_up(order.time_limit, rules.hold_buffer).expect("small"),
        rate,
        fee,
        kind: order.kind,
        accept_by,
        expiry: accept_by.plus(rules.preparation).plus(order.time_limit),
        grace: rules.grace,
        gateway: order.gateway,
        open_fee: request.open_fee,
        close_fee: request.close_fee,
        nonce: 1,
        spec: terms_spec(request.deal_salt, order.id(plaza), &resources, digest, B256::ZERO),
    };
    bend(&mut terms);
    let signature = signer.sign(terms.id(escrow).0);
    let terms = Signed { document: terms, signature };
    Bid { terms, offer: digest, salt: request.deal_salt, resources }
}

/// A gateway and a renter against a rogue.
struct Den {
    town: Town,
    gateway: Gateway,
    rogue: Rogue,
    renter: Renter,
    wanted: Submission,
}

impl Den {
    async fn begin(seed: u64, bend: fn(&mut Terms)) -> Self {
        let town = Town::new(seed);
        let mut gateway = Gateway::new("gateway");
        gateway.start(&town).await;
        let rogue = Rogue::start(&town, &gateway, bend).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), amount(WALLET)).await;
        let wanted = renter.submission(&town, &gateway, &Wanted::plain(1));
        Self { town, gateway, rogue, renter, wanted }
    }

    /// One look of a renter that says everything again.
    async fn nudge(&mut self) -> Option<JobView> {
        let job = self.renter.order(&self.gateway, &self.wanted).await.ok()?;
        let view = self.gateway.broker().job(job)?;
        let consent = self.renter.consent(&self.town, &self.gateway, &view);
        let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        Some(view)
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&JobView) -> bool) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(3 * 3_600);
        loop {
            if let Some(view) = self.nudge().await
                && holds(&view)
            {
                return view;
            }
            assert!(
                Instant::now() < deadline,
                "never {what}: {:?}",
                self.gateway.broker().jobs().iter().map(state).collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Until the deal is open and assigned.
    async fn opened(&mut self) -> market::fact::Agreement {
        let view = self.until("open", |view| state(view) == "open").await;
        view.deal.expect("open").agreement
    }

    async fn charged(&self) -> u128 {
        WALLET - self.town.wealth(self.renter.account()).await.units()
    }
}

fn state(view: &JobView) -> &'static str {
    view.deal.as_ref().map_or(view.state, |deal| deal.state)
}

fn samples(count: u64) -> Vec<Sample> {
    (0..count).map(|second| Sample { at_ms: second * 1_000, ..Sample::default() }).collect()
}

fn result(seconds: u64) -> TaskResult {
    TaskResult {
        task: TaskIndex(0),
        epoch: Epoch(1),
        exit_code: 0,
        output: Digest::default(),
        seconds: Seconds(seconds),
        salt: B256::repeat_byte(3),
    }
}

/// A hostile gateway for the real provider: it signs when it likes.
struct Keeper {
    wire: Arc<Simulated>,
    signer: Key,
    account: Address,
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

/// How a keeper answers receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Signs,
    SignsWithAnotherKey,
    NotYet,
    BehindFor(u64),
}

#[derive(Default)]
struct Seen {
    receipts: AtomicU64,
    terminals: Mutex<Vec<Signed<Receipt>>>,
    last: Mutex<Option<(Signed<Receipt>, primitives::Signature)>>,
}

impl Keeper {
    fn start(town: &Town) -> Self {
        let wire = Arc::new(town.network.join(&PeerId("gateway".to_owned())));
        let (signer, escrow) = (key(101), town.escrow());
        let mood = Arc::new(Mutex::new(Mood::Signs));
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        let (listening, by, noting, pen) = (wire.clone(), mood.clone(), seen.clone(), key(101));
        tasks.spawn(async move {
            while let Some(Incoming { message, reply, .. }) = listening.accept().await {
                let answer = match serde_json::from_slice(&message.header) {
                    Ok(ToGateway::Announce(_)) => json(&Listed::Listed),
                    Ok(ToGateway::Progress { .. }) => json(&Done::Done),
                    Ok(ToGateway::Countersign(ask)) => {
                        json(&answered(*locked(&by), &noting, &ask, &pen, &escrow))
                    }
                    Ok(ToGateway::Print { offset, .. }) => {
                        let piece = message.body.collect(1 << 20).await.unwrap_or_default();
                        json(&Printed { next: offset + piece.len() as u64, full: false })
                    }
                    Ok(ToGateway::Missing { .. }) => json(&Missing { blobs: Vec::new() }),
                    _ => json(&Done::Refused { why: "not here".to_owned() }),
                };
                drop(reply.send(answer).await);
            }
        });
        let account = key(100).address();
        Self { wire, signer, account, mood, seen, _tasks: tasks }
    }

    fn set(&self, mood: Mood) {
        *locked(&self.mood) = mood;
    }
}

fn answered(
    mood: Mood,
    seen: &Seen,
    ask: &Countersign,
    pen: &Key,
    escrow: &market::Domain,
) -> CountersignAnswer {
    let receipt = &ask.receipt;
    seen.receipts.fetch_add(1, Ordering::Relaxed);
    if receipt.document.outcome.is_terminal() {
        let mut terminals = locked(&seen.terminals);
        if !terminals.contains(receipt) {
            terminals.push(receipt.clone());
        }
    }
    let digest = receipt.document.digest(escrow);
    match mood {
        Mood::Signs => {
            let signature = pen.sign(digest);
            *locked(&seen.last) = Some((receipt.clone(), signature));
            CountersignAnswer::Signed { signature }
        }
        Mood::SignsWithAnotherKey => CountersignAnswer::Signed { signature: key(77).sign(digest) },
        Mood::NotYet => CountersignAnswer::NotYet,
        Mood::BehindFor(samples) => CountersignAnswer::Behind { samples },
    }
}

/// The real provider and a hostile gateway.
struct Cell {
    town: Town,
    keeper: Keeper,
    workshop: Workshop,
    gateway: Gateway,
    renter: Renter,
}

impl Cell {
    async fn begin(script: Script) -> Self {
        let town = Town::new(1);
        // Never started: it only lends its names.
        let gateway = Gateway::new("gateway");
        let keeper = Keeper::start(&town);
        let mut workshop = Workshop::new(1, script);
        workshop.start(&town, &gateway).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), amount(WALLET)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { town, keeper, workshop, gateway, renter }
    }

    async fn tell<A: DeserializeOwned>(&self, question: &ToProvider) -> Option<A> {
        let exchange = self.keeper.wire.exchange(&self.workshop.peer, json(question));
        let answer = tokio::time::timeout(Duration::from_secs(10), exchange).await;
        serde_json::from_slice(&answer.ok()?.ok()?.header).ok()
    }

    fn wanted(&self, wanted: &Wanted) -> Submission {
        self.renter.submission(&self.town, &self.gateway, wanted)
    }

    async fn bid(&self, wanted: &Submission, salt: u8) -> Option<BidAnswer> {
        let request = BidRequest {
            order: wanted.order.clone(),
            wish: wanted.work.wish.clone(),
            salt: wanted.salt,
            deal_salt: B256::repeat_byte(salt),
            open_fee: Amount::ZERO,
            close_fee: Amount::ZERO,
        };
        self.tell(&ToProvider::Bid(Box::new(request))).await
    }

    async fn open(&self, bid: &Bid) -> DealId {
        let terms = bid.terms.document.clone();
        let digest = terms.authorization(&self.town.escrow(), &self.town.setup.token_domain);
        let signature = self.renter.key.sign(digest.expect("small"));
        let deal = terms.id(&self.town.escrow());
        let consent = Consent::Authorization { signature };
        let call = Call::Open { terms, bid: bid.terms.signature, consent };
        let sent = self.town.ledger.seat(self.keeper.account).send(call).await;
        assert!(matches!(sent, Ok(Sent::Done(_))), "{sent:?}");
        deal
    }

    fn command(&self, deal: DealId, fence: u64, act: Act, by: &Key) -> Signed<Command> {
        Command { deal, fence, act }.signed(&self.town.plaza(), by)
    }

    async fn assign(&self, deal: DealId, wanted: &Submission, fence: u64) -> Option<CommandAnswer> {
        let spec = wanted.order.document.spec;
        let act = Act::Assign { task: TaskIndex(0), epoch: Epoch(1), spec };
        let assignment = Some(Assignment { work: wanted.work.clone(), salt: wanted.salt });
        let command = self.command(deal, fence, act, &self.keeper.signer);
        self.tell(&ToProvider::Command(Box::new(Instruction { command, assignment }))).await
    }

    /// A running lease; its terms.
    async fn running(&self, wanted: &Submission) -> Terms {
        let Some(BidAnswer::Bid(bid)) = self.bid(wanted, 1).await else { panic!("no bid") };
        let deal = self.open(&bid).await;
        while self.assign(deal, wanted, 1).await != Some(CommandAnswer::Taken) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bid.terms.document
    }

    async fn slot(&self, terms: &Terms) -> market::Slot {
        let seat = self.town.ledger.seat(self.keeper.account);
        seat.slot(terms.id(&self.town.escrow())).await.expect("there")
    }

    /// Until the provider has nothing left to do.
    async fn rest(&self, most: u64) -> bool {
        let deadline = Instant::now() + Duration::from_secs(most);
        while Instant::now() < deadline {
            if self.workshop.provider().status().leases.is_empty() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        false
    }

    async fn earned(&self) -> u128 {
        self.town.wealth(self.workshop.account).await.units()
    }
}

// ---- broker against a hostile provider ----

#[tokio::test(start_paused = true)]
async fn a_second_terminal_receipt_is_never_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let all = samples(1);
    let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &all);
    den.rogue.countersign(&receipt, &all, &[]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    // The slot would accept it, but the chain cannot be told.
    let results = [result(5)];
    let first = den.rogue.signed(&deal, 5, Outcome::Completed, &results, &all);
    let answer = den.rogue.countersign(&first, &all, &results).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    for _ in 0..2 {
        for (seconds, outcome) in [(6, Outcome::Completed), (15, Outcome::Failed)] {
            let results = [result(seconds)];
            let second = den.rogue.signed(&deal, seconds, outcome, &results, &all);
            let answer = den.rogue.countersign(&second, &all, &results).await;
            let Some(CountersignAnswer::Refused { .. } | CountersignAnswer::Signed { .. }) = answer
            else {
                panic!("{answer:?}")
            };
            if let Some(CountersignAnswer::Signed { signature }) = answer {
                let digest = second.document.digest(&den.town.escrow());
                assert!(
                    !signature.is_by(den.gateway.signer(), digest),
                    "a second terminal receipt is signed"
                );
            }
        }
        den.until("done", |view| view.state == "done").await;
        den.gateway.restart(&den.town).await;
    }
    assert_eq!(den.charged().await, charge(deal.terms.document.rate, 5));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_with_a_fence_above_that_of_the_gateway_before() {
    let mut den = Den::begin(1, |_| {}).await;
    den.opened().await;
    let job = den.gateway.broker().jobs()[0].id;
    den.gateway.restart(&den.town).await;
    den.gateway.broker().stop(job).await.expect("known");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let heard = locked(&den.rogue.mind.heard).clone();
    let (first, last) = (heard.first().expect("assigned"), heard.last().expect("stopped"));
    assert_eq!((last.act, first.deal), (Act::Stop, last.deal));
    assert!(last.fence > first.fence, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bid_that_its_provider_key_did_not_sign_is_not_chosen() {
    let mut den = Den::begin(1, |_| {}).await;
    den.rogue.mind.forges.store(true, Ordering::Relaxed);
    let view = den.until("decided", |view| view.state == "done" || view.deal.is_some()).await;
    assert!(view.deal.is_none(), "{:?}", view.deal);
}

#[tokio::test(start_paused = true)]
async fn receipts_that_shrink_or_are_forged_or_hide_samples_are_not_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let one = samples(1);
    let first = den.rogue.signed(&deal, 1, Outcome::Running, &[], &one);
    let answer = den.rogue.countersign(&first, &one, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let ten = samples(10);
    let good = den.rogue.signed(&deal, 10, Outcome::Running, &[], &ten);
    let answer = den.rogue.countersign(&good, &ten, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");

    let shrunk = den.rogue.signed(&deal, 9, Outcome::Running, &[], &ten);
    let mut forged = den.rogue.signed(&deal, 12, Outcome::Running, &[], &ten);
    forged.signature = key(99).sign(forged.document.digest(&den.town.escrow()));
    let mut dear = den.rogue.signed(&deal, 12, Outcome::Running, &[], &ten).document;
    dear.amount = dear.amount.plus(amount(1)).expect("small");
    let dear =
        Signed { signature: den.rogue.key.sign(dear.digest(&den.rogue.escrow)), document: dear };
    let hidden = den.rogue.signed(&deal, 12, Outcome::Running, &[], &samples(3));
    for (what, receipt) in
        [("shrunk", shrunk), ("forged", forged), ("too dear", dear), ("of other samples", hidden)]
    {
        let answer = den.rogue.countersign(&receipt, &ten, &[]).await;
        assert!(matches!(answer, Some(CountersignAnswer::Refused { .. })), "{what}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn running_time_beyond_the_limit_and_grace_is_not_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let (mut all, mut signed) = (Vec::new(), 0);
    for minute in 0..14u64 {
        let seconds = (minute * 60).max(1);
        all.push(Sample { at_ms: minute * 60_000, ..Sample::default() });
        let receipt = den.rogue.signed(&deal, seconds, Outcome::Running, &[], &all);
        match den.rogue.countersign(&receipt, &all, &[]).await {
            Some(CountersignAnswer::Signed { .. }) => signed = seconds,
            _ => break,
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(signed, 660, "a limit of 600 s and grace");
}

#[tokio::test(start_paused = true)]
async fn no_signature_is_heard_that_the_gateway_s_journal_does_not_hold() {
    for position in 7..=16 {
        let mut house = House::begin(18, lasting(100)).await;
        house.gateway.crash_at(position, Crash::Before);
        let wanted = house.submission(&Wanted::plain(1));
        let deadline = Instant::now() + Duration::from_secs(120);
        while !house.gateway.is_down() {
            assert!(Instant::now() < deadline, "no fact {position}");
            house.nudge_alive(&wanted).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Whatever left before the crash arrives.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let leases = house.workshop.provider().status().leases;
        let heard = leases.first().map_or(Amount::ZERO, |lease| lease.amount);
        house.gateway.restart(&house.town).await;
        let view = house.gateway.broker().jobs().remove(0);
        let kept = view
            .deal
            .and_then(|deal| deal.last)
            .map_or(Amount::ZERO, |last| last.receipt.document.amount);
        assert!(heard <= kept, "fact {position}: {heard} was signed, {kept} is written down");
    }
}

// ---- both real sides, and a world that fails ----

#[tokio::test(start_paused = true)]
async fn crashes_of_both_sides_in_one_life_cost_nobody_more_than_the_protocol_says() {
    let mut house = House::begin(2, script()).await;
    let rate = house.live().await.deal.expect("placed").agreement.terms.document.rate;
    house.rest().await;
    let lengths = [house.gateway.log_length(), house.workshop.log_length()];
    for one in 1..=lengths[0] {
        for other in 1..=lengths[1] {
            let when = if (one + other) % 2 == 0 { Crash::Before } else { Crash::After };
            let here = format!("{when:?} facts {one} and {other}");
            let mut house = House::begin(2, script()).await;
            house.gateway.crash_at(one, when);
            house.workshop.crash_at(other, when);
            let deal = house.live().await.deal.expect("placed");
            house.rest().await;
            assert_eq!((deal.state, deal.problem), ("settled", None), "{here}");
            let receipt = deal.delivery.expect("delivered").receipt.document;
            assert_eq!(receipt.outcome, Outcome::Completed, "{here}");
            assert_eq!(house.paid().await.0, charge(rate, 12), "{here}");
            assert_eq!(house.workshop.prepared.load(Ordering::Relaxed), 1, "{here}: one run");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_any_length_at_any_moment_ends_in_a_fair_bill() {
    for start in [0, 500, 1_500, 4_000, 9_000, 11_900, 12_500] {
        for length in [1, 8, 30, 65, 120, 700] {
            let here = format!("from {start} ms for {length} s");
            let mut house = House::begin(3, script()).await;
            let wanted = house.submission(&Wanted::plain(1));
            while house.gateway.log_length() < 6 {
                house.nudge(&wanted).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(start)).await;
            house.town.network.divide(&house.workshop.peer, &house.gateway.peer);
            tokio::time::sleep(Duration::from_secs(length)).await;
            house.town.network.heal(&house.workshop.peer, &house.gateway.peer);
            let deal = house.live_until_done(&wanted).await.deal.expect("placed");
            house.rest().await;
            let rate = deal.agreement.terms.document.rate;
            let (charged, _) = house.paid().await;
            assert!(charged <= charge(rate, 12), "{here}: {charged}");
            if length < 60 {
                assert_eq!((deal.state, deal.problem), ("settled", None), "{here}");
                assert_eq!(charged, charge(rate, 12), "{here}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_ends_the_job_and_costs_at_most_what_ran() {
    for after in (0..28).map(|half| half * 500) {
        let here = format!("stopped after {after} ms");
        let mut house = House::begin(5, script()).await;
        let wanted = house.submission(&Wanted::plain(1));
        let (begun, mut stopped) = (Instant::now(), false);
        let view = loop {
            let view = house.nudge(&wanted).await.expect("nothing fails");
            if !stopped && begun.elapsed() >= Duration::from_millis(after) {
                house.gateway.broker().stop(view.id).await.expect("known");
                stopped = true;
            }
            if view.state == "done" {
                break view;
            }
            assert!(begun.elapsed() < Duration::from_secs(3_600), "{here}: {view:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        house.rest().await;
        let (charged, _) = house.paid().await;
        if let Some(deal) = view.deal {
            let rate = deal.agreement.terms.document.rate;
            assert!(charged <= charge(rate, after / 1_000 + 2), "{here}: {charged}");
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(after / 1_000 + 60), "{here}: {waited:?}");
        } else {
            assert_eq!(charged, 0, "{here}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_ended_at_its_time_limit_and_pays_for_exactly_that() {
    let mut house = House::begin(6, lasting(500)).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(20), ..Wanted::plain(1) });
    let deal = house.live_until_done(&wanted).await.deal.expect("placed");
    house.rest().await;
    let receipt = deal.delivery.expect("delivered").receipt.document;
    assert_eq!((receipt.outcome, receipt.seconds), (Outcome::Failed, Seconds(20)));
    assert_eq!(house.paid().await.0, charge(deal.agreement.terms.document.rate, 20));
}

#[tokio::test(start_paused = true)]
async fn outputs_beyond_the_limit_are_left_behind_and_the_job_is_settled() {
    let outputs =
        BTreeMap::from([("a".to_owned(), vec![1; 10 << 20]), ("b".to_owned(), vec![2; 10 << 20])]);
    let mut house = House::begin(6, Script { outputs, ..script() }).await;
    let deal = house.live().await.deal.expect("placed");
    house.rest().await;
    assert_eq!((deal.state, &deal.problem), ("settled", &None));
    assert_eq!(house.outputs(&deal).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_renter_that_cancels_on_the_chain_or_spends_its_money_pays_nothing() {
    for cancels in [true, false] {
        let mut house = House::begin(8, script()).await;
        let wanted = house.submission(&Wanted::plain(1));
        let job = house.renter.order(&house.gateway, &wanted).await.expect("fair");
        let view = loop {
            let view = house.gateway.broker().job(job).expect("ordered");
            if view.deal.is_some() {
                break view;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let terms = view.deal.expect("chosen").agreement.terms.document;
        let seat = house.town.ledger.seat(house.renter.account());
        let call = match cancels {
            true => Call::Cancel { terms },
            false => Call::Deposit {
                token: house.town.setup.token,
                account: key(201).address(),
                amount: amount(WALLET),
            },
        };
        assert!(matches!(seat.send(call).await, Ok(Sent::Done(_))));
        let view = house.live_until_done(&wanted).await;
        assert!(matches!(&view.deal, Some(deal) if deal.state == "void"), "{:?}", view.conclusion);
        house.rest().await;
        assert_eq!(house.town.wealth(house.workshop.account).await, Amount::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_is_not_the_renter_s_to_these_terms_is_refused() {
    let mut house = House::begin(9, script()).await;
    let first = house.submission(&Wanted::plain(1));
    let done = house.live_until_done(&first).await.deal.expect("placed");
    let second = house.submission(&Wanted::plain(2));
    let job = house.renter.order(&house.gateway, &second).await.expect("fair");
    let deal = loop {
        if let Some(deal) = house.gateway.broker().job(job).and_then(|view| view.deal) {
            break deal.agreement;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (escrow, domain) = (house.town.escrow(), &house.town.setup.token_domain);
    let old = done.agreement.terms.document.authorization(&escrow, domain).expect("small");
    let new = deal.terms.document.authorization(&escrow, domain).expect("small");
    let consents = [
        Consent::Authorization { signature: house.renter.key.sign(old) },
        Consent::Terms { signature: house.renter.key.sign(done.agreement.deal.0) },
        Consent::Authorization { signature: key(9).sign(new) },
        Consent::Terms { signature: key(101).sign(deal.deal.0) },
        Consent::Terms { signature: house.renter.key.sign(new) },
    ];
    for consent in consents {
        let said = house.gateway.broker().consent(deal.deal, consent.clone()).await;
        assert!(matches!(said, Err(broker::Refusal::NotSigned(_))), "{consent:?}: {said:?}");
    }
    let seat = house.town.ledger.seat(house.renter.account());
    assert_eq!(seat.slot(deal.deal).await.expect("there").state, State::None);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_away_longer_than_grace_bills_grace_at_most() {
    for away in [20, 55, 64] {
        let mut house = House::begin(10, lasting(500)).await;
        let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
        house.live_until(&wanted, "running").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let signed = house.signed_seconds();
        house.workshop.kill(&house.town).await;
        tokio::time::sleep(Duration::from_secs(away)).await;
        house.workshop.start(&house.town, &house.gateway).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = house.signed_seconds();
        assert!(after <= signed + 60 + 7, "{away} s away: {signed} s before, {after} s after");
        let deal = house.live_until_done(&wanted).await.deal.expect("placed");
        assert_eq!(deal.problem, None, "{away} s away");
    }
}

// ---- the real provider against a hostile gateway ----

#[tokio::test(start_paused = true)]
async fn a_gateway_that_puts_receipts_off_for_ever_ends_in_a_claim() {
    for mood in [Mood::NotYet, Mood::BehindFor(0), Mood::BehindFor(u64::MAX), Mood::BehindFor(3)] {
        let cell = Cell::begin(lasting(100)).await;
        let wanted = cell.wanted(&Wanted::plain(1));
        let terms = cell.running(&wanted).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let before = cell.keeper.seen.receipts.load(Ordering::Relaxed);
        cell.keeper.set(mood);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = cell.keeper.seen.receipts.load(Ordering::Relaxed) - before;
        assert!(asked <= 400, "{mood:?}: {asked} questions in a minute");
        assert!(cell.rest(4 * 3_600).await, "{mood:?}: {:?}", cell.workshop.provider().status());
        assert_eq!(cell.slot(&terms).await.state, State::Settled, "{mood:?}");
        assert!(cell.earned().await >= charge(terms.rate, 15) * 97 / 100, "{mood:?}");
        assert!(locked(&cell.keeper.seen.terminals).len() <= 1, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_of_another_key_counts_as_none() {
    let cell = Cell::begin(lasting(100)).await;
    cell.keeper.set(Mood::SignsWithAnotherKey);
    let wanted = cell.wanted(&Wanted::plain(1));
    cell.running(&wanted).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = cell.workshop.provider().status();
    assert!(status.leases.iter().any(|lease| lease.held), "{status:?}");
    assert!(cell.rest(4 * 3_600).await, "{:?}", cell.workshop.provider().status());
    assert_eq!(cell.earned().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_assignment_said_often_and_by_many_gateways_starts_one_run() {
    let cell = Cell::begin(lasting(100)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let Some(BidAnswer::Bid(again)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    assert_eq!(bid, again, "the same request has the same bid");
    let deal = cell.open(&bid).await;
    for fence in [3, 3, 5, 5] {
        assert_eq!(cell.assign(deal, &wanted, fence).await, Some(CommandAnswer::Taken));
    }
    for (fence, by) in [(4, key(101)), (9, key(8)), (9, key(200)), (9, key(51))] {
        let stop = cell.command(deal, fence, Act::Stop, &by);
        let told = Instruction { command: stop, assignment: None };
        let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
        assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{fence}: {answer:?}");
    }
    let other = cell.wanted(&Wanted { command: vec!["other".to_owned()], ..Wanted::plain(1) });
    let answer = cell.assign(deal, &other, 6).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
    let spec = wanted.order.document.spec;
    let act = Act::Assign { task: TaskIndex(0), epoch: Epoch(1), spec };
    let assignment = Some(Assignment { work: other.work.clone(), salt: other.salt });
    let command = cell.command(deal, 6, act, &key(101));
    let told = Instruction { command, assignment };
    let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
    assert!(cell.rest(3_600).await);
    assert_eq!(locked(&cell.keeper.seen.terminals).len(), 1);
    assert_eq!(cell.earned().await, {
        let due = charge(bid.terms.document.rate, 100);
        due - due * 300 / 10_000
    });
}

#[tokio::test(start_paused = true)]
async fn bids_that_are_never_opened_hold_no_more_than_the_machine_and_not_for_long() {
    let cell = Cell::begin(script()).await;
    let mut given = 0;
    for salt in 1..=40 {
        let wanted = cell.wanted(&Wanted::plain(salt.into()));
        if let Some(BidAnswer::Bid(_)) = cell.bid(&wanted, salt).await {
            given += 1;
        }
    }
    assert_eq!(given, 4, "a machine of four cores");
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    let status = cell.workshop.provider().status();
    assert_eq!(status.free, status.capacity);
    assert!(status.leases.is_empty(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_one_side_that_steps_costs_neither_side_its_due() {
    for side in ["gateway", "provider", "chain"] {
        for step in [-3_600, -40, 40, 3_600] {
            for after in [0, 100, 6_000] {
                let here = format!("the {side}'s clock by {step} s after {after} ms");
                let mut town = Town::new(16);
                let own = Arc::new(SimulatedClock::new());
                if side == "chain" {
                    town.ledger = settlement::Ledger::new(town.setup.clone(), 0, own.clone());
                }
                let mut gateway = Gateway::new("gateway");
                let mut workshop = Workshop::new(1, script());
                match side {
                    "gateway" => gateway.clock = Some(own.clone()),
                    "provider" => workshop.clock = Some(own.clone()),
                    _ => {}
                }
                gateway.start(&town).await;
                workshop.start(&town, &gateway).await;
                let renter = Renter { key: key(200) };
                town.fund(renter.account(), amount(WALLET)).await;
                let mut house = House { town, gateway, workshop, renter };
                let wanted = Wanted { time_limit: Seconds(7_200), ..Wanted::plain(1) };
                let wanted = house.submission(&wanted);
                let stepping = tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    own.step(step);
                });
                let view = house.live_until_done(&wanted).await;
                stepping.await.expect("it only waits");
                tokio::time::sleep(Duration::from_secs(7_200)).await;
                assert_eq!(house.lease_stage(), None, "{here}");
                let (charged, _) = house.paid().await;
                let deal = view.deal.filter(|deal| deal.state == "settled");
                let Some(deal) = deal.filter(|_| charged > 0 || after > 0) else {
                    // Clocks apart from the very start: nothing is agreed, and nobody pays.
                    assert_eq!((charged, after), (0, 0), "{here}");
                    continue;
                };
                assert_eq!(deal.problem, None, "{here}");
                assert_eq!(charged, charge(deal.agreement.terms.document.rate, 12), "{here}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_full_of_trouble_still_ends_with_every_unit_accounted_for() {
    for seed in 0..60u64 {
        let words = sim::Words::new(seed);
        let draw = |below: u64| u64::from(words.draw().0[7]) * below / 256;
        let mut house = House::begin(seed, script()).await;
        house.gateway.crash_at(2 + draw(12), Crash::After);
        house.workshop.crash_at(1 + draw(10), Crash::Before);
        house.town.network.set_conditions(Conditions {
            request_lost: 80,
            response_lost: 80,
            heard_twice: 80,
            latency: Duration::from_millis(1)..=Duration::from_millis(1 + draw(200)),
        });
        house.town.ledger.lose_calls(u32::from(draw(3) == 0));
        house.town.ledger.lose_answers(u32::from(draw(3) == 0));
        let (network, ledger) = (house.town.network.clone(), house.town.ledger.clone());
        let (one, other) = (house.workshop.peer.clone(), house.gateway.peer.clone());
        let spans = [draw(15), draw(90), draw(15), draw(90)];
        let trouble = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1 + spans[0])).await;
            network.divide(&one, &other);
            tokio::time::sleep(Duration::from_secs(spans[1])).await;
            network.heal(&one, &other);
            tokio::time::sleep(Duration::from_secs(spans[2])).await;
            ledger.set_gone(true);
            tokio::time::sleep(Duration::from_secs(spans[3])).await;
            ledger.set_gone(false);
        });
        let view = house.live().await;
        trouble.await.expect("it only waits");
        house.rest().await;
        let (charged, earned) = house.paid().await;
        let Some(deal) = view.deal else {
            assert_eq!(charged, 0, "seed {seed}: {:?}", view.conclusion);
            continue;
        };
        let due = charge(deal.agreement.terms.document.rate, 12);
        assert!(charged <= due, "seed {seed}: {charged} of {due}");
        if deal.state == "settled" && deal.problem.is_none() {
            assert_eq!(charged, due, "seed {seed}");
        }
        assert_eq!(earned, charged - charged * 300 / 10_000, "seed {seed}");
        assert!(house.workshop.prepared.load(Ordering::Relaxed) <= 1, "seed {seed}: one run");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_before_the_deal_is_open_and_nobody_without_money_is_bid_to() {
    let cell = Cell::begin(script()).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let deal = bid.terms.document.id(&cell.town.escrow());
    for _ in 0..3 {
        assert_eq!(cell.assign(deal, &wanted, 1).await, Some(CommandAnswer::NotYet));
    }
    assert_eq!(cell.workshop.provider().status().leases[0].stage, "offered");
    let poor = Renter { key: key(210) };
    let wanted = poor.submission(&cell.town, &cell.gateway, &Wanted::plain(2));
    let answer = cell.bid(&wanted, 2).await;
    assert!(matches!(answer, Some(BidAnswer::Refused { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ended_run_frees_the_machine_although_its_receipt_is_not_signed() {
    let cell = Cell::begin(script()).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    cell.running(&wanted).await;
    cell.keeper.set(Mood::NotYet);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let status = cell.workshop.provider().status();
    assert_eq!((status.leases.len(), status.free), (1, status.capacity), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_dies_in_the_first_minutes_earns_nothing_from_a_silent_gateway() {
    let cell = Cell::begin(lasting(500)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let terms = cell.running(&wanted).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    cell.keeper.set(Mood::NotYet);
    let deal = terms.id(&cell.town.escrow()).to_string();
    let folder = std::path::PathBuf::from("/nowhere/runs").join(deal.trim_start_matches("0x"));
    assert!(cell.workshop.runtime.lose(&folder));
    assert!(cell.rest(4 * 3_600).await, "{:?}", cell.workshop.provider().status());
    assert_eq!(locked(&cell.keeper.seen.terminals).len(), 1);
    assert_eq!(cell.earned().await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_fence_of_an_assignment_holds_after_a_restart_of_the_provider() {
    let mut cell = Cell::begin(lasting(100)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let deal = cell.open(&bid).await;
    assert_eq!(cell.assign(deal, &wanted, 8).await, Some(CommandAnswer::Taken));
    cell.workshop.restart(&cell.town, &cell.gateway).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stop = cell.command(deal, 7, Act::Stop, &key(101));
    let told = Instruction { command: stop, assignment: None };
    let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_folder_is_gone_ends_as_the_provider_s_fault_with_a_receipt() {
    let mut house = House::begin(12, lasting(500)).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
    let deal = house.live_until(&wanted, "running").await.deal.expect("running").agreement.deal;
    tokio::time::sleep(Duration::from_secs(20)).await;
    house.workshop.kill(&house.town).await;
    let name = deal.to_string().trim_start_matches("0x").to_owned();
    let folder = std::path::PathBuf::from("/nowhere/runs").join(name);
    assert!(house.workshop.runtime.lose(&folder));
    sandbox::Runtime::wipe(&house.workshop.runtime, &folder).await.expect("it has ended");
    let back = Instant::now();
    house.workshop.start(&house.town, &house.gateway).await;
    let deal = house.live_until_done(&wanted).await.deal.expect("placed");
    let delivery = deal.delivery.unwrap_or_else(|| panic!("no receipt: {:?}", deal.problem));
    assert_eq!(delivery.receipt.document.outcome, Outcome::ProviderFault);
    assert!(back.elapsed() < Duration::from_secs(60), "settled after {:?}", back.elapsed());
    house.rest().await;
    assert_eq!(house.paid().await.0, 0, "an early fault is free");
}

#[tokio::test(start_paused = true)]
async fn time_before_readiness_is_not_signed_however_late_the_first_receipt_comes() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    tokio::time::sleep(Duration::from_secs(620)).await;
    let receipt = den.rogue.signed(&deal, 600, Outcome::Running, &[], &samples(1));
    let answer = den.rogue.countersign(&receipt, &samples(1), &[]).await;
    assert!(
        matches!(answer, Some(CountersignAnswer::Refused { .. })),
        "nothing was said for 620 s, and 600 s of running time are signed: {answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_goes_on_after_a_stop_is_signed_no_more_once_grace_is_over() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let job = den.gateway.broker().jobs()[0].id;
    let (begun, mut signed, mut stopped) = (Instant::now(), 0, None);
    for step in 0..60u64 {
        let seconds = (begun.elapsed().as_secs()).max(1);
        let all = samples(step + 1);
        let receipt = den.rogue.signed(&deal, seconds, Outcome::Running, &[], &all);
        match den.rogue.countersign(&receipt, &all, &[]).await {
            Some(CountersignAnswer::Signed { .. }) => signed = seconds,
            _ => break,
        }
        if step == 4 {
            den.gateway.broker().stop(job).await.expect("known");
            stopped = Some(seconds);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let stopped = stopped.expect("it was stopped");
    assert!(den.rogue.heard_stop(), "the provider was told");
    assert!(signed <= stopped + 70, "stopped at {stopped} s, signed up to {signed} s");
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_alone_do_not_keep_money_locked_for_ever() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let terms = &deal.terms.document;
    let windows = den.town.setup.windows;
    let dead = market::Slot::deadline(terms, &windows).plus(windows.dispute).plus(Seconds(60));
    while den.town.clock.now() < dead {
        let word = ToGateway::Progress { deal: deal.deal, phase: Phase::Fetching };
        let _: Option<Done> = den.rogue.ask(&word, b"").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let view = den.nudge().await.expect("ordered");
    assert_eq!(view.state, "done", "the deal is {} after every deadline", state(&view));
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_do_not_undo_a_stop() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let job = den.gateway.broker().jobs()[0].id;
    den.gateway.broker().stop(job).await.expect("known");
    for _ in 0..60 {
        let word = ToGateway::Progress { deal: deal.deal, phase: Phase::Preparing };
        let _: Option<Done> = den.rogue.ask(&word, b"").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let view = den.nudge().await.expect("ordered");
    assert_ne!(state(&view), "open", "stopped five minutes ago");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_outputs_that_is_too_long_is_refused_once_and_for_all() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let long = vec![b' '; 60 << 20];
    let blob = Digest::of(&long);
    let put: Option<Done> =
        den.rogue.ask(&ToGateway::PutBlob { deal: deal.deal, blob }, &long).await;
    assert_eq!(put, Some(Done::Done), "within what a list and its files may take together");
    let results = [TaskResult { output: blob, ..result(1) }];
    let receipt = den.rogue.signed(&deal, 1, Outcome::Completed, &results, &[]);
    let question = ToGateway::Countersign(Box::new(Countersign {
        receipt,
        samples_before: 0,
        samples: Vec::new(),
        results: results.to_vec(),
        ending: None,
    }));
    let _: Option<CountersignAnswer> = den.rogue.ask(&question, b"").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let view = den.nudge().await.expect("ordered");
    assert_ne!(state(&view), "delivered", "it is judged again and again");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_gateway_gives_a_hurrier_no_time_that_did_not_pass() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    // Ten minutes of preparation, then ten seconds of work, and a restart.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &samples(1));
    let answer = den.rogue.countersign(&receipt, &samples(1), &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    den.gateway.restart(&den.town).await;
    let all = samples(2);
    let receipt = den.rogue.signed(&deal, 600, Outcome::Running, &[], &all);
    let answer = den.rogue.countersign(&receipt, &all, &[]).await;
    assert!(
        matches!(answer, Some(CountersignAnswer::Refused { .. })),
        "eleven seconds passed, 600 are signed: {answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_receipt_that_comes_late_does_not_spoil_an_honest_short_job() {
    for late in [1, 4, 8] {
        let mut house =
            House::begin(7, Script { ready_after: Duration::from_secs(3), ..script() }).await;
        let wanted = house.submission(&Wanted::plain(1));
        while house.lease_stage() != Some("assigned".to_owned()) {
            house.nudge(&wanted).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        house.town.network.divide(&house.workshop.peer, &house.gateway.peer);
        tokio::time::sleep(Duration::from_secs(3 + late)).await;
        house.town.network.heal(&house.workshop.peer, &house.gateway.peer);
        let deal = house.live_until_done(&wanted).await.deal.expect("placed");
        assert_eq!((deal.state, deal.problem), ("settled", None), "{late} s late");
        house.rest().await;
        assert_eq!(house.paid().await.0, charge(deal.agreement.terms.document.rate, 12));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_and_doubled_messages_change_no_bill_and_lose_no_work() {
    for seed in 0..40 {
        let mut house = House::begin(seed, script()).await;
        house.town.network.set_conditions(Conditions {
            request_lost: 120,
            response_lost: 120,
            heard_twice: 120,
            ..Conditions::fair()
        });
        let deal = house.live().await.deal.expect("placed");
        assert_eq!((deal.state, &deal.problem), ("settled", &None), "seed {seed}");
        house.rest().await;
        let most = charge(deal.agreement.terms.document.rate, 12);
        assert_eq!(house.paid().await.0, most, "seed {seed}");
        assert_eq!(house.outputs(&deal).await, ["answer"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_gone_at_any_moment_delays_and_changes_nothing() {
    let moments = [0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 60, 100, 200, 400, 800];
    let moments = moments.into_iter().chain((2..=14).map(|second| second * 1_000));
    let mut wrong = Vec::new();
    for start in moments {
        for length in [2, 20] {
            let mut house = House::begin(4, script()).await;
            let wanted = house.submission(&Wanted::plain(1));
            while house.gateway.log_length() < 5 {
                house.nudge(&wanted).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let ledger = house.town.ledger.clone();
            let outage = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(start)).await;
                ledger.set_gone(true);
                tokio::time::sleep(Duration::from_secs(length)).await;
                ledger.set_gone(false);
            });
            let deal = house.live_until_done(&wanted).await.deal.expect("placed");
            outage.await.expect("it only waits");
            house.rest().await;
            let (charged, due) = (house.paid().await.0, deal.agreement.terms.document.rate);
            if (deal.state, &deal.problem) != ("settled", &None) || charged != charge(due, 12) {
                wrong.push(format!("from {start} ms for {length} s: {:?} {charged}", deal.problem));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_clock_was_set_back_at_its_restart_still_signs_honest_receipts() {
    let mut house = House::begin(11, lasting(60)).await;
    let wanted = house.submission(&Wanted { time_limit: Seconds(900), ..Wanted::plain(1) });
    house.live_until(&wanted, "running").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let signed = house.signed_seconds();
    house.town.clock.step(-3_600);
    house.gateway.restart(&house.town).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(house.signed_seconds() > signed + 10, "{} s", house.signed_seconds());
    let deal = house.live_until_done(&wanted).await.deal.expect("placed");
    assert_eq!((deal.state, deal.problem), ("settled", None));
}

#[tokio::test(start_paused = true)]
async fn a_deal_that_opens_at_the_last_moment_of_a_deep_chain_is_not_given_up() {
    for (late, crashes) in [(5, false), (27, false), (27, true), (29, true)] {
        let here = format!("consent after {late} s, crash: {crashes}");
        let (town, _sealing) = deep_town(14, 4);
        let mut house = House::in_town(town, script()).await;
        let wanted = house.submission(&Wanted::plain(1));
        let job = house.renter.order(&house.gateway, &wanted).await.expect("fair");
        while house.gateway.broker().job(job).is_none_or(|view| view.deal.is_none()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(late)).await;
        house.nudge(&wanted).await;
        if crashes {
            tokio::time::sleep(Duration::from_secs(3)).await;
            house.gateway.restart(&house.town).await;
        }
        let view = house.live_until_done(&wanted).await;
        let deal = view.deal.expect("placed");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let seat = house.town.ledger.seat(house.renter.account());
        let slot = seat.slot(deal.agreement.deal).await.expect("there");
        assert!(
            matches!(slot.state, State::None | State::Settled),
            "{here}: the job is over ({}, {:?}) and the money is {:?}",
            deal.state,
            deal.problem,
            slot.state
        );
        let offered = house.lease_stage();
        tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
        assert_eq!(house.lease_stage(), None, "{here}: it was {offered:?}");
    }
}

impl Rogue {
    fn heard_stop(&self) -> bool {
        locked(&self.mind.heard).iter().any(|command| command.act == Act::Stop)
    }
}

/// A town whose chain needs `depth` blocks on top of one, with a block every two seconds.
fn deep_town(seed: u64, depth: usize) -> (Town, JoinSet<()>) {
    let town = Town::new(seed);
    let ledger = settlement::Ledger::new(town.setup.clone(), depth, town.clock.clone());
    let sealing = ledger.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            sealing.seal();
        }
    });
    (Town { ledger, ..town }, tasks)
}

#[tokio::test(start_paused = true)]
async fn a_bid_with_a_larger_hold_or_a_longer_grace_or_a_longer_life_than_the_rules_is_not_chosen()
{
    let bends: [fn(&mut Terms); 3] = [
        |terms| terms.cap = Amount::new(90_000_000).expect("small"),
        |terms| terms.grace = Seconds(50_000),
        |terms| terms.expiry = terms.expiry.plus(Seconds(300 * 86_400)),
    ];
    for (number, bend) in bends.into_iter().enumerate() {
        let mut den = Den::begin(1, bend).await;
        let view = den.until("decided", |view| view.state == "done" || view.deal.is_some()).await;
        assert!(view.deal.is_none(), "bend {number}: {:?}", view.deal.map(|it| it.agreement.terms));
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_and_words_that_come_too_often_do_not_fill_the_journal() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let before = den.gateway.log_length();
    for count in 1..=200 {
        let all = samples(1).repeat(count);
        let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &all);
        let question = ToGateway::Countersign(Box::new(Countersign {
            receipt,
            samples_before: count as u64 - 1,
            samples: samples(1),
            results: Vec::new(),
            ending: None,
        }));
        let _: Option<CountersignAnswer> = den.rogue.ask(&question, b"").await;
        let word = ToGateway::Progress { deal: deal.deal, phase: Phase::Fetching };
        let _: Option<Done> = den.rogue.ask(&word, b"").await;
    }
    let grown = den.gateway.log_length() - before;
    assert!(grown < 40, "{grown} facts in a few seconds");
}

#[tokio::test(start_paused = true)]
async fn peers_that_answer_nothing_hold_an_order_up_for_seconds_at_most() {
    let mut house = House::begin(17, script()).await;
    // One peer with a dozen authorised keys, cheaper than anyone, that never answers.
    let name = PeerId("ghost".to_owned());
    let wire = Arc::new(house.town.network.join(&name));
    house.town.network.link(&name, &house.gateway.peer);
    for number in 40..52 {
        let (account, provider_key) = (key(number), key(number + 60));
        house.town.register(account.address(), &provider_key).await;
        let document = Offer {
            provider: account.address(),
            provider_key: provider_key.address(),
            peer: name.clone(),
            machine: machine(),
            rate: Rate::per_hour(4).expect("small"),
            token: house.town.setup.token,
            sla: B256::ZERO,
            region: String::new(),
            sequence: 1,
            valid_until: house.town.clock.now().plus(Seconds(86_400)),
        };
        let signature = provider_key.sign(document.digest(&house.town.plaza()));
        let question = json(&ToGateway::Announce(Box::new(Signed { document, signature })));
        wire.exchange(&house.gateway.peer, question).await.expect("listed");
    }
    let silent = wire.clone();
    let _silence = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(incoming) = silent.accept().await {
            kept.push(incoming);
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let wanted = house.submission(&Wanted::plain(1));
    let begun = Instant::now();
    house.live_until(&wanted, "running").await;
    assert!(begun.elapsed() < Duration::from_secs(25), "placed after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn samples_that_go_back_in_time_are_not_signed() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut all = vec![Sample { at_ms: 5_000, cpu_ms: 5_000, ..Sample::default() }];
    let receipt = den.rogue.signed(&deal, 6, Outcome::Running, &[], &all);
    let answer = den.rogue.countersign(&receipt, &all, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    all.push(Sample { at_ms: 1_000, ..Sample::default() });
    let receipt = den.rogue.signed(&deal, 6, Outcome::Running, &[], &all);
    let answer = den.rogue.countersign(&receipt, &all, &[]).await;
    assert!(matches!(answer, Some(CountersignAnswer::Refused { .. })), "running: {answer:?}");
    let results = [result(6)];
    let receipt = den.rogue.signed(&deal, 6, Outcome::Completed, &results, &all);
    let answer = den.rogue.countersign(&receipt, &all, &results).await;
    assert!(matches!(answer, Some(CountersignAnswer::Refused { .. })), "terminal: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_taken_survives_a_crash_of_the_gateway() {
    for after in 0..20 {
        let mut house = House::begin(15, lasting(500)).await;
        let wanted = house.submission(&Wanted::plain(1));
        let job = house.live_until(&wanted, "running").await.id;
        tokio::time::sleep(Duration::from_millis(after * 100)).await;
        house.gateway.broker().stop(job).await.expect("known");
        house.gateway.log.crash();
        house.revive().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let view = house.gateway.broker().job(job).expect("known");
        assert!(view.stopping || view.state == "done", "crashed {after} x 100 ms into running");
    }
}
