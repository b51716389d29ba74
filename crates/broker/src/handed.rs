//! What each deal has handed in since this process began.
//!
//! Upon a blob: it counts for the deal under which its bytes came, whoever else handed in the same
//! ones. So a deal's provider learns nothing of other deals' blobs and cannot name them as its own.
//!
//! Not here: the bytes (`store`); durability: after a restart everything counts as missing, and
//! comes again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use market::message::CountersignAnswer;
use primitives::{Bytes, DealId, Digest};
use tokio::sync::oneshot;

/// The intakes of all deals that still hand in.
#[derive(Default)]
pub(crate) struct Handed(Mutex<BTreeMap<DealId, Arc<Intake>>>);

/// What one deal hands in, and asks.
#[derive(Default)]
pub(crate) struct Intake {
    /// Held while a blob comes in: each sees the room that the one before has left.
    pub(crate) receiving: tokio::sync::Mutex<()>,
    /// Held while a piece of printed output is added, for the same reason.
    pub(crate) printing: tokio::sync::Mutex<()>,
    /// Held while a receipt is before the line, with its answer when its asker has gone meanwhile.
    pub(crate) asking: tokio::sync::Mutex<Option<oneshot::Receiver<CountersignAnswer>>>,
    taken: Mutex<BTreeMap<Digest, Bytes>>,
}

impl Handed {
    /// The intake of a deal. Those of deals that are not `open` any more are forgotten when a new
    /// one begins.
    pub(crate) fn intake(&self, deal: DealId, open: impl Fn(DealId) -> bool) -> Arc<Intake> {
        let mut intakes = locked(&self.0);
        if let Some(intake) = intakes.get(&deal) {
            return intake.clone();
        }
        intakes.retain(|deal, _| open(*deal));
        intakes.entry(deal).or_default().clone()
    }

    /// Every blob of every intake.
    pub(crate) fn blobs(&self) -> BTreeSet<Digest> {
        let intakes = locked(&self.0);
        intakes.values().flat_map(|it| it.blobs()).collect()
    }
}

impl Intake {
    /// Whether this blob came in under the deal.
    pub(crate) fn has(&self, blob: &Digest) -> bool {
        locked(&self.taken).contains_key(blob)
    }

    /// This blob came in.
    pub(crate) fn take(&self, blob: Digest, size: Bytes) {
        locked(&self.taken).insert(blob, size);
    }

    /// How much of `most` is left.
    pub(crate) fn room(&self, most: Bytes) -> Bytes {
        let taken = locked(&self.taken);
        Bytes(taken.values().fold(most.0, |left, size| left.saturating_sub(size.0)))
    }

    fn blobs(&self) -> Vec<Digest> {
        locked(&self.taken).keys().copied().collect()
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves the maps whole, so a panic elsewhere spoils nothing.
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use primitives::B256;

    use super::*;

    fn deal(number: u8) -> DealId {
        DealId(B256::repeat_byte(number))
    }

    #[test]
    fn a_blob_counts_once_and_only_for_its_deal() {
        let handed = Handed::default();
        let (one, other) = (handed.intake(deal(1), |_| true), handed.intake(deal(2), |_| true));
        let blob = Digest::of(b"blob");
        one.take(blob, Bytes(4));
        one.take(blob, Bytes(4));
        assert!(one.has(&blob) && !other.has(&blob));
        assert_eq!((one.room(Bytes(10)), other.room(Bytes(10))), (Bytes(6), Bytes(10)));
        assert_eq!(one.room(Bytes(3)), Bytes(0));
        assert_eq!(handed.blobs(), BTreeSet::from([blob]));
    }

    #[test]
    fn deals_that_are_over_are_forgotten_when_another_begins() {
        let handed = Handed::default();
        handed.intake(deal(1), |_| true).take(Digest::of(b"1"), Bytes(1));
        handed.intake(deal(2), |_| true).take(Digest::of(b"2"), Bytes(1));
        let _third = handed.intake(deal(3), |it| it == deal(2));
        assert_eq!(handed.blobs(), BTreeSet::from([Digest::of(b"2")]));
    }
}
