//! The fake: a deterministic ledger in memory with real rules, real signatures and chosen faults.
//!
//! Upon an accepted call: a block is sealed at max(parent, clock). Upon a refused one: nothing.
//! Blocks without calls come by [`Ledger::seal`], so that a test decides when time passes.
//! Faults: the connection is gone; the next calls, or the answers to them, are lost; blocks become
//! visible only when others follow, and until then can be taken back with the calls in them.
//!
//! Invariant: [`Ledger::check`] holds after every call.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use market::{
    Domain, SessionUse, Slot,
    escrow::Windows,
    fact::{Closing, Opening},
};
use primitives::{Address, Amount, B256, Clock, DealId, SessionId, UnixSeconds, keccak256};
use tokio::sync::watch;

use crate::{
    book::{Book, Context, Setup},
    call::{Call, Mined, Sent},
    error::{Error, RpcError},
    refusal::Refusal,
    seam::Settlement,
    view::{Admission, Balances, Head},
};

/// A fake chain with the network's contracts on it. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

/// One account's handle on a [`Ledger`].
#[derive(Clone)]
pub struct Seat {
    ledger: Ledger,
    sender: Address,
}

struct Shared {
    clock: Arc<dyn Clock>,
    setup: Setup,
    inner: Mutex<Inner>,
}

/// An accepted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Where it lies.
    pub mined: Mined,
    /// Who sent it.
    pub sender: Address,
    /// What it was.
    pub call: Call,
}

/// One block: its head, the state after it, the calls in it.
#[derive(Clone)]
struct Block {
    head: Head,
    book: Book,
    calls: Vec<Carried>,
}

struct Inner {
    /// The newest block last; the oldest that still counts as the latest at depth first.
    blocks: VecDeque<Block>,
    /// The calls in all blocks at depth, in order.
    carried: Vec<Carried>,
    /// How often blocks were taken back: other blocks have other hashes.
    forks: u64,
    /// One channel for each who watches the heads: who shares one is woken in an order that chance
    /// decides.
    watchers: Vec<watch::Sender<Head>>,
    /// The head they were told last.
    told: Head,
    depth: usize,
    calls: u64,
    gone: bool,
    lost_calls: u32,
    lost_answers: u32,
}

/// Money appeared or vanished, or a session counts wrongly: the sentences the simulation must never
/// see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Imbalance {
    /// What all hold is not what was minted.
    #[error("of token {token} {minted} were minted and {found} are found")]
    Token {
        /// The token.
        token: Address,
        /// Base units ever minted.
        minted: u128,
        /// Base units in wallets, balances, open deals and fees together.
        found: u128,
    },
    /// What a session counts is not what its deals hold and have cost.
    #[error("session {session} counts {used} as used and its deals hold and have cost {found}")]
    Session {
        /// The session.
        session: SessionId,
        /// Base units it counts.
        used: u128,
        /// Base units in its live deals, fees included, and spent by its settled ones.
        found: u128,
    },
}

impl Ledger {
    /// A ledger whose first block has the clock's time; `depth` blocks must follow one before it
    /// is seen.
    pub fn new(setup: Setup, depth: usize, clock: Arc<dyn Clock>) -> Self {
        let head = Head { number: 0, hash: block_hash(0, B256::ZERO, 0), time: clock.now() };
        let inner = Inner {
            blocks: VecDeque::from([Block {
                head,
                book: Book::new(setup.clone()),
                calls: Vec::new(),
            }]),
            carried: Vec::new(),
            forks: 0,
            watchers: Vec::new(),
            told: head,
            depth,
            calls: 0,
            gone: false,
            lost_calls: 0,
            lost_answers: 0,
        };
        Self { shared: Arc::new(Shared { clock, setup, inner: Mutex::new(inner) }) }
    }

    /// The handle of `sender`.
    pub fn seat(&self, sender: Address) -> Seat {
        Seat { ledger: self.clone(), sender }
    }

    /// Seal a block without calls at the clock's time.
    pub fn seal(&self) {
        let mut inner = self.inner();
        let head = inner.next_head(self.shared.clock.now());
        inner.seal(head);
        inner.publish();
    }

    /// Take back the newest blocks that are not seen yet, at most so many, as a chain does that is
    /// reorganised; empty ones take their place, and the calls in them never happened.
    pub fn reorganise(&self, blocks: usize) {
        let mut inner = self.inner();
        let kept = inner.blocks.len().saturating_sub(blocks).max(1);
        let times: Vec<UnixSeconds> = inner.blocks.drain(kept..).map(|it| it.head.time).collect();
        inner.forks += 1;
        for time in times {
            let head = inner.next_head(time);
            inner.seal(head);
        }
    }

    /// Take the connection away, or give it back.
    pub fn set_gone(&self, gone: bool) {
        let mut inner = self.inner();
        inner.gone = gone;
        inner.publish();
    }

