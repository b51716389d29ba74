//! Randomness for a module: the kernel's, or for deterministic runs a stream that is always the same.

use primitives::Digest;
use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

use super::guest::Error;

/// Where random bytes come from.
pub(super) enum Dice {
    /// The kernel.
    Fair,
    /// SHA-256 of a label and a number that counts up; what is left of the last block.
    Fixed { next: u64, left: Vec<u8> },
}

const LABEL: &[u8] = b"plaza deterministic randomness";

impl Dice {
    pub(super) fn new(deterministic: bool) -> Self {
        if deterministic { Self::Fixed { next: 0, left: Vec::new() } } else { Self::Fair }
    }

    pub(super) fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Fair => {
                while !bytes.is_empty() {
                    match getrandom(&mut *bytes, GetRandomFlags::empty()) {
                        Ok(length) => bytes = &mut bytes[length..],
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
            }
            Self::Fixed { next, left } => {
                for byte in bytes {
                    if left.is_empty() {
                        *left = Digest::of(&[LABEL, &next.to_be_bytes()].concat()).0.to_vec();
                        *next += 1;
                    }
                    *byte = left.pop().unwrap_or_default();
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_randomness_is_one_stream_however_it_is_drawn() {
        let (mut one, mut other) = (Dice::new(true), Dice::new(true));
        let (mut whole, mut pieces) = ([0; 100], [0; 100]);
        one.fill(&mut whole).expect("filled");
        for piece in pieces.chunks_mut(7) {
            other.fill(piece).expect("filled");
        }
        assert_eq!(whole, pieces);
        assert_ne!(whole[..50], whole[50..]);
    }

    #[test]
    fn fair_randomness_is_another_each_time() {
        let mut dice = Dice::new(false);
        let (mut one, mut other) = ([0; 32], [0; 32]);
        dice.fill(&mut one).expect("filled");
        dice.fill(&mut other).expect("filled");
        assert_ne!(one, other);
    }
}
