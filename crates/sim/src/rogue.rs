//! A hostile provider: a connected peer with an authorised key and an offer in the book, which bids
//! for every order, takes every command, and otherwise says what a test lets it say.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use market::{
    Meter, Outcome, Receipt, Signed, Terms,
    document::{Act, Command},
    fact::Agreement,
    message::{BidAnswer, CommandAnswer, Countersign, CountersignAnswer, ToGateway, ToProvider},
    task::{TaskResult, result_root},
};
use net::{Incoming, Simulated, Transport as _};
use primitives::{PeerId, Rate, Sample, Seconds};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    gateway::Gateway,
    stall::{Stall, reported},
    town::{Town, key, peer},
    wire,
};

/// A rogue while it is up.
pub struct Rogue {
    /// Its line to the gateway.
    pub wire: Arc<Simulated>,
    /// The gateway.
    pub gateway: PeerId,
    /// Its keys and offer.
    pub stall: Arc<Stall>,
    mind: Arc<Mind>,
    _tasks: JoinSet<()>,
}

/// What a rogue does by itself, and what it has heard.
struct Mind {
    /// Bends the terms of its bids.
    bend: fn(&mut Terms),
    /// Whether it leaves commands unanswered.
    deaf: AtomicBool,
    /// Whether its bids are signed by another key than they name.
    forges: AtomicBool,
    heard: Mutex<Vec<Command>>,
}

impl Rogue {
    /// A rogue that has joined and announces its offer; `bend` bends the terms of its bids.
    pub async fn start(town: &Town, gateway: &Gateway, bend: fn(&mut Terms)) -> Self {
        let name = peer("rogue");
        let rate = Rate::per_hour(40_000).expect("small");
        let stall = Arc::new(Stall::open(town, key(30).address(), key(31), &name, rate).await);
        let wire = Arc::new(town.network.join(&name));
        town.network.link(&name, &gateway.peer);
        let mind = Arc::new(Mind {
            bend,
            deaf: AtomicBool::new(false),
            forges: AtomicBool::new(false),
            heard: Mutex::default(),
        });
        let gateway = gateway.peer.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(announce(wire.clone(), gateway.clone(), stall.clone()));
        tasks.spawn(serve(wire.clone(), stall.clone(), mind.clone()));
        Self { wire, gateway, stall, mind, _tasks: tasks }
    }

    /// From now on commands are heard and not answered.
    pub fn turn_deaf(&self) {
        self.mind.deaf.store(true, Ordering::Relaxed);
    }

    /// From now on its bids are signed by another key than they name.
    pub fn forge(&self) {
        self.mind.forges.store(true, Ordering::Relaxed);
    }

    /// The commands it was told, in order.
    pub fn heard(&self) -> Vec<Command> {
        locked(&self.mind.heard).clone()
    }

    /// Whether it was told to stop.
    pub fn heard_stop(&self) -> bool {
        self.heard().iter().any(|command| command.act == Act::Stop)
    }

    /// Ask the gateway.
    pub async fn ask<A: DeserializeOwned>(&self, question: &ToGateway, body: &[u8]) -> Option<A> {
        let said = wire::message(question).with_body(body.to_vec());
        wire::ask(&self.wire, &self.gateway, said).await
    }

    /// A receipt over so many seconds at the deal's rate.
    pub fn signed(
        &self,
        deal: &Agreement,
        seconds: u64,
        outcome: Outcome,
        results: &[TaskResult],
        samples: &[Sample],
    ) -> Signed<Receipt> {
        let seconds = Seconds(seconds);
        self.stall.signed(Receipt {
            deal: deal.deal,
            amount: deal.terms.document.rate.charge_down(seconds),
            seconds,
            outcome,
            result: result_root(results),
            meter: Meter::default().extended(samples).root(),
        })
    }

    /// The wish to have a receipt co-signed, with the samples after the first `samples_before`.
    pub fn question(
        receipt: &Signed<Receipt>,
        samples_before: u64,
        samples: &[Sample],
        results: &[TaskResult],
    ) -> ToGateway {
        ToGateway::Countersign(Box::new(Countersign {
            receipt: receipt.clone(),
            samples_before,
            samples: samples.to_vec(),
            results: results.iter().copied().map(reported).collect(),
            ending: None,
        }))
    }

    /// Have a receipt over these samples co-signed, however many the gateway has already.
    pub async fn countersign(
        &self,
        receipt: &Signed<Receipt>,
        samples: &[Sample],
        results: &[TaskResult],
    ) -> Option<CountersignAnswer> {
        let mut before = 0;
        loop {
            let from = usize::try_from(before).expect("few").min(samples.len());
            let question = Self::question(receipt, before, &samples[from..], results);
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

async fn announce(wire: Arc<Simulated>, gateway: PeerId, stall: Arc<Stall>) {
    loop {
        let said = wire::message(&ToGateway::Announce(Box::new(stall.offer.clone())));
        let _: Option<serde_json::Value> = wire::ask(&wire, &gateway, said).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

async fn serve(wire: Arc<Simulated>, stall: Arc<Stall>, mind: Arc<Mind>) {
    // Answers that are never given are kept, so that the asker waits.
    let mut silences = Vec::new();
    while let Some(Incoming { message, reply, .. }) = wire.accept().await {
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToProvider::Bid(request)) => {
                let Some(mut terms) = stall.terms(&request) else { continue };
                (mind.bend)(&mut terms);
                let forges = mind.forges.load(Ordering::Relaxed);
                let signer = if forges { key(99) } else { stall.key.clone() };
                let bid = stall.bid(terms, &request, &signer);
                wire::message(&BidAnswer::Bid(Box::new(bid)))
            }
            Ok(ToProvider::Command(it)) => {
                let commands = it.commands.iter().map(|signed| signed.document);
                locked(&mind.heard).extend(commands);
                if mind.deaf.load(Ordering::Relaxed) {
                    silences.push(reply);
                    continue;
                }
                wire::message(&CommandAnswer::Taken)
            }
            Err(_) => continue,
        };
        // A gateway that went away asks again.
        drop(reply.send(answer).await);
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
