//! Fresh words in place of randomness: a counter under a seed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use primitives::{B256, keccak256};

/// Gives a new word at each call; the same seed gives the same words.
#[derive(Debug)]
pub struct Words {
    seed: B256,
    drawn: AtomicU64,
}

impl Words {
    /// The words of a seed.
    pub fn new(seed: u64) -> Self {
        Self::of(&[&seed.to_be_bytes()])
    }

    /// The words of a seed in several parts, each of a fixed length.
    pub fn of(parts: &[&[u8]]) -> Self {
        Self { seed: keccak256(parts.concat()), drawn: AtomicU64::new(0) }
    }

    /// The next word.
    pub fn draw(&self) -> B256 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        keccak256([self.seed.as_slice(), &count.to_be_bytes()].concat())
    }

    /// A number below `bound`, all about equally often; zero when there is none.
    pub fn below(&self, bound: u64) -> u64 {
        let mut low = [0; 8];
        low.copy_from_slice(&self.draw()[..8]);
        u64::from_be_bytes(low).checked_rem(bound).unwrap_or(0)
    }

    /// Whether something happens that happens so often in a hundred times.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        let count = u64::try_from(choices.len()).expect("a small list");
        choices[usize::try_from(self.below(count)).expect("below the length of a list")]
    }

    /// The words as the workshops take them.
    pub fn source(self) -> Arc<dyn Fn() -> B256 + Send + Sync> {
        Arc::new(move || self.draw())
    }
}
