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
    Consent, Signed, State, Terms,
    document::{Act, Command},
    fact::Submission,
    message::{
        Assignment, Bid, BidAnswer, BidRequest, CommandAnswer, CountersignAnswer, Done,
        Instruction, Listed, Missing, Printed, ToGateway, ToProvider,
    },
};
use net::{Incoming, Message, Simulated, Transport};
use primitives::{
    Address, Amount, B256, Clock as _, DealId, Epoch, Key, PeerId, Rate, Seconds, TaskIndex,
};
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

fn charge(rate: Rate, seconds: u64) -> u128 {
    rate.charge_down(Seconds(seconds)).units()
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

    async fn earned(&self) -> u128 {
        self.town.wealth(self.workshop.account).await.units()
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

#[tokio::test(start_paused = true)]
async fn what_was_co_signed_is_claimed_before_the_deal_can_expire_however_slowly_it_was_signed() {
    let cell = Cell::begin(lasting(600)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let terms = cell.running(&wanted).await;
    let dead = market::Slot::deadline(&terms, &cell.town.setup.windows);
    let mut signed = 0;
    while cell.town.clock.now() <= dead && cell.slot(&terms).await.state == State::Open {
        cell.keeper.signs.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(6)).await;
        signed = cell.keeper.signed.load(Ordering::Relaxed);
        cell.keeper.signs.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(500)).await;
    }
    let slot = cell.slot(&terms).await;
    if slot.state == State::Open {
        let call = Call::Expire { terms: terms.clone() };
        let sent = cell.town.ledger.seat(cell.renter.account()).send(call).await;
        assert!(matches!(sent, Ok(Sent::Done(_))), "{sent:?}");
    }
    assert!(cell.rest(2 * 3_600).await, "{:?}", cell.workshop.provider().status());
    let due = charge(terms.rate, signed);
    let earned = cell.earned().await;
    assert!(earned >= due - due * 300 / 10_000, "{signed} s were signed, {earned} earned");
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_was_seen_before_a_restart_is_still_the_lowest() {
    let mut cell = Cell::begin(lasting(100)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let deal = cell.open(&bid).await;
    assert_eq!(cell.assign(deal, &wanted, 3).await, Some(CommandAnswer::Taken));
    assert_eq!(cell.assign(deal, &wanted, 8).await, Some(CommandAnswer::Taken));
    cell.workshop.restart(&cell.town, &cell.gateway).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stop = cell.command(deal, 5, Act::Stop, &key(101));
    let told = Instruction { command: stop, assignment: None };
    let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
}
