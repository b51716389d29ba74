//! The meter: an append-only root over a run's samples.
//!
//! A Merkle mountain range: perfect binary trees of falling height, whose peaks are joined from
//! the right. Whoever holds the peaks can append without the old samples and check that a new
//! root extends the old one; any single sample can be proven to a contract by a path of
//! logarithmic length (pairs are sorted, leaves hashed twice, as in `primitives::merkle_root`).
//! The root of no samples is zero.

use primitives::{B256, Sample, merkle_join, merkle_leaf};
use serde::{Deserialize, Serialize};

/// The peaks over all samples so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    count: u64,
    peaks: Vec<B256>,
}

impl Meter {
    /// Take the next sample.
    pub fn push(&mut self, sample: &Sample) {
        let mut node = merkle_leaf(&record(sample));
        let mut rest = self.count;
        while rest & 1 == 1 {
            let left = self.peaks.pop().expect("each set bit of the count has its peak");
            node = merkle_join(left, node);
            rest >>= 1;
        }
        self.peaks.push(node);
        self.count += 1;
    }

    /// The meter after these samples.
    #[must_use]
    pub fn extended(mut self, samples: &[Sample]) -> Self {
        for sample in samples {
            self.push(sample);
        }
        self
    }

    /// How many samples it covers.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The root that receipts carry.
    pub fn root(&self) -> B256 {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| merkle_join(left, right))
            .unwrap_or_default()
    }
}

fn record(sample: &Sample) -> [u8; 40] {
    let words = [sample.at_ms, sample.cpu_ms, sample.memory.0, sample.peak.0, sample.fuel.0];
    let mut bytes = [0; 40];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use primitives::merkle_root;

    use super::*;

    fn samples(count: u64) -> Vec<Sample> {
        (0..count).map(|at_ms| Sample { at_ms, ..Sample::default() }).collect()
    }

    #[test]
    fn nothing_sampled_has_the_zero_root() {
        assert_eq!(Meter::default().root(), B256::ZERO);
    }

    #[test]
    fn appending_in_pieces_gives_the_root_of_the_whole() {
        for count in 0..70 {
            let all = samples(count);
            let whole = Meter::default().extended(&all);
            for cut in 0..all.len() {
                let pieces = Meter::default().extended(&all[..cut]).extended(&all[cut..]);
                assert_eq!(pieces, whole, "{count} samples cut at {cut}");
            }
        }
    }

    #[test]
    fn a_full_range_is_an_ordinary_merkle_tree() {
        let all = samples(16);
        let tree = merkle_root(all.iter().map(|sample| merkle_leaf(&record(sample))));
        assert_eq!(Meter::default().extended(&all).root(), tree.0);
    }

    #[test]
    fn another_reading_of_any_kind_gives_another_root() {
        let changes: [fn(&mut Sample); 5] = [
            |it| it.at_ms += 1,
            |it| it.cpu_ms += 1,
            |it| it.memory.0 += 1,
            |it| it.peak.0 += 1,
            |it| it.fuel.0 += 1,
        ];
        let before = Meter::default().extended(&samples(11)).root();
        for change in changes {
            let mut all = samples(11);
            change(&mut all[3]);
            assert_ne!(Meter::default().extended(&all).root(), before);
        }
    }
}
