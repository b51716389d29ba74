//! Transactions that wait for a block, by sender and nonce.
//!
//! Upon `insert`: a transaction takes its place in its sender's queue, or replaces the one with the
//! same nonce if it pays more. Upon `advance`: what a block included, or made impossible, leaves.
//!
//! In: checked transactions with their senders; account nonces. Out: the ready ones in the order in
//! which a block should take them.
//!
//! Invariant: a transaction is ready exactly when every nonce from the account's up to its own is
//! waiting; `ready` returns every ready one, so what it does not return cannot be sealed yet.
//! Senders do not touch each other's queues: a later split by sender changes no outcome.
//!
//! Not here: whether a transaction is well formed (`execute::check`), when a block is sealed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
};

use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::{Address, B256, U256};

use crate::block::{Transaction, hash_of};

/// Transactions that may wait at once.
const CAPACITY: usize = 65_536;

/// Transactions one sender may have waiting.
const CAPACITY_PER_SENDER: usize = 16_384;

/// A replacement pays at least this many percent more, and at least 1 wei per gas more.
const BUMP_PERCENT: u128 = 10;

/// Why a transaction was not accepted. A value, not a failure: the sender can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no signed transaction of a known kind.
    #[error("cannot decode the transaction: {0}")]
    Undecodable(String),
    /// No sender can be recovered from the signature.
    #[error("invalid signature: {0}")]
    BadSignature(String),
    /// This chain carries no blobs (EIP-4844).
    #[error("blob transactions are not accepted: this chain carries no blobs")]
    Blob,
    /// The same transaction waits already, or is in a block.
    #[error("already known")]
    Known,
    /// The sender has used this nonce.
    #[error("nonce too low: next nonce {next}, tx nonce {given}")]
    NonceTooLow {
        /// What the account would accept.
        next: u64,
        /// What the transaction says.
        given: u64,
    },
    /// The balance does not cover gas limit x max fee + value (wei).
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds {
        /// What the sender has, in wei.
        balance: U256,
        /// What the transaction may cost, in wei.
        cost: U256,
    },
    /// Another transaction with this nonce waits and pays as much or nearly as much.
    #[error("replacement transaction underpriced: pay at least {BUMP_PERCENT} % more per gas")]
    Underpriced,
    /// Too many transactions wait.
    #[error("transaction pool is full")]
    Full,
    /// Too many transactions of this sender wait.
    #[error("too many transactions of this sender are waiting")]
    SenderFull,
    /// It breaks a rule of the chain; the words are those that wallets look for.
    #[error("{0}")]
    Unfit(String),
}

type Shared = Arc<Recovered<Transaction>>;

struct Waiting {
    transaction: Shared,
    /// Place in the order of arrival.
    arrival: u64,
}

#[derive(Default)]
struct Queue {
    /// The nonce of the account in the newest state.
    next: u64,
    by_nonce: BTreeMap<u64, Waiting>,
}

impl Queue {
    /// The transactions that could be included one after the other, beginning now.
    fn ready(&self) -> impl Iterator<Item = &Waiting> {
        (self.next..).map_while(|nonce| self.by_nonce.get(&nonce))
    }
}

/// All waiting transactions.
#[derive(Default)]
pub(crate) struct Pool {
    queues: HashMap<Address, Queue>,
    places: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

/// The waiting transactions of one sender, split by whether a block could take them.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) pending: Vec<Shared>,
    pub(crate) queued: Vec<Shared>,
}

impl Pool {
    /// Takes a transaction in. `next` is the nonce of the account in the newest state. Returns
    /// whether the transaction is ready.
    pub(crate) fn insert(
        &mut self,
        transaction: Recovered<Transaction>,
        next: u64,
    ) -> Result<bool, Refusal> {
        let hash = hash_of(&transaction);
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        if self.places.contains_key(&hash) {
            return Err(Refusal::Known);
        }
        if nonce < next {
            return Err(Refusal::NonceTooLow { next, given: nonce });
        }
        let full = self.places.len() >= CAPACITY;
        let queue = self.queues.entry(sender).or_default();
        queue.next = next;
        match queue.by_nonce.get(&nonce) {
            Some(old) if !pays_more(&transaction, &old.transaction) => {
                return Err(Refusal::Underpriced);
            }
            Some(old) => {
                self.places.remove(&hash_of(&old.transaction));
            }
            None if full => return Err(Refusal::Full),
            None if queue.by_nonce.len() >= CAPACITY_PER_SENDER => {
                return Err(Refusal::SenderFull);
            }
            None => {}
        }
        let waiting = Waiting { transaction: Arc::new(transaction), arrival: self.arrivals };
        self.arrivals += 1;
        queue.by_nonce.insert(nonce, waiting);
        self.places.insert(hash, (sender, nonce));
        Ok((next..=nonce).all(|nonce| queue.by_nonce.contains_key(&nonce)))
    }

