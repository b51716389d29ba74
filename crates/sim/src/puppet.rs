//! A provider of the simulation that does as its behaviour says: honest, or a cheat.
//!
//! It speaks the provider's side of the protocol over the simulated network without a sandbox or a
//! journal, so that each lie is one line here. On the chain it takes whatever what it holds can give.
//! The honest provider that is sold to people is the room `provider`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use market::{
    Meter, Outcome, Receipt, Signed, State, Terms,
    document::Act,
    exit::{Move, ProviderSide, provider_move},
    message::{
        BidAnswer, BidRequest, CommandAnswer, Countersign, CountersignAnswer, Instruction, Listed,
        ToGateway, ToProvider,
    },
    task::{TaskResult, result_root},
};
use net::{Incoming, Simulated, Transport};
use primitives::{
    Address, B256, Clock as _, DealId, Digest, Epoch, PeerId, Rate, Sample, Seconds, Signature,
    TaskIndex,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use settlement::{Call, Cosigned, Seat, Settlement as _};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    clock::SimulatedClock,
    script::Program,
    stall::{Stall, reported},
    town::{Town, key, peer},
    wire,
};

/// How a puppet behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Names as its own what another deal's provider has handed in.
    Copycat,
    /// Leaves for good while it runs.
    Deserter,
    /// Has an end signed, and then a dearer one.
    Forker,
    /// States less running time than before, over samples that never leave the beginning.
    Rewinder,
    /// Bids with a longer grace and a larger hold than the rules allow.
    Bender,
    /// Bills the time from the bid on, whatever its samples say.
    Padder,
    /// States a meter that its samples do not give.
    Forger,
    /// Goes on beyond the order's time limit.
    Overstayer,
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
    seat: Seat,
    clock: Arc<SimulatedClock>,
    behaviour: Behaviour,
    lasting: Duration,
    deeds: Arc<Deeds>,
    interval: Duration,
    deals: Mutex<BTreeMap<DealId, Arc<Deal>>>,
}

/// One deal of a puppet.
struct Deal {
    terms: Terms,
    started: AtomicBool,
    stop: AtomicBool,
}

/// A receipt with both signatures.
type Held = (Signed<Receipt>, Signature);

impl Puppet {
    /// A provider that has registered its key, is connected and announces its offer; work without
    /// words of its own lasts as long as said here.
    pub async fn start(
        town: &Town,
        gateway: &PeerId,
        number: u8,
        behaviour: Behaviour,
        lasting: Duration,
    ) -> Self {
        let rate = Rate::per_hour(4_000_000).expect("small");
        Self::selling(town, gateway, number, behaviour, lasting, rate).await
    }

    /// The same at this price for the whole machine.
    pub async fn selling(
        town: &Town,
        gateway: &PeerId,
        number: u8,
        behaviour: Behaviour,
        lasting: Duration,
        rate: Rate,
    ) -> Self {
        let (account, provider_key) = (key(number).address(), key(number.wrapping_add(50)));
        let name = peer(&format!("puppet-{number}"));
        let stall = Stall::open(town, account, provider_key, &name, rate).await;
        let transport = town.network.join(&name);
        town.network.link(&name, gateway);
        let deeds = Arc::new(Deeds::default());
        let strings = Arc::new(Strings {
            transport,
            gateway: gateway.clone(),
            stall,
            seat: town.ledger.seat(account),
            clock: town.clock.clone(),
            behaviour,
            lasting,
            deeds: deeds.clone(),
            interval: town.profile.market.receipt_interval.duration(),
            deals: Mutex::default(),
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
        // A gateway that has just started waits little longer for offers.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn serve(it: Arc<Strings>) {
    let mut runs = JoinSet::new();
    while let Some(Incoming { message, reply, .. }) = it.transport.accept().await {
        while runs.try_join_next().is_some() {}
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToProvider::Bid(request)) => wire::message(&it.bid(&request)),
            Ok(ToProvider::Command(instruction)) => {
                wire::message(&command(&it, *instruction, &mut runs))
            }
            Err(_) => continue,
        };
        // A gateway that went away asks again.
        drop(reply.send(answer).await);
    }
}

fn command(it: &Arc<Strings>, instruction: Instruction, runs: &mut JoinSet<()>) -> CommandAnswer {
    let Instruction { commands, assignment } = instruction;
    for command in commands.into_iter().map(|signed| signed.document) {
        let Some(deal) = it.deal(command.deal) else {
            return CommandAnswer::Refused { why: "no such deal".to_owned() };
        };
        match command.act {
            Act::Stop => deal.stop.store(true, Ordering::Relaxed),
            Act::Release => {}
            Act::Assign { task, epoch, .. } => {
                if !deal.started.swap(true, Ordering::Relaxed) {
                    it.deeds.starts.fetch_add(1, Ordering::Relaxed);
                    let program = assignment.as_ref().map(|it| Program::read(&it.work.command));
                    let program = program.flatten();
                    let lasting = program.map_or(it.lasting, |it| Duration::from_secs(it.seconds));
                    let overstays = it.behaviour == Behaviour::Overstayer;
                    let lasting = if overstays { lasting * 20 } else { lasting };
                    let run = Run { it: it.clone(), id: command.deal, deal, task, epoch, lasting };
                    runs.spawn(run.play());
                }
            }
        }
    }
    CommandAnswer::Taken
}

impl Strings {
    fn bid(&self, request: &BidRequest) -> BidAnswer {
        let Some(mut terms) = self.stall.terms(request) else {
            return BidAnswer::Refused { why: "too large".to_owned() };
        };
        if self.behaviour == Behaviour::Bender {
            terms.grace = Seconds(terms.grace.0 * 20);
            terms.cap = terms.cap.plus(terms.cap).unwrap_or(terms.cap);
        }
        let id = terms.id(&self.seat.escrow());
        let deal = Deal { terms: terms.clone(), started: false.into(), stop: false.into() };
        self.deals().insert(id, Arc::new(deal));
        BidAnswer::Bid(Box::new(self.stall.bid(terms, request, &self.stall.key)))
    }

