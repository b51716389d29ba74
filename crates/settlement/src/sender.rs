//! One task per key and chain: gives each transaction a nonce and sees it through.
//!
//! Upon an order: it gets the next nonce (at first the pending one of the node), is signed and
//! handed to the node. Upon a block, or a while without one: whoever waits is looked for; found at
//! the network's depth it is answered; not found for long it is sent again under the same nonce
//! with a higher fee. Upon a lost connection: it is handed over again when the node is back.
//! Upon a restart: transactions in flight are forgotten; whoever ordered them looks at the deal.
//!
//! Invariant: a nonce once given is kept alive until some transaction under it is sealed, so that
//! later ones are never stuck behind a gap.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, TxKind, U256};
use primitives::{B256, Key};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    call::Mined,
    error::Error,
    follow::Follower,
    node::{Handed, Node, Price, TransactionReceipt},
};

/// Transactions in flight at once; nodes keep few per account.
const IN_FLIGHT: usize = 16;

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

/// A transaction to be sent.
pub(crate) struct Order {
    pub(crate) to: TxKind,
    pub(crate) input: Bytes,
    pub(crate) gas: u64,
    pub(crate) reply: oneshot::Sender<Result<Landed, Error>>,
}

/// Where a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    to: TxKind,
    input: Bytes,
    gas: u64,
    price: Price,
    raw: Bytes,
    /// Every form it was sent in, newest last.
    forms: Vec<B256>,
    /// Whether the node has taken the newest form.
    taken: bool,
    ordered: Instant,
    sent: Instant,
    reply: Option<oneshot::Sender<Result<Landed, Error>>>,
}

impl Pace {
    /// For a network where so many blocks must follow.
    pub fn of(blocks_until_final: u64) -> Self {
        let seconds = Duration::from_secs;
        if blocks_until_final == 0 {
            Self { poll: Duration::from_millis(250), bump: seconds(10), answer: seconds(90) }
        } else {
            Self { poll: seconds(2), bump: seconds(45), answer: seconds(600) }
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
        let Order { to, input, gas, reply } = order;
        match self.prepare(to, input, gas).await {
            Ok((nonce, mut flight)) => {
                flight.reply = Some(reply);
                self.flights.insert(nonce, flight);
            }
            // Whoever asked may have gone; then nobody wants to know.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// A flight that the node has taken, or that will be handed over when the node is back.
    async fn prepare(
        &mut self,
        to: TxKind,
        input: Bytes,
        gas: u64,
    ) -> Result<(u64, Flight), Error> {
        let price = self.node.price().await?;
        loop {
            let nonce = match self.next {
                Some(nonce) => nonce,
                None => self.node.nonce(self.key.address(), "pending").await?,
            };
            let (raw, tx) = self.sign(nonce, to, &input, gas, price);
            let now = Instant::now();
            let mut flight = Flight {
                to,
                input: input.clone(),
                gas,
                price,
                raw,
                forms: vec![tx],
                taken: false,
                ordered: now,
                sent: now,
                reply: None,
            };
            match self.node.hand(&flight.raw).await {
                Ok(Handed::Taken) => flight.taken = true,
                // Another process sends from this account too: go on from where it is.
                Ok(Handed::NonceUsed) if self.next.take().is_some() => continue,
                Ok(Handed::NonceUsed) => {
                    return Err(Error::Unconfirmed {
                        tx,
                        why: "another transaction took its nonce".into(),
                    });
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

    /// Look for every transaction in flight; answer, wait, or send again.
    async fn review(&mut self) {
        for nonce in self.flights.keys().copied().collect::<Vec<_>>() {
            let Some(mut flight) = self.flights.remove(&nonce) else { continue };
            match self.landed(&flight).await {
                Ok(Some(landed)) => flight.answer(Ok(landed)),
                Ok(None) => {
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

    /// Where a flight ended, once that lies at the network's depth.
    async fn landed(&self, flight: &Flight) -> Result<Option<Landed>, Error> {
        for tx in flight.forms.iter().rev() {
            let Some(receipt) = self.node.receipt(*tx).await? else { continue };
            return self.at_depth(&receipt).await;
        }
        Ok(None)
    }

    async fn at_depth(&self, receipt: &TransactionReceipt) -> Result<Option<Landed>, Error> {
        let head = self.follower.sync().await?;
        let block = receipt.block();
        if block > head.number {
            return Ok(None);
        }
        if !receipt.succeeded() {
            return Ok(Some(Landed::Reverted));
        }
        let at = if block == head.number {
            head.time
        } else {
            match self.node.block_at(block).await? {
                Some(found) => found.head().time,
                None => return Ok(None),
            }
        };
        Ok(Some(Landed::Done(Mined { tx: receipt.tx(), block, at })))
    }

    /// Hand a flight over again if it is time to. False when its nonce is spent and it is not on
    /// the chain: it never will be.
    async fn resend(&self, nonce: u64, flight: &mut Flight) -> bool {
        flight.expire(self.pace.answer, "no block holds it yet");
        if flight.taken && flight.sent.elapsed() < self.pace.bump {
            return true;
        }
        if flight.taken {
            match self.node.nonce(self.key.address(), "latest").await {
                Ok(next) if next > nonce && matches!(self.landed(flight).await, Ok(None)) => {
                    // Sealed, but not deep enough yet: the receipt is there.
                    let sealed = self.is_sealed(flight).await;
                    if !sealed {
                        flight.lose("another transaction took its nonce");
                    }
                    return sealed;
                }
                Ok(_) => {}
                Err(_) => return true,
            }
            if let Ok(present) = self.node.price().await {
                let price = flight.price.bumped(present);
                if price != flight.price {
                    let (raw, tx) = self.sign(nonce, flight.to, &flight.input, flight.gas, price);
                    (flight.price, flight.raw) = (price, raw);
                    flight.forms.push(tx);
                }
            }
        }
        flight.sent = Instant::now();
        flight.taken = match self.node.hand(&flight.raw).await {
            Ok(Handed::Taken | Handed::NonceUsed | Handed::Underpriced) => true,
            Err(error) => {
                tracing::debug!(%error, nonce, "a transaction cannot be handed over now");
                false
            }
        };
        true
    }

    /// Whether any form of a flight is in a block, however deep; in doubt it is.
    async fn is_sealed(&self, flight: &Flight) -> bool {
        for tx in &flight.forms {
            if !matches!(self.node.receipt(*tx).await, Ok(None)) {
                return true;
            }
        }
        false
    }

    /// The EIP-2718 bytes of a signed EIP-1559 transaction, and its hash.
    fn sign(&self, nonce: u64, to: TxKind, input: &Bytes, gas: u64, price: Price) -> (Bytes, B256) {
        sign(&self.key, self.chain_id, nonce, to, input, gas, price)
    }
}

/// Sign an EIP-1559 transaction: its EIP-2718 bytes and its hash.
pub(crate) fn sign(
    key: &Key,
    chain_id: u64,
    nonce: u64,
    to: TxKind,
    input: &Bytes,
    gas: u64,
    price: Price,
) -> (Bytes, B256) {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: gas,
        max_fee_per_gas: price.most,
        max_priority_fee_per_gas: price.tip,
        to,
        value: U256::ZERO,
        access_list: Default::default(),
        input: input.clone(),
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
