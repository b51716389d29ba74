//! A gateway of the simulation that cheats: it opens deals with honest providers in the name of
//! renters who trust it, and then does as its trick says.
//!
//! It speaks the gateway's side of the protocol without a journal, so that each trick is one line here.
//! The honest gateway is the room `broker`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use market::{
    Consent, Domain, Offer, Signed, State, Terms,
    document::{Act, Command},
    fact::Submission,
    message::{
        Assignment, Bid, BidAnswer, BidRequest, CommandAnswer, Countersign, CountersignAnswer,
        Done, Instruction, Listed, Missing, Printed, ToGateway, ToProvider, within_rules,
    },
};
use net::{Incoming, Simulated, Transport as _};
use primitives::{Amount, DealId, Epoch, Key, PeerId, TaskIndex};
use serde::{Deserialize, Serialize};
use settlement::{Call, Seat, Settlement as _};
use tokio::task::JoinSet;

use crate::{
    gateway::Gateway,
    town::{Town, key},
    wire,
    words::Words,
};

/// What a crook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trick {
    /// Has bids made, and never opens them.
    Waster,
    /// Assigns deals, and never opens them.
    Hasty,
    /// Opens deals, and never assigns them.
    Idler,
    /// Signs some receipts, and then puts the provider off for ever.
    Mute,
    /// Signs some receipts, and then with a key that is not the renter key.
    Forger,
    /// Signs some receipts, ends the deal on the chain, and contests what is claimed.
    Contester,
}

/// A crook while it is up.
pub struct Crook {
    it: Arc<Parts>,
    tasks: JoinSet<()>,
}

struct Parts {
    trick: Trick,
    wire: Simulated,
    signer: Key,
    seat: Seat,
    plaza: Domain,
    escrow: Domain,
    fees: [Amount; 2],
    offers: Mutex<BTreeMap<PeerId, Signed<Offer>>>,
    /// How many receipts of each deal were signed.
    signed: Mutex<BTreeMap<DealId, u32>>,
    salts: Words,
}

/// How many receipts are signed before a trick begins.
const HONEST_RECEIPTS: u32 = 3;