    fn deal(&self, id: DealId) -> Option<Arc<Deal>> {
        self.deals().get(&id).cloned()
    }

    fn deals(&self) -> std::sync::MutexGuard<'_, BTreeMap<DealId, Arc<Deal>>> {
        self.deals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run of a puppet.
struct Run {
    it: Arc<Strings>,
    id: DealId,
    deal: Arc<Deal>,
    task: TaskIndex,
    epoch: Epoch,
    lasting: Duration,
}

/// What a run has in hand for the chain.
#[derive(Default)]
struct Hand {
    running: Option<Held>,
    terminal: Option<Held>,
}

impl Run {
    async fn play(self) {
        let mut hand = Hand::default();
        self.work(&mut hand).await;
        self.collect(&hand).await;
    }

    /// Have receipts co-signed until the end, or until the gateway signs no more.
    async fn work(&self, hand: &mut Hand) {
        let behaviour = self.it.behaviour;
        if behaviour == Behaviour::Ghost {
            return;
        }
        let (begun, mut samples) = (Instant::now(), Vec::new());
        loop {
            let elapsed = begun.elapsed();
            let stopped = self.deal.stop.load(Ordering::Relaxed);
            let over = elapsed >= self.lasting || stopped;
            if behaviour == Behaviour::Deserter && elapsed > self.lasting / 2 {
                std::future::pending::<()>().await;
            }
            samples.push(self.sample(elapsed));
            let results = if over { vec![self.result(elapsed)] } else { Vec::new() };
            let outcome = match (over, stopped) {
                (false, _) => Outcome::Running,
                (true, true) => Outcome::Stopped,
                (true, false) => Outcome::Completed,
            };
            let receipt = self.receipt(elapsed, outcome, &results, &samples);
            if over {
                self.it.deeds.terminals.fetch_add(1, Ordering::Relaxed);
            }
            let Some(held) = self.present(receipt, &samples, &results).await else { return };
            if !over {
                hand.running = Some(held);
                tokio::time::sleep(self.it.interval).await;
                continue;
            }
            hand.terminal = Some(held);
            if behaviour == Behaviour::Forker {
                let later = elapsed + Duration::from_secs(2);
                tokio::time::sleep(later - elapsed).await;
                let results = vec![self.result(later)];
                let dearer = self.receipt(later, outcome, &results, &samples);
                let signed = self.present(dearer, &samples, &results).await;
                hand.terminal = signed.or(hand.terminal.take());
            }
            return;
        }
    }

