//! A gateway under a test's control, for the real provider: it signs when it likes.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use market::{
    Domain, Receipt, Signed,
    message::{Countersign, CountersignAnswer, Done, Listed, Missing, Printed, ToGateway},
};
use net::{Incoming, Simulated, Transport as _};
use primitives::{Address, Key};
use tokio::task::JoinSet;

use crate::{
    town::{Town, key, peer},
    wire,
};

/// A keeper while it is up.
pub struct Keeper {
    /// Its line to the provider.
    pub wire: Arc<Simulated>,
    /// The key that co-signs.
    pub signer: Key,
    /// Its account.
    pub account: Address,
    mood: Arc<Mutex<Mood>>,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

/// How a keeper answers receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It co-signs everything.
    Signs,
    /// It signs with a key that is not the renter key.
    SignsWithAnotherKey,
    /// It puts the provider off.
    NotYet,
    /// It says that it has so many samples.
    BehindFor(u64),
}

#[derive(Default)]
struct Seen {
    receipts: AtomicU64,
    /// Running time it has signed for.
    signed: AtomicU64,
    terminals: Mutex<Vec<Signed<Receipt>>>,
}

impl Keeper {
    /// A keeper that co-signs everything, under the names of a gateway called `gateway`.
    pub fn start(town: &Town) -> Self {
        let wire = Arc::new(town.network.join(&peer("gateway")));
        let mood = Arc::new(Mutex::new(Mood::Signs));
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(wire.clone(), mood.clone(), seen.clone(), town.escrow()));
        Self { wire, signer: key(101), account: key(100).address(), mood, seen, _tasks: tasks }
    }

    /// Answer receipts like this from now on.
    pub fn set(&self, mood: Mood) {
        *locked(&self.mood) = mood;
    }

    /// How many receipts it was asked about.
    pub fn asked(&self) -> u64 {
        self.seen.receipts.load(Ordering::Relaxed)
    }

    /// Running time in seconds that it has signed for.
    pub fn signed_seconds(&self) -> u64 {
        self.seen.signed.load(Ordering::Relaxed)
    }

    /// The different terminal receipts it was asked to sign.
    pub fn terminals(&self) -> usize {
        locked(&self.seen.terminals).len()
    }
}

async fn serve(wire: Arc<Simulated>, mood: Arc<Mutex<Mood>>, seen: Arc<Seen>, escrow: Domain) {
    let pen = key(101);
    while let Some(Incoming { message, reply, .. }) = wire.accept().await {
        let answer = match serde_json::from_slice(&message.header) {
            Ok(ToGateway::Announce(_)) => wire::message(&Listed::Listed),
            Ok(ToGateway::Progress { .. }) => wire::message(&Done::Done),
            Ok(ToGateway::Countersign(ask)) => {
                let mood = *locked(&mood);
                wire::message(&answered(mood, &seen, &ask, &pen, &escrow))
            }
            Ok(ToGateway::Print { offset, .. }) => {
                let piece = message.body.collect(1 << 20).await.unwrap_or_default();
                wire::message(&Printed { next: offset + piece.len() as u64, full: false })
            }
            Ok(ToGateway::Missing { .. }) => wire::message(&Missing { blobs: Vec::new() }),
            _ => wire::message(&Done::Refused { why: "not here".to_owned() }),
        };
        // A provider that went away asks again.
        drop(reply.send(answer).await);
    }
}

fn answered(
    mood: Mood,
    seen: &Seen,
    ask: &Countersign,
    pen: &Key,
    escrow: &Domain,
) -> CountersignAnswer {
    let receipt = &ask.receipt;
    seen.receipts.fetch_add(1, Ordering::Relaxed);
    if receipt.document.outcome.is_terminal() {
        let mut terminals = locked(&seen.terminals);
        if !terminals.contains(receipt) {
            terminals.push(receipt.clone());
        }
    }
    let digest = receipt.document.digest(escrow);
    match mood {
        Mood::Signs => {
            seen.signed.store(receipt.document.seconds.0, Ordering::Relaxed);
            CountersignAnswer::Signed { signature: pen.sign(digest) }
        }
        Mood::SignsWithAnotherKey => CountersignAnswer::Signed { signature: key(77).sign(digest) },
        Mood::NotYet => CountersignAnswer::NotYet,
        Mood::BehindFor(samples) => CountersignAnswer::Behind { samples },
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