    /// Every ready transaction that pays the base fee (wei per gas): best tip first, then first
    /// come; each sender's in the order of nonces.
    pub(crate) fn ready(&self, base_fee: u64) -> Vec<Shared> {
        let rank = |waiting: &Waiting| {
            let tip = waiting.transaction.effective_tip_per_gas(base_fee)?;
            Some((tip, Reverse(waiting.arrival)))
        };
        let mut heads = BinaryHeap::new();
        for (sender, queue) in &self.queues {
            if let Some(rank) = queue.ready().next().and_then(&rank) {
                heads.push((rank, *sender, queue.next));
            }
        }
        let mut ready = Vec::new();
        while let Some((_, sender, nonce)) = heads.pop() {
            let queue = &self.queues[&sender];
            ready.push(queue.by_nonce[&nonce].transaction.clone());
            if let Some(rank) = queue.by_nonce.get(&(nonce + 1)).and_then(&rank) {
                heads.push((rank, sender, nonce + 1));
            }
        }
        ready
    }

    /// Tells the pool the nonces of accounts after a block: lower ones leave.
    pub(crate) fn advance(&mut self, nonces: impl IntoIterator<Item = (Address, u64)>) {
        for (sender, next) in nonces {
            let Some(queue) = self.queues.get_mut(&sender) else { continue };
            queue.next = next;
            let later = queue.by_nonce.split_off(&next);
            for gone in std::mem::replace(&mut queue.by_nonce, later).into_values() {
                self.places.remove(&hash_of(&gone.transaction));
            }
            if queue.by_nonce.is_empty() {
                self.queues.remove(&sender);
            }
        }
    }

    /// Drops one transaction.
    pub(crate) fn remove(&mut self, hash: B256) {
        let Some((sender, nonce)) = self.places.remove(&hash) else { return };
        if let Some(queue) = self.queues.get_mut(&sender) {
            queue.by_nonce.remove(&nonce);
            if queue.by_nonce.is_empty() {
                self.queues.remove(&sender);
            }
        }
    }

    /// A waiting transaction by its hash.
    pub(crate) fn get(&self, hash: B256) -> Option<Shared> {
        let (sender, nonce) = self.places.get(&hash)?;
        Some(self.queues.get(sender)?.by_nonce.get(nonce)?.transaction.clone())
    }

    /// The nonce that follows the ready transactions of an account whose nonce is `next`.
    pub(crate) fn next_nonce(&self, sender: Address, next: u64) -> u64 {
        let Some(queue) = self.queues.get(&sender) else { return next };
        (next..).find(|nonce| !queue.by_nonce.contains_key(nonce)).unwrap_or(next)
    }

    /// What waits, by sender.
    pub(crate) fn content(&self) -> BTreeMap<Address, Content> {
        self.queues.keys().map(|sender| (*sender, self.content_of(*sender))).collect()
    }

    /// What waits of one sender.
    pub(crate) fn content_of(&self, sender: Address) -> Content {
        let Some(queue) = self.queues.get(&sender) else { return Content::default() };
        let ready = queue.ready().count();
        let mut pending: Vec<_> =
            queue.by_nonce.values().map(|waiting| waiting.transaction.clone()).collect();
        let queued = pending.split_off(ready);
        Content { pending, queued }
    }
}

/// Whether a transaction may take the place of another with the same nonce.
fn pays_more(new: &Transaction, old: &Transaction) -> bool {
    let enough = |new: u128, old: u128| {
        new >= old.saturating_add((old.saturating_mul(BUMP_PERCENT) / 100).max(1))
    };
    enough(new.max_fee_per_gas(), old.max_fee_per_gas())
        && enough(new.priority_fee_or_price(), old.priority_fee_or_price())
}

#[cfg(test)]
mod tests;
