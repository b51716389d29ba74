//! A provider of the simulation that does as its behaviour says: honest, or a cheat.
//!
//! It speaks the provider's side of the protocol over the simulated network without a sandbox or a
//! journal, so that each lie is one line here. The honest provider that is sold to people is the
//! room `provider`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use market::{
    Machine, Meter, Offer, Outcome, Receipt, Signed, Terms,
    document::{Act, terms_spec},
    message::{
        Bid, BidAnswer, BidRequest, CommandAnswer, Countersign, CountersignAnswer, Instruction,
        Listed, ToGateway, ToProvider,
    },
    task::{TaskResult, result_root},
};
use net::{Incoming, Message, Simulated, Transport};
use primitives::{
    Address, Amount, B256, Bytes, Clock as _, DealId, Digest, Epoch, Key, Millicores, PeerId, Rate,
    Resources, Sample, Seconds, TaskIndex,
};
use serde::{Serialize, de::DeserializeOwned};
use settlement::Settlement as _;
use tokio::{task::JoinSet, time::Instant};

use crate::town::{Town, key, peer};

/// How a puppet behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Does what it signed.
    Honest,
    /// Takes the work and is never ready.
    Ghost,
    /// Asks for twice what rate and time give.
    Overbiller,
    /// Says it ran longer than it did.
    Hurrier,
    /// Hands in results that its receipt does not name.
    Liar,
    /// Leaves for good while it runs.
    Deserter,
}

/// What a puppet sold and did.
#[derive(Debug, Default)]
pub struct Deeds {
    /// How many times work was started.
    pub starts: AtomicU32,
    /// How many terminal receipts were signed.
    pub terminals: AtomicU32,
}

/// A puppet while it is up.
pub struct Puppet {
    /// The account that is paid.
    pub account: Address,
    /// What it did.
    pub deeds: Arc<Deeds>,
    tasks: JoinSet<()>,
}

struct Strings {
    transport: Simulated,
    gateway: PeerId,
    key: Key,
    account: Address,
    offer: Signed<Offer>,
    behaviour: Behaviour,
    lasting: Duration,
    deeds: Arc<Deeds>,
    stop: AtomicBool,
    started: AtomicBool,
    town: Facts,
}

/// What of the town a puppet needs.
struct Facts {
    clock: Arc<crate::clock::SimulatedClock>,
    seat: settlement::Seat,
    rules: market::Rules,
    fee: primitives::BasisPoints,
    token: Address,
}

