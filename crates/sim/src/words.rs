//! Fresh words in place of randomness: a counter under a seed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use primitives::{B256, keccak256};

/// Gives a new word at each call; the same seed gives the same words.
#[derive(Debug)]
pub struct Words {
    seed: u64,
    drawn: AtomicU64,
}

impl Words {
    /// The words of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }

    /// The next word.
    pub fn draw(&self) -> B256 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        keccak256([self.seed.to_be_bytes(), count.to_be_bytes()].concat())
    }

    /// The words as the workshops take them.
    pub fn source(seed: u64) -> Arc<dyn Fn() -> B256 + Send + Sync> {
        let words = Self::new(seed);
        Arc::new(move || words.draw())
    }
}
