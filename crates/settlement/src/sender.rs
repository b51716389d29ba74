//! One task per key and chain: gives each transaction a nonce and sees it through.
//!
//! Upon an order: it gets the next nonce (at first the pending one of the node), is signed and
//! handed to the node. Upon a block, or a while without one: whoever waits is looked for; found at
//! the network's depth it is answered; not found for long it is sent again under the same nonce
//! with a higher fee. Upon a reorganisation: what it took back is found no more, and sent again.
//! Upon a lost connection: it is handed over again when the node is back.
//! Upon a restart: transactions in flight are forgotten; whoever ordered them looks at the deal.
//! Where a forgotten one keeps a later one waiting, an empty one takes its place at a higher fee.
//!
//! Invariant: a nonce once given is kept alive until some transaction under it is sealed at the
//! network's depth, so that later ones are never stuck behind a gap.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, TxKind, U256};
use primitives::{B256, Key};
use profile::Depth;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    abi,
    call::Mined,
    error::Error,
    follow::Follower,
    node::{Handed, Node, Price, TransactionReceipt},
};

/// Transactions in flight at once; nodes keep few per account.
const IN_FLIGHT: usize = 16;

/// How often in a row the price is raised against one that waits under the same nonce.
const RAISES: usize = 16;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at the chain where nobody announces blocks.
    pub poll: Duration,
    /// Until a transaction is sent again with a higher fee.
    pub bump: Duration,
    /// Until the sender of a call is told that it is unconfirmed.
    pub answer: Duration,
}

/// What a transaction does, whatever its nonce and price.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) to: TxKind,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    pub(crate) gas: u64,
}

/// A transaction to be sent.
pub(crate) struct Order {
    pub(crate) payload: Payload,
    pub(crate) reply: oneshot::Sender<Result<Landed, Error>>,
}

/// How far a transaction has come.
enum Seen {
    /// It is in no block.
    Nowhere,
    /// It was in a block that another one has replaced.
    Replaced,
    /// It is in a block that could still be taken back.
    Sealed,
    /// It is in a block at the network's depth.
    Landed(Landed),
}

/// Whether a nonce was used by a transaction that is not ours, as far as can be seen.
enum Spent {
    /// It was not used.
    Not,
    /// It was, but a node may know that before it knows our receipt.
    Lately,
    /// It was, at the network's depth, where receipts are known.
    ForGood,
}

/// Where a transaction ended.
pub(crate) enum Landed {
    /// It did what it was sent for.
    Done(Mined),
    /// It was sealed and reverted: the state had changed since it was simulated.
    Reverted,
}

pub(crate) struct Sender {
    pub(crate) node: Node,
    pub(crate) follower: Arc<Follower>,
    pub(crate) chain_id: u64,
    pub(crate) key: Key,
    pub(crate) pace: Pace,
    /// The nonce to give next; asked for where unknown.
    next: Option<u64>,
    flights: BTreeMap<u64, Flight>,
}

/// A transaction under way.
struct Flight {
    payload: Payload,
    price: Price,
    raw: Bytes,
    /// Every form it was sent in, newest last.
    forms: Vec<B256>,
    /// Whether the node has taken the newest form.
    taken: bool,
    /// Whether it was seen in a block.
    sealed: bool,
    ordered: Instant,
    sent: Instant,
    reply: Option<oneshot::Sender<Result<Landed, Error>>>,
}

impl Pace {
    /// For a network of this depth.
    pub fn of(depth: Depth) -> Self {
        let seconds = Duration::from_secs;
        match depth {
            Depth::Blocks(0) => {
                Self { poll: Duration::from_millis(250), bump: seconds(10), answer: seconds(90) }
            }
            Depth::Blocks(_) => Self { poll: seconds(1), bump: seconds(45), answer: seconds(600) },
            // Two epochs of Ethereum, and as much again while validators are missing.
            Depth::Safe | Depth::Finalized => {
                Self { poll: seconds(4), bump: seconds(45), answer: seconds(1_800) }
            }
        }
    }
}

impl Sender {
    pub(crate) fn new(
        node: Node,
        follower: Arc<Follower>,
        chain_id: u64,
        key: Key,
        pace: Pace,
    ) -> Self {
        let flights = BTreeMap::new();
        Self { node, follower, chain_id, key, pace, next: None, flights }
    }

