//! Leases at a provider whose gateway is slow, vanishes, or never assigns what it opened.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use market::{
    Consent,
    fact::Submission,
    message::{
        Bid, BidAnswer, BidRequest, CountersignAnswer, Done, Listed, Missing, Printed, ToGateway,
        ToProvider,
    },
};
use net::{Incoming, Message, Simulated, Transport};
use primitives::{Address, Amount, B256, DealId, Key, PeerId};
use sandbox::{Script, Spoken, Stream};
use serde::{Serialize, de::DeserializeOwned};
use settlement::{Call, Sent, Settlement as _};
use sim::{Gateway, Renter, Town, Wanted, Workshop, key};
use store::Crash;
use tokio::{task::JoinSet, time::Instant};

const WALLET: u128 = 100_000_000;

fn amount(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

fn json(words: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(words).expect("plain data"))
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

/// A gateway for the real provider, under a test's control.
struct Keeper {
    wire: Arc<Simulated>,
    signer: Key,
    account: Address,
    /// Whether it signs running receipts.
    signs: Arc<AtomicBool>,
    /// Running time it has signed for.
    signed: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Keeper {
    fn start(town: &Town) -> Self {
        let wire = Arc::new(town.network.join(&PeerId("gateway".to_owned())));
        let (signer, escrow) = (key(101), town.escrow());
        let (signs, signed) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        let (listening, pen) = (wire.clone(), signer.clone());
        let (may, noting) = (signs.clone(), signed.clone());
        tasks.spawn(async move {
            while let Some(Incoming { message, reply, .. }) = listening.accept().await {
                let answer = match serde_json::from_slice(&message.header) {
                    Ok(ToGateway::Announce(_)) => json(&Listed::Listed),
                    Ok(ToGateway::Progress { .. }) => json(&Done::Done),
                    Ok(ToGateway::Countersign(_)) if !may.load(Ordering::Relaxed) => {
                        json(&CountersignAnswer::NotYet)
                    }
                    Ok(ToGateway::Countersign(ask)) => {
                        let receipt = &ask.receipt.document;
                        noting.store(receipt.seconds.0, Ordering::Relaxed);
                        let signature = pen.sign(receipt.digest(&escrow));
                        json(&CountersignAnswer::Signed { signature })
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
        Self { wire, signer, account, signs, signed, _tasks: tasks }
    }
}

/// The real provider and a gateway under a test's control.
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
}

#[tokio::test(start_paused = true)]
async fn a_deal_that_is_opened_and_never_assigned_does_not_stay_for_ever() {
    let cell = Cell::begin(script()).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    cell.open(&bid).await;
    assert!(cell.rest(3 * 3_600).await, "{:?}", cell.workshop.provider().status());
    assert_eq!(cell.town.wealth(cell.renter.account()).await, amount(WALLET));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_vanishes_after_opening_leaves_no_lease_and_no_money_behind() {
    let town = Town::new(13);
    let mut gateway = Gateway::new("gateway");
    gateway.start(&town).await;
    let mut workshop = Workshop::new(1, script());
    workshop.start(&town, &gateway).await;
    let renter = Renter { key: key(200) };
    town.fund(renter.account(), amount(WALLET)).await;
    let wanted = renter.submission(&town, &gateway, &Wanted::plain(1));
    // Started, submitted, placed, chosen, signed, opened: the transaction is out, and the process
    // that sent it never comes back.
    gateway.crash_at(6, Crash::Before);
    while !gateway.is_down() {
        if let Ok(job) = renter.order(&gateway, &wanted).await
            && let Some(view) = gateway.broker().job(job)
        {
            let consent = renter.consent(&town, &gateway, &view);
            let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    town.network.crash(&gateway.peer);
    tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
    let status = workshop.provider().status();
    assert!(status.leases.is_empty(), "after every deadline: {:?}", status.leases);
    assert_eq!(status.free, status.capacity);
    assert_eq!(town.wealth(renter.account()).await, amount(WALLET));
}
