//! The thread that seals: it decides when, and answers whoever waits.
//!
//! Upon a drain order: blocks are sealed until no transaction is ready; everybody who asked in the
//! meantime shares the answer, and with it the write to the disk. Upon a seal order: one block, also
//! an empty one. Upon a keep order: a transaction that no block takes yet is put on the disk, again
//! together with all others that were ordered meanwhile. Upon the interval of [`Sealing::Interval`]: a drain that nobody waits for.
//!
//! Invariant: after a drain no transaction is ready that was ready when it was ordered; each block
//! takes at least one transaction in or out of the pool, so a drain ends.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use tokio::sync::oneshot;

use crate::{block::NewBlock, error::Error, node::Node, pool::Refusal, seal::Sealing};

/// What became of a drain: the transactions that turned out impossible, or what stopped it.
pub(crate) type Drained = Result<Arc<HashMap<B256, Refusal>>, Arc<Error>>;

enum Order {
    Drain(oneshot::Sender<Drained>),
    Seal(oneshot::Sender<Result<NewBlock, Arc<Error>>>),
    Keep(B256, oneshot::Sender<Result<(), Arc<Error>>>),
}

/// The running thread; dropping it waits until the block being made is written.
pub(crate) struct Sealer {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    /// Starts the thread.
    pub(crate) fn start(node: Arc<Node>, sealing: Sealing) -> Result<Self, Error> {
        let (orders, received) = channel();
        let thread = std::thread::Builder::new()
            .name("chain-sealer".into())
            .spawn(move || run(&node, &received, sealing))
            .map_err(|source| Error::Thread { source })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Seals until no transaction is ready.
    pub(crate) async fn drain(&self) -> Drained {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Drain(answer));
        // An order that nobody took drops its sender.
        answered.await.unwrap_or_else(|_| Err(Arc::new(Error::Closed)))
    }

    /// Seals one block, also an empty one.
    pub(crate) async fn seal(&self) -> Result<NewBlock, Arc<Error>> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Seal(answer));
        answered.await.unwrap_or_else(|_| Err(Arc::new(Error::Closed)))
    }

    /// Puts a transaction that waits on the disk.
    pub(crate) async fn keep(&self, hash: B256) -> Result<(), Arc<Error>> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Keep(hash, answer));
        answered.await.unwrap_or_else(|_| Err(Arc::new(Error::Closed)))
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that is gone drops the order, and with it the sender of the answer.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported to those who waited.
            let _ = thread.join();
        }
    }
}

fn run(node: &Node, orders: &Receiver<Order>, sealing: Sealing) {
    let mut due = next_due(sealing);
    if sealing == Sealing::Instant {
        // What was taken up from before the last stop may be ready.
        report(drain(node));
    }
    loop {
        let first = match due {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => orders.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match first {
            Ok(first) => serve(node, std::iter::once(first).chain(orders.try_iter())),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => report(drain(node)),
        }
        if due.is_some_and(|at| at <= Instant::now()) {
            due = next_due(sealing);
        }
    }
}

/// For drains that nobody waits for.
fn report<T>(drained: Result<T, Error>) {
    if let Err(error) = drained {
        tracing::error!(%error, "sealing failed");
    }
}

fn next_due(sealing: Sealing) -> Option<Instant> {
    match sealing {
        Sealing::Interval(period) => Some(Instant::now() + period.max(Duration::from_millis(1))),
        Sealing::Instant | Sealing::Manual => None,
    }
}

fn serve(node: &Node, orders: impl Iterator<Item = Order>) {
    let mut waiting = Vec::new();
    let mut keeping = Vec::new();
    let mut kept = Vec::new();
    for order in orders {
        match order {
            Order::Drain(answer) => waiting.push(answer),
            Order::Keep(hash, answer) => {
                keeping.push(hash);
                kept.push(answer);
            }
            Order::Seal(answer) => {
                let sealed = node
                    .seal(true)
                    .map_err(Arc::new)
                    .and_then(|round| round.block.ok_or_else(|| Arc::new(Error::Closed)));
                // Whoever asked may be gone.
                let _ = answer.send(sealed);
            }
        }
    }
    if !waiting.is_empty() {
        let drained = drain(node).map(Arc::new).map_err(Arc::new);
        for answer in waiting {
            let _ = answer.send(drained.clone());
        }
    }
    // After the drain: what got into a block needs no keeping.
    if !kept.is_empty() {
        let done = node.keep(&keeping).map_err(Arc::new);
        for answer in kept {
            let _ = answer.send(done.clone());
        }
    }
}

/// Seals until no transaction is ready; returns those that turned out impossible.
fn drain(node: &Node) -> Result<HashMap<B256, Refusal>, Error> {
    let mut dropped = HashMap::new();
    loop {
        let round = node.seal(false)?;
        let idle = round.block.is_none() && round.dropped.is_empty();
        dropped.extend(round.dropped);
        if idle {
            return Ok(dropped);
        }
    }
}
