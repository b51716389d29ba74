//! Following the chain at the network's depth: heads and the openings and closings of deals.
//!
//! Upon a new head: if it descends from the block seen last, the events between are read and then
//! the head is announced; if not, they are read again from the newest block seen that is still
//! part of the chain. Upon a range of blocks that a node refuses: half of it is asked for. Upon a
//! deal whose slot says more than the events do: its own events are asked for, since a node may
//! have answered late or in part. Upon an error: nothing is lost, the next round reads from the
//! same place.
//!
//! Invariant: whoever has heard of a head finds every event up to it that the node has told.

use std::{
    collections::{HashMap, VecDeque},
    error::Error as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_sol_types::SolEvent;
use market::{escrow::Split, fact::Closing};
use primitives::{Address, B256, DealId};
use profile::Depth;
use tokio::sync::watch;

use crate::{
    abi::{Escrow, amount},
    error::{Error, RpcError},
    node::{Block, Log, Node, quantity},
    view::Head,
};

/// Blocks asked for at once; hosted nodes refuse much more.
const SPAN: u64 = 2_000;

/// Heads kept to find the place where a chain has gone another way.
const TRAIL: usize = 128;

/// How often an endpoint that announces its blocks is asked nevertheless.
const PUSHED: Duration = Duration::from_secs(5);

/// The chain as far as it is settled.
pub(crate) struct Follower {
    node: Node,
    escrow: Address,
    depth: Depth,
    first_block: u64,
    heads: watch::Sender<Head>,
    /// The heads up to which events were read, the newest last; held while reading on.
    trail: tokio::sync::Mutex<VecDeque<Head>>,
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
    /// Follow `escrow`, of which nothing lies before `first_block`.
    pub(crate) fn new(node: Node, escrow: Address, depth: Depth, first_block: u64) -> Self {
        let (heads, _) = watch::channel(Head::default());
        let (trail, events) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { node, escrow, depth, first_block, heads, trail, events }
    }

    pub(crate) fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    /// The block to read state at: the latest at depth that was announced.
    pub(crate) fn tag(&self) -> String {
        match self.depth {
            Depth::Blocks(0) => "latest".into(),
            Depth::Blocks(_) | Depth::Safe | Depth::Finalized => {
                quantity(self.heads.borrow().number)
            }
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
        let mut trail = self.trail.lock().await;
        let block = self.latest().await?;
        let head = block.head();
        match trail.back() {
            Some(seen) if *seen == head => return Ok(head),
            // A node that lags behind another one: what was seen stays seen.
            Some(seen) if head.number < seen.number && !contradicts(&trail, head) => {
                return Ok(*seen);
            }
            _ => {}
        }
        let kept = self.still_there(&trail, &block).await?;
        let ancestor = kept.checked_sub(1).map(|last| trail[last].number);
        let first = ancestor.map_or(self.first_block, |ancestor| ancestor + 1);
        let read = self.read(&[&TOPICS], first, head.number).await?;
        {
            let mut events = self.events();
            if kept < trail.len() {
                tracing::warn!(block = head.number, ?ancestor, "the chain has gone another way");
                forget(&mut events, ancestor);
            }
            gather(&mut events, read);
        }
        trail.truncate(kept);
        trail.push_back(head);
        if trail.len() > TRAIL {
            trail.pop_front();
        }
        self.heads.send_replace(head);
        Ok(head)
    }

    /// Ask for the events of one deal, of which its slot says that there are some.
    pub(crate) async fn search(&self, deal: DealId) -> Result<(), Error> {
        // The newest first: whoever asks has a deal of late. Nothing of it lies before its opening.
        let mut last = self.heads.borrow().number;
        while last >= self.first_block {
            let first = last.saturating_sub(SPAN - 1).max(self.first_block);
            let read = self.read(&[&TOPICS, &[deal.0]], first, last).await?;
            let begins = |log: &Log| log.topics.first() == Some(&Escrow::Opened::SIGNATURE_HASH);
            let begun = read.iter().any(begins);
            gather(&mut self.events(), read);
            if begun || first == self.first_block {
                break;
            }
            last = first - 1;
        }
        Ok(())
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

    /// The latest block at depth; the first one while a young chain calls none so.
    async fn latest(&self) -> Result<Block, Error> {
        let tag = match self.depth {
            Depth::Blocks(_) => "latest",
            Depth::Safe => "safe",
            Depth::Finalized => "finalized",
        };
        let newest = match self.node.block(tag).await {
            Err(Error::Rpc { source, .. }) if source.says("not found") => None,
            answer => answer?,
        };
        let number = match (self.depth, newest) {
            (Depth::Blocks(behind), Some(newest)) if behind > 0 => {
                newest.head().number.saturating_sub(behind)
            }
            (_, Some(newest)) => return Ok(newest),
            (_, None) => 0,
        };
        self.node.block_at(number).await?.ok_or_else(|| Error::Answer {
            operation: "asking for the latest block at depth".into(),
            why: format!("the node has no block {number}"),
        })
    }

    /// How many of the heads seen, from the oldest on, are part of the chain that leads to `block`.
    async fn still_there(&self, trail: &VecDeque<Head>, block: &Block) -> Result<usize, Error> {
        let head = block.head();
        let below = trail.partition_point(|seen| seen.number < head.number);
        let Some(last) = below.checked_sub(1) else { return Ok(0) };
        let seen = trail[last];
        if seen.number + 1 == head.number && seen.hash == block.parent() {
            return Ok(below);
        }
        // Where one head is still there, so are all before it.
        let (mut there, mut gone) = (0, below);
        let mut look = last;
        while there < gone {
            let found = self.node.block_at(trail[look].number).await?;
            if found.is_some_and(|found| found.head().hash == trail[look].hash) {
                there = look + 1;
            } else {
                gone = look;
            }
            look = there + (gone - there) / 2;
        }
        Ok(there)
    }

    /// The events with such topics from block to block inclusive, in as many steps as the node asks.
    async fn read(&self, topics: &[&[B256]], first: u64, last: u64) -> Result<Vec<Log>, Error> {
        let mut logs = Vec::new();
        let (mut from, mut span) = (first, SPAN);
        while from <= last {
            let to = last.min(from + span - 1);
            match self.node.logs(self.escrow, topics, (from, to)).await {
                Ok(found) => {
                    logs.extend(found);
                    from = to + 1;
                    span = (span * 2).min(SPAN);
                }
                // Too many blocks, or too many events: the words differ, the remedy does not.
                Err(Error::Rpc { source: RpcError::Refused { .. }, .. }) if from < to => {
                    span = (to - from).div_ceil(2);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(logs)
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        // Each insertion is whole; a panic elsewhere leaves nothing half done.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is followed: how deals begin, and how they end.
const TOPICS: [B256; 2] = [Escrow::Opened::SIGNATURE_HASH, Escrow::Settled::SIGNATURE_HASH];

/// Whether a head was seen with this one's number and another hash.
fn contradicts(trail: &VecDeque<Head>, head: Head) -> bool {
    let at = trail.binary_search_by_key(&head.number, |seen| seen.number);
    at.is_ok_and(|at| trail[at].hash != head.hash)
}

/// Forget what happened after `ancestor`, or everything.
fn forget(events: &mut Events, ancestor: Option<u64>) {
    let stays = |block: u64| ancestor.is_some_and(|ancestor| block <= ancestor);
    events.retain(|_, places| {
        places.opened = places.opened.filter(|opened| stays(opened.block));
        places.closed = places.closed.filter(|closed| stays(closed.block));
        places.opened.is_some() || places.closed.is_some()
    });
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
