//! Samples in a chain: each carries the digest over itself and everything before it.
//!
//! Upon a sample: head' = SHA-256(head || at_ms || cpu_ms || memory || peak || fuel), numbers as
//! eight bytes, most significant first; the first head is 32 zero bytes. Whoever holds an earlier head
//! and the samples since can check that nothing before was changed.

use primitives::{Digest, Sample};
use serde::{Deserialize, Serialize};

/// The head of a chain of samples, and how many it covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The digest over all samples so far; zero for none.
    pub head: Digest,
    /// How many there are.
    pub length: u64,
}

/// One sample with the head of the chain that ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The reading.
    #[serde(flatten)]
    pub sample: Sample,
    /// The head after it.
    pub chain: Digest,
}

impl Chain {
    /// The chain with one sample more, and the link as it is stored.
    pub fn extend(self, sample: Sample) -> (Self, Beat) {
        let Sample { at_ms, cpu_ms, memory, peak, fuel } = sample;
        let mut bytes = Vec::with_capacity(72);
        bytes.extend_from_slice(&self.head.0);
        for number in [at_ms, cpu_ms, memory.0, peak.0, fuel.0] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let head = Digest::of(&bytes);
        (Self { head, length: self.length + 1 }, Beat { sample, chain: head })
    }

    /// The chain after all `beats`, or the position of the first that does not follow from what
    /// stands before it.
    ///
    /// # Errors
    /// The position of the offender, counted from 0.
    pub fn follow(self, beats: &[Beat]) -> Result<Self, usize> {
        beats.iter().enumerate().try_fold(self, |chain, (position, beat)| {
            let (next, expected) = chain.extend(beat.sample);
            if expected.chain == beat.chain { Ok(next) } else { Err(position) }
        })
    }
}

#[cfg(test)]
mod tests {
    use primitives::Bytes;

    use super::*;

    fn beats(count: u64) -> Vec<Beat> {
        let mut chain = Chain::default();
        (0..count)
            .map(|second| {
                let sample = Sample { at_ms: second * 1_000, cpu_ms: second, ..Default::default() };
                let (next, beat) = chain.extend(sample);
                chain = next;
                beat
            })
            .collect()
    }

    #[test]
    fn a_chain_is_followed_from_any_head_on() {
        let all = beats(5);
        let whole = Chain::default().follow(&all).expect("unbroken");
        let half = Chain::default().follow(&all[..2]).expect("unbroken");
        assert_eq!(half.follow(&all[2..]), Ok(whole));
        assert_eq!(whole.length, 5);
    }

    #[test]
    fn a_changed_or_missing_sample_breaks_it_at_its_place() {
        let mut all = beats(5);
        all[3].sample.memory = Bytes(1);
        assert_eq!(Chain::default().follow(&all), Err(3));
        all.remove(1);
        assert_eq!(Chain::default().follow(&all), Err(1));
    }
}