impl Puppet {
    /// A provider that has registered its key, is connected and has announced its offer.
    pub async fn start(
        town: &Town,
        gateway: &PeerId,
        number: u8,
        behaviour: Behaviour,
        lasting: Duration,
    ) -> Self {
        let (account, provider_key) = (key(number).address(), key(number.wrapping_add(50)));
        town.register(account, &provider_key).await;
        let name = peer(&format!("puppet-{number}"));
        let document = offer(town, account, &provider_key, &name);
        let signature = provider_key.sign(document.digest(&town.plaza()));
        let transport = town.network.join(&name);
        town.network.link(&name, gateway);
        let deeds = Arc::new(Deeds::default());
        let strings = Arc::new(Strings {
            transport,
            gateway: gateway.clone(),
            key: provider_key,
            account,
            offer: Signed { document, signature },
            behaviour,
            lasting,
            deeds: deeds.clone(),
            stop: AtomicBool::new(false),
            started: AtomicBool::new(false),
            town: Facts {
                clock: town.clock.clone(),
                seat: town.ledger.seat(account),
                rules: town.profile.market.clone(),
                fee: town.setup.fee,
                token: town.setup.token,
            },
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(announce(strings.clone()));
        tasks.spawn(serve(strings));
        Self { account, deeds, tasks }
    }

    /// Be gone.
    pub async fn vanish(&mut self) {
        self.tasks.shutdown().await;
    }
}

fn offer(town: &Town, provider: Address, provider_key: &Key, name: &PeerId) -> Offer {
    Offer {
        provider,
        provider_key: provider_key.address(),
        peer: name.clone(),
        machine: Machine {
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
        },
        rate: Rate::per_hour(4_000_000).expect("small"),
        token: town.setup.token,
        sla: B256::ZERO,
        region: String::new(),
        sequence: 1,
        valid_until: town.clock.now().plus(Seconds(30 * 86_400)),
    }
}

/// Keep the offer in the book of whichever gateway process is up.
async fn announce(it: Arc<Strings>) {
    loop {
        let question = ToGateway::Announce(Box::new(it.offer.clone()));
        let _: Option<Listed> = ask(&it, &question).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn serve(it: Arc<Strings>) {
    let mut runs = JoinSet::new();
    while let Some(Incoming { message, reply, .. }) = it.transport.accept().await {
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToProvider::Bid(request)) => json(&bid(&it, *request).await),
            Ok(ToProvider::Command(instruction)) => {
                json(&command(&it, *instruction, &mut runs).await)
            }
            Err(_) => continue,
        };
        // A gateway that went away asks again.
        drop(reply.send(answer).await);
    }
}

async fn bid(it: &Strings, request: BidRequest) -> BidAnswer {
    let order = &request.order.document;
    let resources = request.wish.resources;
    let machine = &it.offer.document.machine;
    let rules = &it.town.rules;
    let Some(rate) = market::quote::bundle_rate(it.offer.document.rate, machine, &resources) else {
        return BidAnswer::Refused { why: "too large".to_owned() };
    };
    let accept_by = it.town.clock.now().plus(rules.bid_lead);
    let offer = Digest(it.offer.document.digest(&it.town.seat.plaza()).0);
    let order_id = order.id(&it.town.seat.plaza());
    let terms = Terms {
        renter: order.renter,
        provider: it.account,
        renter_key: order.renter_key,
        provider_key: it.key.address(),
        session: order.session,
        token: it.town.token,
        cap: rate.hold_up(order.time_limit, rules.hold_buffer).unwrap_or(Amount::ZERO),
        rate,
        fee: it.town.fee,
        kind: order.kind,
        accept_by,
        expiry: accept_by.plus(rules.preparation).plus(order.time_limit),
        grace: rules.grace,
        gateway: order.gateway,
        open_fee: request.open_fee,
        close_fee: request.close_fee,
        nonce: order.nonce,
        spec: terms_spec(request.deal_salt, order_id, &resources, offer, B256::ZERO),
    };
    let signature = it.key.sign(terms.id(&it.town.seat.escrow()).0);
    let terms = Signed { document: terms, signature };
    BidAnswer::Bid(Box::new(Bid { terms, offer, salt: request.deal_salt, resources }))
}

async fn command(
    it: &Arc<Strings>,
    instruction: Instruction,
    runs: &mut JoinSet<()>,
) -> CommandAnswer {
    let command = instruction.command.document;
    match command.act {
        Act::Stop => it.stop.store(true, Ordering::Relaxed),
        Act::Assign { task, epoch, .. } => {
            if !it.started.swap(true, Ordering::Relaxed) {
                it.deeds.starts.fetch_add(1, Ordering::Relaxed);
                runs.spawn(run(it.clone(), command.deal, task, epoch));
            }
        }
    }
    CommandAnswer::Taken
}

async fn run(it: Arc<Strings>, deal: DealId, task: TaskIndex, epoch: Epoch) {
    if it.behaviour == Behaviour::Ghost {
        return;
    }
    let (begun, mut samples) = (Instant::now(), Vec::new());
    loop {
        let over = begun.elapsed() >= it.lasting || it.stop.load(Ordering::Relaxed);
        let elapsed = begun.elapsed();
        if it.behaviour == Behaviour::Deserter && elapsed > it.lasting / 2 {
            std::future::pending::<()>().await;
        }
        let at_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        samples.push(Sample { at_ms, ..Sample::default() });
        let results = if over { vec![result(task, epoch, elapsed)] } else { Vec::new() };
        let outcome = match (over, it.stop.load(Ordering::Relaxed)) {
            (false, _) => Outcome::Running,
            (true, true) => Outcome::Stopped,
            (true, false) => Outcome::Completed,
        };
        let receipt = receipt(&it, deal, elapsed, outcome, &results, &samples);
        if over {
            it.deeds.terminals.fetch_add(1, Ordering::Relaxed);
        }
        let answered = present(&it, receipt, &samples, results).await;
        if over || answered.is_none() {
            return;
        }
        tokio::time::sleep(it.town.rules.receipt_interval.duration()).await;
    }
}

fn result(task: TaskIndex, epoch: Epoch, elapsed: Duration) -> TaskResult {
    TaskResult {
        task,
        epoch,
        exit_code: 0,
        output: Digest::default(),
        seconds: Seconds::from_duration_up(elapsed),
        salt: B256::repeat_byte(3),
    }
}

fn receipt(
    it: &Strings,
    deal: DealId,
    elapsed: Duration,
    outcome: Outcome,
    results: &[TaskResult],
    samples: &[Sample],
) -> Signed<Receipt> {
    let hurry = if it.behaviour == Behaviour::Hurrier { 60 } else { 0 };
    let seconds = Seconds(Seconds::from_duration_up(elapsed).0.max(1) + hurry);
    let rate = Rate::per_hour(1_000_000).expect("small");
    let honest = rate.charge_down(seconds);
    let amount = match it.behaviour {
        Behaviour::Overbiller => honest.plus(honest).expect("small"),
        _ => honest,
    };
    let result = match it.behaviour {
        Behaviour::Liar if outcome.is_terminal() => B256::repeat_byte(6),
        _ => result_root(results),
    };
    let meter = Meter::default().extended(samples).root();
    let document = Receipt { deal, amount, seconds, outcome, result, meter };
    let signature = it.key.sign(document.digest(&it.town.seat.escrow()));
    Signed { document, signature }
}

/// Ask for a signature until there is an answer; `None` when it is a refusal.
async fn present(
    it: &Strings,
    receipt: Signed<Receipt>,
    samples: &[Sample],
    results: Vec<TaskResult>,
) -> Option<()> {
    let mut before = 0;
    loop {
        let from = usize::try_from(before).unwrap_or(usize::MAX).min(samples.len());
        let question = ToGateway::Countersign(Box::new(Countersign {
            receipt: receipt.clone(),
            samples_before: before,
            samples: samples[from..].to_vec(),
            results: results.clone(),
            ending: None,
        }));
        match ask(it, &question).await {
            Some(CountersignAnswer::Signed { .. }) => return Some(()),
            Some(CountersignAnswer::Behind { samples }) => before = samples,
            Some(CountersignAnswer::Refused { .. }) => return None,
            Some(CountersignAnswer::NotYet) | None => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn ask<A: DeserializeOwned>(it: &Strings, question: &impl Serialize) -> Option<A> {
    let exchange = it.transport.exchange(&it.gateway, json(question));
    let answer = tokio::time::timeout(Duration::from_secs(10), exchange).await;
    serde_json::from_slice(&answer.ok()?.ok()?.header).ok()
}

fn json(words: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(words).expect("plain data with string keys serialises"))
}
