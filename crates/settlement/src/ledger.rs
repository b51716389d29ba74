//! The fake: a deterministic ledger in memory with real rules, real signatures and chosen faults.
//!
//! Upon an accepted call: a block is sealed at max(parent, clock). Upon a refused one: nothing.
//! Blocks without calls come by [`Ledger::seal`], so that a test decides when time passes.
//! Faults: the connection is gone; the next calls, or the answers to them, are lost; blocks become
//! visible only when others follow.
//!
//! Invariant: [`Ledger::check`] holds after every call.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use market::{
    Domain, Slot,
    escrow::Windows,
    fact::{Closing, Opening},
};
use primitives::{Address, Amount, B256, Clock, DealId, UnixSeconds, keccak256};
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
    heads: watch::Sender<Head>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// The newest block last; the oldest that still counts as the latest at depth first.
    blocks: VecDeque<(Head, Book)>,
    depth: usize,
    calls: u64,
    gone: bool,
    lost_calls: u32,
    lost_answers: u32,
}

/// Money appeared or vanished: the sentence the simulation must never see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("of token {token} {minted} were minted and {found} are found")]
pub struct Imbalance {
    /// The token.
    pub token: Address,
    /// Base units ever minted.
    pub minted: u128,
    /// Base units in wallets, balances, open deals and fees together.
    pub found: u128,
}

impl Ledger {
    /// A ledger whose first block has the clock's time; `depth` blocks must follow one before it
    /// is seen.
    pub fn new(setup: Setup, depth: usize, clock: Arc<dyn Clock>) -> Self {
        let head = Head { number: 0, hash: block_hash(0, B256::ZERO), time: clock.now() };
        let inner = Inner {
            blocks: VecDeque::from([(head, Book::new(setup.clone()))]),
            depth,
            calls: 0,
            gone: false,
            lost_calls: 0,
            lost_answers: 0,
        };
        let (heads, _) = watch::channel(head);
        Self { shared: Arc::new(Shared { clock, setup, heads, inner: Mutex::new(inner) }) }
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
        self.publish(&inner);
    }

    /// Take the connection away, or give it back.
    pub fn set_gone(&self, gone: bool) {
        let mut inner = self.inner();
        inner.gone = gone;
        self.publish(&inner);
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
    /// deals + fees = minted.
    ///
    /// # Errors
    /// Names the first token for which it is not.
    pub fn check(&self) -> Result<(), Imbalance> {
        let inner = self.inner();
        let mut totals = inner.newest().1.totals();
        match totals.find(|(_, minted, found)| minted != found) {
            Some((token, minted, found)) => Err(Imbalance { token, minted, found }),
            None => Ok(()),
        }
    }

    /// The network's fees accrued in `token` and not collected, in the newest block.
    pub fn fees(&self, token: Address) -> Amount {
        self.inner().newest().1.fees(token)
    }

    /// The number of the newest block, seen or not.
    pub fn height(&self) -> u64 {
        self.inner().newest().0.number
    }

    /// The time of the newest block, seen or not.
    pub fn time(&self) -> UnixSeconds {
        self.inner().newest().0.time
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the maps whole: calls change them only after their last check.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, inner: &Inner) {
        if !inner.gone {
            let seen = inner.seen().0;
            self.shared.heads.send_if_modified(|head| std::mem::replace(head, seen) != seen);
        }
    }

    fn read<T>(&self, what: &str, look: impl FnOnce(&Head, &Book) -> T) -> Result<T, Error> {
        let inner = self.inner();
        if inner.gone {
            return Err(unreachable(what));
        }
        let (head, book) = inner.seen();
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
        let mined = Mined { tx, block: head.number, at: head.time };
        if let Err(refusal) = inner.carry_out(call, head, Context { sender, mined }) {
            return Ok(Sent::Refused(refusal));
        }
        self.publish(&inner);
        if inner.lost_answers > 0 {
            inner.lost_answers -= 1;
            return Err(Error::Unconfirmed { tx, why: "the answer was lost".into() });
        }
        Ok(Sent::Done(mined))
    }
}

impl Inner {
    fn newest(&self) -> &(Head, Book) {
        self.blocks.back().expect("there is a first block and the last one is never removed")
    }

    fn seen(&self) -> &(Head, Book) {
        self.blocks.front().expect("there is a first block and the last one is never removed")
    }

    fn next_head(&self, now: UnixSeconds) -> Head {
        let parent = self.newest().0;
        let number = parent.number + 1;
        Head { number, hash: block_hash(number, parent.hash), time: parent.time.max(now) }
    }

    fn seal(&mut self, head: Head) {
        match self.blocks.back_mut() {
            Some((newest, _)) if self.depth == 0 => *newest = head,
            _ => {
                let book = self.newest().1.clone();
                self.push(head, book);
            }
        }
    }

    fn carry_out(&mut self, call: &Call, head: Head, context: Context) -> Result<(), Refusal> {
        if self.depth == 0
            && let Some((newest, book)) = self.blocks.back_mut()
        {
            // Nobody looks back: a refused call changes nothing, an accepted one makes the block.
            book.apply(call, context)?;
            *newest = head;
            return Ok(());
        }
        let mut book = self.newest().1.clone();
        book.apply(call, context)?;
        self.push(head, book);
        Ok(())
    }

    fn push(&mut self, head: Head, book: Book) {
        self.blocks.push_back((head, book));
        if self.blocks.len() > self.depth + 1 {
            self.blocks.pop_front();
        }
    }
}

fn block_hash(number: u64, parent: B256) -> B256 {
    keccak256([number.to_be_bytes().as_slice(), parent.as_slice()].concat())
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
        self.ledger.shared.heads.subscribe()
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