impl Crook {
    /// A crook under the names of a gateway that is never started.
    pub fn start(town: &Town, names: &Gateway, trick: Trick) -> Self {
        let it = Arc::new(Parts {
            trick,
            wire: town.network.join(&names.peer),
            signer: names.signing_key().clone(),
            // As the renter key it is the renter's side.
            seat: town.ledger.seat(names.signer()),
            plaza: town.plaza(),
            escrow: town.escrow(),
            fees: [town.profile.open_fee, town.profile.close_fee],
            offers: Mutex::default(),
            signed: Mutex::default(),
            salts: Words::of(&[b"crook", &town.seed.to_be_bytes(), names.account.as_slice()]),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(it.clone()));
        Self { it, tasks }
    }

    /// Take an order of a renter that signs whatever terms it is shown, if they are within the rules.
    pub fn order(&mut self, town: &Town, renter: &Key, wanted: Submission) {
        let (it, renter, rules) = (self.it.clone(), renter.clone(), town.profile.market.clone());
        let token_domain = town.setup.token_domain.clone();
        self.tasks.spawn(async move {
            let Some((peer, bid)) = it.bid(&wanted).await else { return };
            let terms = bid.terms.document.clone();
            if within_rules(&terms, &wanted.order.document, &rules).is_err() {
                return;
            }
            let digest = terms.authorization(&it.escrow, &token_domain).expect("small");
            let consent = Consent::Authorization { signature: renter.sign(digest) };
            it.carry(&peer, &bid, terms, consent, &wanted).await;
        });
    }
}

impl Parts {
    /// The first bid that a provider gives.
    async fn bid(&self, wanted: &Submission) -> Option<(PeerId, Bid)> {
        for _ in 0..10 {
            let peers: Vec<PeerId> = locked(&self.offers).keys().cloned().collect();
            for peer in peers {
                let request = BidRequest {
                    order: wanted.order.clone(),
                    wish: wanted.work.wish.clone(),
                    salt: wanted.salt,
                    deal_salt: self.salts.draw(),
                    open_fee: self.fees[0],
                    close_fee: self.fees[1],
                };
                let said = wire::message(&ToProvider::Bid(Box::new(request)));
                if let Some(BidAnswer::Bid(bid)) = wire::ask(&self.wire, &peer, said).await {
                    return Some((peer, *bid));
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        None
    }

    async fn carry(
        &self,
        peer: &PeerId,
        bid: &Bid,
        terms: Terms,
        consent: Consent,
        wanted: &Submission,
    ) {
        if self.trick == Trick::Waster {
            return;
        }
        let deal = terms.id(&self.escrow);
        let call = Call::Open { terms: terms.clone(), bid: bid.terms.signature, consent };
        if self.trick != Trick::Hasty {
            // What is lost on its way is no loss to a crook.
            drop(self.seat.send(call).await);
        }
        if self.trick == Trick::Idler {
            return;
        }
        for _ in 0..120 {
            if self.assign(peer, deal, wanted).await == Some(CommandAnswer::Taken) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if self.trick == Trick::Contester {
            tokio::time::sleep(Duration::from_secs(8)).await;
            self.end(deal, terms).await;
        }
    }

    async fn assign(
        &self,
        peer: &PeerId,
        deal: DealId,
        wanted: &Submission,
    ) -> Option<CommandAnswer> {
        let spec = wanted.order.document.spec;
        let assign = Act::Assign { task: TaskIndex(0), epoch: Epoch(1), spec };
        let commands = [assign, Act::Release]
            .map(|act| Command { deal, fence: 1, act }.signed(&self.plaza, &self.signer))
            .to_vec();
        let assignment = Some(Assignment { work: wanted.work.clone(), salt: wanted.salt });
        let instruction = Instruction { commands, assignment };
        let said = wire::message(&ToProvider::Command(Box::new(instruction)));
        wire::ask(&self.wire, peer, said).await
    }

    /// End a deal on the chain, and contest whatever is claimed.
    async fn end(&self, deal: DealId, terms: Terms) {
        loop {
            let terms = terms.clone();
            let call = match self.seat.slot(deal).await.unwrap_or_default().state {
                State::Open => Some(Call::Stop { terms, intent: None }),
                State::Claimed => Some(Call::Contest { terms, intent: None }),
                State::None | State::Stopped => None,
                State::Settled | State::Cancelled => return,
            };
            if let Some(call) = call {
                drop(self.seat.send(call).await);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    fn countersign(&self, ask: &Countersign) -> CountersignAnswer {
        let receipt = &ask.receipt.document;
        let mut signed = locked(&self.signed);
        let count = signed.entry(receipt.deal).or_default();
        *count += 1;
        let digest = receipt.digest(&self.escrow);
        if *count <= HONEST_RECEIPTS && !receipt.outcome.is_terminal() {
            return CountersignAnswer::Signed { signature: self.signer.sign(digest) };
        }
        match self.trick {
            Trick::Forger => CountersignAnswer::Signed { signature: key(77).sign(digest) },
            _ => CountersignAnswer::NotYet,
        }
    }
}

async fn serve(it: Arc<Parts>) {
    while let Some(Incoming { peer, message, reply }) = it.wire.accept().await {
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToGateway::Announce(offer)) => {
                locked(&it.offers).insert(peer, *offer);
                wire::message(&Listed::Listed)
            }
            Ok(ToGateway::Progress { .. }) => wire::message(&Done::Done),
            Ok(ToGateway::Countersign(ask)) => wire::message(&it.countersign(&ask)),
            Ok(ToGateway::Print { offset, .. }) => {
                let piece = message.body.collect(1 << 20).await.unwrap_or_default();
                wire::message(&Printed { next: offset + piece.len() as u64, full: false })
            }
            Ok(ToGateway::Missing { .. }) => wire::message(&Missing { blobs: Vec::new() }),
            _ => wire::message(&Done::Refused { why: "not here".to_owned() }),
        };
        // A provider that went away asks again.
        drop(reply.send(answer).await);
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