    /// The next `count` calls get lost on their way: they change nothing and stay unconfirmed.
    pub fn lose_calls(&self, count: u32) {
        self.inner().lost_calls = count;
    }

    /// The next `count` accepted calls are carried out, but their senders do not hear of it.
    pub fn lose_answers(&self, count: u32) {
        self.inner().lost_answers = count;
    }

    /// Whether money is conserved in the newest block: for each token, wallets + balances + open
    /// deals + fees = minted; for each session, used = what its live deals hold + what its settled
    /// ones have cost.
    ///
    /// # Errors
    /// Names the first token or session for which it is not.
    pub fn check(&self) -> Result<(), Imbalance> {
        let inner = self.inner();
        let book = &inner.newest().book;
        if let Some((token, minted, found)) = book.totals().find(|(_, one, other)| one != other) {
            return Err(Imbalance::Token { token, minted, found });
        }
        match book.uses().find(|(_, one, other)| one != other) {
            Some((session, used, found)) => Err(Imbalance::Session { session, used, found }),
            None => Ok(()),
        }
    }

    /// The network's fees accrued in `token` and not collected, in the newest block.
    pub fn fees(&self, token: Address) -> Amount {
        self.inner().newest().book.fees(token)
    }

    /// The calls in all blocks at depth, in order, without the first `from` of them.
    pub fn carried(&self, from: usize) -> Vec<Carried> {
        self.inner().carried.get(from..).unwrap_or_default().to_vec()
    }

    /// The slot of a deal at depth, and how it was settled, whether the connection is there or not.
    pub fn peek(&self, deal: DealId) -> (Slot, Option<Closing>) {
        let inner = self.inner();
        let book = &inner.seen().book;
        (book.slot(deal), book.closing(deal))
    }

    /// The number of the newest block, seen or not.
    pub fn height(&self) -> u64 {
        self.inner().newest().head.number
    }

    /// The time of the newest block, seen or not.
    pub fn time(&self) -> UnixSeconds {
        self.inner().newest().head.time
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the maps whole: calls change them only after their last check.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> watch::Receiver<Head> {
        let mut inner = self.inner();
        let (sender, receiver) = watch::channel(inner.told);
        inner.watchers.retain(|watcher| !watcher.is_closed());
        inner.watchers.push(sender);
        receiver
    }

    fn read<T>(&self, what: &str, look: impl FnOnce(&Head, &Book) -> T) -> Result<T, Error> {
        let inner = self.inner();
        if inner.gone {
            return Err(unreachable(what));
        }
        let Block { head, book, .. } = inner.seen();
        Ok(look(head, book))
    }

    fn apply(&self, call: &Call, sender: Address) -> Result<Sent, Error> {
        let mut inner = self.inner();
        if inner.gone {
            return Err(unreachable(call.name()));
        }
        inner.calls += 1;
        let tx = keccak256([b"transaction".as_slice(), &inner.calls.to_be_bytes()].concat());
        if inner.lost_calls > 0 {
            inner.lost_calls -= 1;
            return Err(Error::Unconfirmed { tx, why: "it was lost on its way".into() });
        }
        let head = inner.next_head(self.shared.clock.now());
        let context = Context { sender, tx, block: head.number, at: head.time };
        let mined = match inner.carry_out(call, head, context) {
            Ok(mined) => mined,
            Err(refusal) => return Ok(Sent::Refused(refusal)),
        };
        inner.publish();
        if inner.lost_answers > 0 {
            inner.lost_answers -= 1;
            return Err(Error::Unconfirmed { tx, why: "the answer was lost".into() });
        }
        Ok(Sent::Done(mined))
    }
}

impl Inner {
    fn newest(&self) -> &Block {
        self.blocks.back().expect("there is a first block and the last one is never removed")
    }

    fn seen(&self) -> &Block {
        self.blocks.front().expect("there is a first block and the last one is never removed")
    }

    /// Tell who watches of the latest block at depth, unless the connection is gone.
    fn publish(&mut self) {
        if !self.gone {
            self.told = self.seen().head;
            let seen = self.told;
            self.watchers.retain(|watcher| !watcher.is_closed());
            for watcher in &self.watchers {
                watcher.send_if_modified(|head| std::mem::replace(head, seen) != seen);
            }
        }
    }

    fn next_head(&self, now: UnixSeconds) -> Head {
        let (parent, forks) = (self.newest().head, self.forks);
        let number = parent.number + 1;
        Head { number, hash: block_hash(number, parent.hash, forks), time: parent.time.max(now) }
    }

    fn seal(&mut self, head: Head) {
        match self.blocks.back_mut() {
            Some(newest) if self.depth == 0 => newest.head = head,
            _ => {
                let book = self.newest().book.clone();
                self.push(Block { head, book, calls: Vec::new() });
            }
        }
    }