    fn sample(&self, elapsed: Duration) -> Sample {
        let at_ms = match self.it.behaviour {
            Behaviour::Rewinder => 0,
            _ => u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        Sample { at_ms, ..Sample::default() }
    }

    fn result(&self, elapsed: Duration) -> TaskResult {
        let copied = self.it.behaviour == Behaviour::Copycat;
        TaskResult {
            task: self.task,
            epoch: self.epoch,
            exit_code: 0,
            output: if copied { Digest::of(b"another's") } else { Digest::default() },
            seconds: Seconds::from_duration_up(elapsed),
            salt: B256::repeat_byte(3),
        }
    }

    fn receipt(
        &self,
        elapsed: Duration,
        outcome: Outcome,
        results: &[TaskResult],
        samples: &[Sample],
    ) -> Signed<Receipt> {
        let terms = &self.deal.terms;
        let ran = Seconds::from_duration_up(elapsed).0.max(1);
        let seconds = Seconds(match self.it.behaviour {
            Behaviour::Hurrier => ran + 60,
            Behaviour::Rewinder if samples.len() > 2 => 1,
            Behaviour::Padder => {
                let bid_at = terms.accept_by.0.saturating_sub(30);
                self.it.clock.now().0.saturating_sub(bid_at).max(1)
            }
            _ => ran,
        });
        let honest = terms.rate.charge_down(seconds);
        let amount = match self.it.behaviour {
            Behaviour::Overbiller => honest.plus(honest).expect("small"),
            _ => honest,
        };
        let result = match self.it.behaviour {
            Behaviour::Liar if outcome.is_terminal() => B256::repeat_byte(6),
            _ => result_root(results),
        };
        let meter = match self.it.behaviour {
            Behaviour::Forger if samples.len() > 1 => B256::repeat_byte(9),
            _ => Meter::default().extended(samples).root(),
        };
        self.it.stall.signed(Receipt { deal: self.id, amount, seconds, outcome, result, meter })
    }

    /// Ask for a signature until there is an answer; `None` when it is a refusal, or nobody has
    /// answered for a minute.
    async fn present(
        &self,
        receipt: Signed<Receipt>,
        samples: &[Sample],
        results: &[TaskResult],
    ) -> Option<Held> {
        let (mut before, begun) = (0, Instant::now());
        while begun.elapsed() < Duration::from_secs(60) {
            let from = usize::try_from(before).unwrap_or(usize::MAX).min(samples.len());
            let question = ToGateway::Countersign(Box::new(Countersign {
                receipt: receipt.clone(),
                samples_before: before,
                samples: samples[from..].to_vec(),
                results: results.iter().copied().map(reported).collect(),
                ending: None,
            }));
            match ask(&self.it, &question).await {
                Some(CountersignAnswer::Signed { signature }) => return Some((receipt, signature)),
                Some(CountersignAnswer::Behind { samples }) => before = samples,
                Some(CountersignAnswer::Refused { .. }) => return None,
                Some(CountersignAnswer::NotYet) | None => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        None
    }

    /// Take on the chain whatever can be taken: all that was signed, and the grace beyond it.
    async fn collect(&self, hand: &Hand) {
        let (seat, terms) = (&self.it.seat, &self.deal.terms);
        let side = ProviderSide {
            terminal: hand.terminal.as_ref().map(|(it, _)| &it.document),
            running: hand.running.as_ref().map(|(it, _)| &it.document),
            unsigned: terms.grace,
            wants_out: true,
        };
        loop {
            let time = self.it.clock.now();
            let slot = seat.slot(self.id).await.unwrap_or_default();
            if matches!(slot.state, State::Settled | State::Cancelled) {
                return;
            }
            let wanted = provider_move(&slot, terms, &seat.windows(), time, side);
            if let Some(call) = self.call(&wanted, hand) {
                // Refused or lost: the next look shows what is to be done.
                drop(seat.send(call).await);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    fn call(&self, wanted: &Move, hand: &Hand) -> Option<Call> {
        let terms = self.deal.terms.clone();
        let proof = |(receipt, renter): &Held| Cosigned {
            receipt: receipt.document.clone(),
            renter: Some(*renter),
            provider: Some(receipt.signature),
        };
        match wanted {
            Move::Settle => Some(Call::Settle { terms, proof: proof(hand.terminal.as_ref()?) }),
            Move::Claim { extra } => {
                Some(Call::Claim { terms, proof: hand.running.as_ref().map(proof), extra: *extra })
            }
            Move::Finalize => Some(Call::Finalize { terms }),
            Move::Expire => Some(Call::Expire { terms }),
            Move::Wait | Move::Stop | Move::Contest | Move::Done => None,
        }
    }
}

async fn ask<A: DeserializeOwned>(it: &Strings, question: &impl Serialize) -> Option<A> {
    wire::ask(&it.transport, &it.gateway, wire::message(question)).await
}
