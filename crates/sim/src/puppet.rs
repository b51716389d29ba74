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
    Meter, Outcome, Receipt, Signed,
    document::Act,
    message::{
        BidAnswer, BidRequest, CommandAnswer, Countersign, CountersignAnswer, Instruction, Listed,
        ToGateway, ToProvider,
    },
    task::{TaskResult, result_root},
};
use net::{Incoming, Simulated, Transport};
use primitives::{Address, B256, DealId, Digest, Epoch, PeerId, Rate, Sample, Seconds, TaskIndex};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    stall::Stall,
    town::{Town, key, peer},
    wire,
};

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
    stall: Stall,
    behaviour: Behaviour,
    lasting: Duration,
    deeds: Arc<Deeds>,
    stop: AtomicBool,
    started: AtomicBool,
    interval: Duration,
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
        let name = peer(&format!("puppet-{number}"));
        let rate = Rate::per_hour(4_000_000).expect("small");
        let stall = Stall::open(town, account, provider_key, &name, rate).await;
        let transport = town.network.join(&name);
        town.network.link(&name, gateway);
        let deeds = Arc::new(Deeds::default());
        let strings = Arc::new(Strings {
            transport,
            gateway: gateway.clone(),
            stall,
            behaviour,
            lasting,
            deeds: deeds.clone(),
            stop: AtomicBool::new(false),
            started: AtomicBool::new(false),
            interval: town.profile.market.receipt_interval.duration(),
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

/// Keep the offer in the book of whichever gateway process is up.
async fn announce(it: Arc<Strings>) {
    loop {
        let question = ToGateway::Announce(Box::new(it.stall.offer.clone()));
        let _: Option<Listed> = ask(&it, &question).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn serve(it: Arc<Strings>) {
    let mut runs = JoinSet::new();
    while let Some(Incoming { message, reply, .. }) = it.transport.accept().await {
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToProvider::Bid(request)) => wire::message(&bid(&it, &request)),
            Ok(ToProvider::Command(instruction)) => {
                wire::message(&command(&it, *instruction, &mut runs).await)
            }
            Err(_) => continue,
        };
        // A gateway that went away asks again.
        drop(reply.send(answer).await);
    }
}

fn bid(it: &Strings, request: &BidRequest) -> BidAnswer {
    match it.stall.terms(request) {
        Some(terms) => BidAnswer::Bid(Box::new(it.stall.bid(terms, request, &it.stall.key))),
        None => BidAnswer::Refused { why: "too large".to_owned() },
    }
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
        tokio::time::sleep(it.interval).await;
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
    it.stall.signed(Receipt { deal, amount, seconds, outcome, result, meter })
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
    wire::ask(&it.transport, &it.gateway, wire::message(question)).await
}