    fn carry_out(&mut self, call: &Call, head: Head, context: Context) -> Result<Mined, Refusal> {
        let Context { sender, tx, block, at } = context;
        let mined = |skipped| Mined { tx, block, at, skipped };
        let carried = |mined: &Mined| Carried { mined: mined.clone(), sender, call: call.clone() };
        if self.depth == 0
            && let Some(newest) = self.blocks.back_mut()
        {
            // Nobody looks back: a refused call changes nothing, an accepted one makes the block.
            let mined = mined(newest.book.apply(call, context)?);
            newest.head = head;
            self.carried.push(carried(&mined));
            return Ok(mined);
        }
        let mut book = self.newest().book.clone();
        let mined = mined(book.apply(call, context)?);
        self.push(Block { head, book, calls: vec![carried(&mined)] });
        Ok(mined)
    }

    fn push(&mut self, block: Block) {
        self.blocks.push_back(block);
        if self.blocks.len() > self.depth + 1 {
            self.blocks.pop_front();
            let seen = self.blocks.front_mut().map(|it| std::mem::take(&mut it.calls));
            self.carried.extend(seen.unwrap_or_default());
        }
    }

    /// Whether a call lies at depth.
    fn is_carried(&self, tx: B256) -> bool {
        self.carried.iter().rev().any(|it| it.mined.tx == tx)
    }
}

fn block_hash(number: u64, parent: B256, forks: u64) -> B256 {
    let (number, forks) = (number.to_be_bytes(), forks.to_be_bytes());
    keccak256([number.as_slice(), parent.as_slice(), forks.as_slice()].concat())
}

fn unreachable(what: &str) -> Error {
    let why = "the connection was taken away".to_owned();
    let source = RpcError::Unreachable { endpoint: "the ledger in memory".into(), why };
    Error::Rpc { operation: what.to_owned(), source }
}

#[async_trait]
impl Settlement for Seat {
    fn sender(&self) -> Address {
        self.sender
    }

    fn escrow(&self) -> Domain {
        self.ledger.shared.setup.escrow
    }

    fn plaza(&self) -> Domain {
        self.ledger.shared.setup.plaza
    }

    fn providers(&self) -> Domain {
        self.ledger.shared.setup.providers
    }

    fn windows(&self) -> Windows {
        self.ledger.shared.setup.windows
    }

    fn heads(&self) -> watch::Receiver<Head> {
        self.ledger.watch()
    }

    async fn head(&self) -> Result<Head, Error> {
        self.ledger.read("reading the head", |head, _| *head)
    }

    async fn slot(&self, deal: DealId) -> Result<Slot, Error> {
        self.ledger.read("reading a slot", |_, book| book.slot(deal))
    }

    async fn opening(&self, deal: DealId) -> Result<Option<Opening>, Error> {
        self.ledger.read("reading an opening", |_, book| book.opening(deal))
    }

    async fn closing(&self, deal: DealId) -> Result<Option<Closing>, Error> {
        self.ledger.read("reading a closing", |_, book| book.closing(deal))
    }

    async fn session(&self, session: SessionId) -> Result<SessionUse, Error> {
        self.ledger.read("reading a session", |_, book| book.session(session))
    }

    async fn admission(&self, token: Address) -> Result<Admission, Error> {
        self.ledger.read("reading the admission", |head, book| Admission {
            present: true,
            fee: book.fee(),
            listed: book.is_listed(token),
            paused: book.is_paused(head.time),
        })
    }

    async fn is_authorised(&self, provider: Address, key: Address) -> Result<bool, Error> {
        self.ledger.read("reading a key's provider", |_, book| book.is_authorised(provider, key))
    }

    async fn balances(&self, token: Address, account: Address) -> Result<Balances, Error> {
        self.ledger.read("reading balances", |_, book| Balances {
            wallet: book.wallet(token, account),
            escrow: book.balance(token, account),
            native: 0,
        })
    }

    async fn send(&self, call: Call) -> Result<Sent, Error> {
        let mut heads = self.heads();
        let sent = self.ledger.apply(&call, self.sender)?;
        if let Sent::Done(mined) = &sent {
            let seen = heads.wait_for(|head| head.number >= mined.block).await;
            seen.map_err(|_| Error::Closed { account: self.sender })?;
            if !self.ledger.inner().is_carried(mined.tx) {
                let why = "its block was taken back".into();
                return Err(Error::Unconfirmed { tx: mined.tx, why });
            }
        }
        Ok(sent)
    }
}

impl Setup {
    /// A network for simulations and tests: contracts at fixed addresses on a local chain id.
    pub fn fake(windows: Windows, fee: primitives::BasisPoints, owner: Address) -> Self {
        let domain =
            |byte| Domain { chain_id: 7_700_000_001, contract: Address::repeat_byte(byte) };
        Self {
            plaza: domain(0xa1),
            providers: domain(0xa2),
            escrow: domain(0xa3),
            windows,
            token: Address::repeat_byte(0xa4),
            token_domain: market::document::TokenDomain {
                name: "Test Dollar".into(),
                version: "1".into(),
            },
            fee,
            highest_fee: primitives::BasisPoints(1_000),
            owner,
        }
    }
}
