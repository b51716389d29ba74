//! Following the chain at the network's depth: heads and the openings and closings of deals.
//!
//! Upon a new head: if it descends from the block seen last, the events between are read and then
//! the head is announced; if not, everything is read again from the first block.
//! Upon an error: nothing is lost, the next round reads from the same place.
//!
//! Invariant: whoever has heard of a head finds every event up to it.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_sol_types::SolEvent;
use market::{escrow::Split, fact::Closing};
use primitives::{Address, B256, DealId};
use tokio::sync::watch;

use crate::{
    abi::{Escrow, amount},
    error::Error,
    node::{Block, Log, Node, quantity},
    view::{Depth, Head},
};

/// Blocks asked for at once; hosted nodes refuse much more.
const SPAN: u64 = 2_000;

/// How often an endpoint that announces its blocks is asked nevertheless.
const PUSHED: Duration = Duration::from_secs(5);

/// The chain as far as it is settled.
pub(crate) struct Follower {
    node: Node,
    escrow: Address,
    depth: Depth,
    heads: watch::Sender<Head>,
    /// The block up to which events were read; held while reading on.
    cursor: tokio::sync::Mutex<Option<Head>>,
    events: Mutex<Events>,
}

type Events = HashMap<DealId, Places>;

/// Where a deal was opened and how it was closed.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    opened: Option<Place>,
    closed: Option<Closing>,
}

/// A transaction and its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) tx: B256,
    pub(crate) block: u64,
}

impl Follower {
    pub(crate) fn new(node: Node, escrow: Address, depth: Depth) -> Self {
        let (heads, _) = watch::channel(Head::default());
        let cursor = tokio::sync::Mutex::new(None);
        Self { node, escrow, depth, heads, cursor, events: Mutex::default() }
    }

    pub(crate) fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    /// The block to read state at: the latest at depth that was announced.
    pub(crate) fn tag(&self) -> String {
        match self.depth {
            Depth::Blocks(0) => "latest".into(),
            Depth::Finalized => "finalized".into(),
            Depth::Blocks(_) => quantity(self.heads.borrow().number),
        }
    }

    pub(crate) fn opened(&self, deal: DealId) -> Option<Place> {
        self.events().get(&deal)?.opened
    }

    pub(crate) fn closed(&self, deal: DealId) -> Option<Closing> {
        self.events().get(&deal)?.closed
    }

    /// Read on to the latest block at depth and announce it.
    pub(crate) async fn sync(&self) -> Result<Head, Error> {
        let mut cursor = self.cursor.lock().await;
        let block = self.latest().await?;
        let head = block.head();
        let from = match *cursor {
            Some(seen) if seen == head => return Ok(head),
            // A node that lags behind another one: what was seen stays seen.
            Some(seen) if head.number < seen.number => return Ok(seen),
            Some(seen) if self.follows(&block, seen).await? => Some(seen.number + 1),
            Some(_) | None => None,
        };
        match from {
            Some(first) => {
                let read = self.read(first, head.number).await?;
                gather(&mut self.events(), read);
            }
            None => {
                let mut events = Events::new();
                gather(&mut events, self.read(0, head.number).await?);
                *self.events() = events;
            }
        }
        *cursor = Some(head);
        self.heads.send_replace(head);
        Ok(head)
    }

    /// Sync whenever a block is announced and every `poll`, for ever.
    pub(crate) async fn run(&self, poll: Duration) {
        let mut blocks = self.node.blocks();
        let pause = if blocks.is_some() { poll.max(PUSHED) } else { poll };
        let mut reachable = true;
        loop {
            let done = self.sync().await;
            match &done {
                Err(error) if reachable => {
                    let cause = error.source().map(tracing::field::display);
                    tracing::warn!(%error, cause, "lost the chain");
                }
                Ok(head) if !reachable => tracing::info!(block = head.number, "the chain is back"),
                _ => {}
            }
            reachable = done.is_ok();
            // An endpoint that has stopped announcing is asked like any other.
            let announced = async {
                let heard = match &mut blocks {
                    Some(blocks) => blocks.changed().await.is_ok(),
                    None => false,
                };
                if !heard {
                    std::future::pending::<()>().await;
                }
            };
            // Whether by announcement or by time, the next round is the same.
            let _ = tokio::time::timeout(pause, announced).await;
        }
    }

    /// The latest block at depth.
    async fn latest(&self) -> Result<Block, Error> {
        let missing = |what: &str| Error::Answer {
            operation: "asking for the latest block at depth".into(),
            why: format!("the node has no {what} block"),
        };
        let tag = if self.depth == Depth::Finalized { "finalized" } else { "latest" };
        let newest = self.node.block(tag).await?.ok_or_else(|| missing(tag))?;
        match self.depth {
            Depth::Blocks(behind) if behind > 0 => {
                let number = newest.head().number.saturating_sub(behind);
                self.node.block_at(number).await?.ok_or_else(|| missing("earlier"))
            }
            _ => Ok(newest),
        }
    }

    /// Whether `block` descends from the block seen last.
    async fn follows(&self, block: &Block, seen: Head) -> Result<bool, Error> {
        if block.head().number == seen.number {
            return Ok(false);
        }
        if block.head().number == seen.number + 1 {
            return Ok(block.parent() == seen.hash);
        }
        let there = self.node.block_at(seen.number).await?;
        Ok(there.is_some_and(|there| there.head().hash == seen.hash))
    }

    async fn read(&self, first: u64, last: u64) -> Result<Vec<Log>, Error> {
        let topics = [Escrow::Opened::SIGNATURE_HASH, Escrow::Settled::SIGNATURE_HASH];
        let mut logs = Vec::new();
        let mut from = first;
        while from <= last {
            let to = last.min(from + SPAN - 1);
            logs.extend(self.node.logs(self.escrow, &topics, (from, to)).await?);
            from = to + 1;
        }
        Ok(logs)
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        // Each insertion is whole; a panic elsewhere leaves nothing half done.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gather(events: &mut Events, logs: Vec<Log>) {
    for log in logs {
        let (tx, block) = (log.transaction_hash, log.block());
        let topics = log.topics.iter().copied();
        if let Ok(opened) = Escrow::Opened::decode_raw_log(topics.clone(), &log.data) {
            events.entry(DealId(opened.id)).or_default().opened = Some(Place { tx, block });
        } else if let Ok(settled) = Escrow::Settled::decode_raw_log(topics, &log.data) {
            let [paid, fee, refund] =
                [settled.paid, settled.fee, settled.refund].map(|units| amount(units.to()));
            let split = Split { paid, fee, refund };
            events.entry(DealId(settled.id)).or_default().closed =
                Some(Closing { tx, block, split });
        }
    }
}