    /// Serve orders until nobody can give any and all are seen through.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut heads = self.follower.heads();
        let mut open = true;
        while open || self.flights.values().any(|flight| flight.reply.is_some()) {
            let waiting = !self.flights.is_empty();
            tokio::select! {
                order = orders.recv(), if open && self.flights.len() < IN_FLIGHT => match order {
                    Some(order) => self.launch(order).await,
                    None => open = false,
                },
                _ = heads.changed(), if waiting => {}
                () = tokio::time::sleep(self.pace.poll), if waiting => {}
            }
            self.review().await;
        }
    }

    /// Give an order its nonce and hand it to the node.
    async fn launch(&mut self, order: Order) {
        let Order { payload, reply } = order;
        match self.prepare(payload).await {
            Ok((nonce, mut flight)) => {
                flight.reply = Some(reply);
                self.flights.insert(nonce, flight);
            }
            // Whoever asked may have gone; then nobody wants to know.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// A flight that the node has taken, or that will be handed over when the node is back.
    async fn prepare(&mut self, payload: Payload) -> Result<(u64, Flight), Error> {
        let price = self.node.price().await?;
        loop {
            let nonce = match self.next {
                Some(nonce) => nonce,
                None => self.node.nonce(self.key.address(), "pending").await?,
            };
            let mut flight = self.flight(nonce, payload.clone(), price);
            let tx = flight.forms[0];
            match self.hand(nonce, &mut flight).await {
                Ok(Handed::Taken) => flight.taken = true,
                // Another process sends from this account too: go on from where it is.
                Ok(Handed::NonceUsed) if self.next.take().is_some() => continue,
                Ok(Handed::NonceUsed) => {
                    return Err(Error::Unconfirmed {
                        tx,
                        why: "another transaction took its nonce".into(),
                    });
                }
                Ok(Handed::Unpayable(why)) => {
                    return Err(Error::Fees { account: self.key.address(), why });
                }
                Ok(Handed::Underpriced) => {}
                // No answer: the node may have it, so its nonce is gone.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
            self.next = Some(nonce + 1);
            return Ok((nonce, flight));
        }
    }

    /// Hand a flight over; where another of its nonce waits and pays as much, pay more.
    async fn hand(&self, nonce: u64, flight: &mut Flight) -> Result<Handed, Error> {
        for _ in 0..RAISES {
            match self.node.hand(&flight.raw).await? {
                Handed::Underpriced => self.raise(nonce, flight).await?,
                handed => return Ok(handed),
            }
        }
        Ok(Handed::Underpriced)
    }

    /// Give a flight a higher price, as far as that may help.
    async fn raise(&self, nonce: u64, flight: &mut Flight) -> Result<(), Error> {
        let price = flight.price.bumped(self.node.price().await?);
        if price != flight.price {
            let (raw, tx) = self.sign(nonce, &flight.payload, price);
            (flight.price, flight.raw) = (price, raw);
            flight.forms.push(tx);
        }
        Ok(())
    }

    /// Look for every transaction in flight; answer, wait, or send again.
    async fn review(&mut self) {
        if let Err(error) = self.free_way().await {
            tracing::debug!(%error, "what waits before our transactions cannot be seen now");
        }
        for nonce in self.flights.keys().copied().collect::<Vec<_>>() {
            let Some(mut flight) = self.flights.remove(&nonce) else { continue };
            match self.look_for(&flight).await {
                Ok(Seen::Landed(landed)) => flight.answer(Ok(landed)),
                Ok(Seen::Sealed) => {
                    flight.sealed = true;
                    flight.expire(self.pace.answer, "its block is not at the network's depth yet");
                    self.flights.insert(nonce, flight);
                }
                Ok(seen @ (Seen::Nowhere | Seen::Replaced)) => {
                    // What was in a block and is not any more, its node may not have either.
                    let was_sealed = std::mem::take(&mut flight.sealed);
                    flight.taken &= !(was_sealed || matches!(seen, Seen::Replaced));
                    if self.resend(nonce, &mut flight).await {
                        self.flights.insert(nonce, flight);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, nonce, "a transaction cannot be looked for now");
                    flight.expire(self.pace.answer, &error.to_string());
                    self.flights.insert(nonce, flight);
                }
            }
        }
    }

    /// How far a flight has come.
    async fn look_for(&self, flight: &Flight) -> Result<Seen, Error> {
        for tx in flight.forms.iter().rev() {
            let Some(receipt) = self.node.receipt(*tx).await? else { continue };
            return self.at_depth(receipt).await;
        }
        Ok(Seen::Nowhere)
    }

    async fn at_depth(&self, receipt: TransactionReceipt) -> Result<Seen, Error> {
        let head = self.follower.sync().await?;
        let block = receipt.block();
        if block > head.number {
            return Ok(Seen::Sealed);
        }
        let sealed = if block == head.number {
            Some(head)
        } else {
            self.node.block_at(block).await?.map(|found| found.head())
        };
        // A receipt of a block that another one has replaced says nothing.
        let Some(sealed) = sealed.filter(|sealed| sealed.hash == receipt.block_hash()) else {
            return Ok(Seen::Replaced);
        };
        if !receipt.succeeded() {
            return Ok(Seen::Landed(Landed::Reverted));
        }
        let skipped = receipt.logs.iter().filter_map(|log| {
            let topics = log.topics.iter().copied();
            abi::skipped(topics, &log.data)
        });
        let (tx, at) = (receipt.tx(), sealed.time);
        Ok(Seen::Landed(Landed::Done(Mined { tx, block, at, skipped: skipped.collect() })))
    }

    /// Hand a flight over again if it is time to. False when its nonce is spent and it is not on
    /// the chain: it never will be.
    async fn resend(&self, nonce: u64, flight: &mut Flight) -> bool {
        flight.expire(self.pace.answer, "no block holds it yet");
        if flight.taken {
            if flight.sent.elapsed() < self.pace.bump {
                return true;
            }
            match self.is_spent(nonce, flight).await {
                Ok(Spent::Not) => {}
                Ok(Spent::Lately) | Err(_) => return true,
                Ok(Spent::ForGood) => {
                    flight.lose("another transaction took its nonce");
                    return false;
                }
            }
            if let Err(error) = self.raise(nonce, flight).await {
                tracing::debug!(%error, nonce, "what gas costs cannot be asked now");
            }
        }
        flight.sent = Instant::now();
        flight.taken = match self.hand(nonce, flight).await {
            Ok(Handed::Taken | Handed::NonceUsed | Handed::Underpriced) => true,
            Ok(Handed::Unpayable(why)) => {
                // What was handed over before still waits.
                tracing::warn!(account = %self.key.address(), nonce, why, "a higher fee cannot be paid");
                true
            }
            Err(error) => {
                tracing::debug!(%error, nonce, "a transaction cannot be handed over now");
                false
            }
        };
        true
    }

    /// Whether another transaction has the nonce of a flight that was not found.
    async fn is_spent(&self, nonce: u64, flight: &Flight) -> Result<Spent, Error> {
        let account = self.key.address();
        if self.node.nonce(account, "latest").await? <= nonce {
            return Ok(Spent::Not);
        }
        let deep = self.node.nonce(account, &self.follower.tag()).await?;
        // It may have been sealed since it was looked for.
        let by_another =
            deep > nonce && !matches!(self.look_for(flight).await?, Seen::Sealed | Seen::Landed(_));
        Ok(if by_another { Spent::ForGood } else { Spent::Lately })
    }

    /// Where transactions that nobody here sees through keep the first of ours waiting for long,
    /// put empty ones in their place.
    async fn free_way(&mut self) -> Result<(), Error> {
        let Some((&first, flight)) = self.flights.first_key_value() else { return Ok(()) };
        if flight.sent.elapsed() < self.pace.bump {
            return Ok(());
        }
        let account = self.key.address();
        let next = self.node.nonce(account, "latest").await?;
        if next >= first {
            return Ok(());
        }
        let (to, value, input) = (TxKind::Call(account), U256::ZERO, Bytes::new());
        let simulated = self.node.simulate(account, account, value, &input).await?;
        let Ok(gas) = simulated else { return Ok(()) };
        let nothing = Payload { to, value, input, gas };
        let price = self.node.price().await?;
        for nonce in next..first {
            tracing::info!(%account, nonce, "a forgotten transaction is replaced");
            self.flights.insert(nonce, self.flight(nonce, nothing.clone(), price));
        }
        Ok(())
    }

    fn flight(&self, nonce: u64, payload: Payload, price: Price) -> Flight {
        let (raw, tx) = self.sign(nonce, &payload, price);
        let now = Instant::now();
        Flight {
            payload,
            price,
            raw,
            forms: vec![tx],
            taken: false,
            sealed: false,
            ordered: now,
            sent: now,
            reply: None,
        }
    }

    /// The EIP-2718 bytes of a signed EIP-1559 transaction, and its hash.
    fn sign(&self, nonce: u64, payload: &Payload, price: Price) -> (Bytes, B256) {
        sign(&self.key, self.chain_id, nonce, payload, price)
    }
}

/// Sign an EIP-1559 transaction: its EIP-2718 bytes and its hash.
pub(crate) fn sign(
    key: &Key,
    chain_id: u64,
    nonce: u64,
    payload: &Payload,
    price: Price,
) -> (Bytes, B256) {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: payload.gas,
        max_fee_per_gas: price.most,
        max_priority_fee_per_gas: price.tip,
        to: payload.to,
        value: payload.value,
        access_list: Default::default(),
        input: payload.input.clone(),
    };
    let signature = key.sign(transaction.signature_hash());
    let signature = alloy_primitives::Signature::from_raw_array(&signature.0)
        .expect("a key's signature ends in 27 or 28");
    let signed = transaction.into_signed(signature);
    (signed.encoded_2718().into(), *signed.hash())
}

impl Flight {
    fn answer(mut self, landed: Result<Landed, Error>) {
        if let Some(reply) = self.reply.take() {
            // Whoever asked may have gone; then nobody wants to know.
            drop(reply.send(landed));
        }
    }

    /// Tell whoever asked that nothing is known, once that has lasted too long; the flight goes on.
    fn expire(&mut self, patience: Duration, why: &str) {
        if self.ordered.elapsed() >= patience {
            self.lose(why);
        }
    }

    fn lose(&mut self, why: &str) {
        if let (Some(reply), Some(tx)) = (self.reply.take(), self.forms.last()) {
            drop(reply.send(Err(Error::Unconfirmed { tx: *tx, why: why.to_owned() })));
        }
    }
}
