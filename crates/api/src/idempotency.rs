//! `Idempotency-Key`: which key came with which order.
//!
//! Upon a key seen before with another order: a conflict. Upon the same pair again: fine, the same
//! order is the same job.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::HeaderValue;
use primitives::JobId;

use crate::problem::Problem;

/// How many idempotency keys are remembered. The order itself names the job for ever; the key only
/// guards against a client that sends another order under the key of a former one.
const KEYS: usize = 4_096;

/// Which idempotency key came with which order, for the last few thousand.
#[derive(Clone, Default)]
pub(crate) struct Idempotency(Arc<Mutex<VecDeque<(HeaderValue, JobId)>>>);

impl Idempotency {
    /// Take `key` for `order`.
    pub(crate) fn claim(&self, key: Option<&HeaderValue>, order: JobId) -> Result<(), Problem> {
        let Some(key) = key else { return Ok(()) };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.iter().find(|(known, _)| known == key) {
            Some((_, former)) if *former != order => Err(Problem::conflict(format!(
                "this Idempotency-Key came with another order before, which is job {former}"
            ))),
            Some(_) => Ok(()),
            None => {
                if taken.len() == KEYS {
                    taken.pop_front();
                }
                taken.push_back((key.clone(), order));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use primitives::B256;

    use super::*;

    #[test]
    fn a_key_stands_for_one_order() {
        let keys = Idempotency::default();
        let key = HeaderValue::from_static("a");
        let [one, other] = [1, 2].map(|byte| JobId(B256::repeat_byte(byte)));
        assert_eq!(keys.claim(Some(&key), one), Ok(()));
        assert_eq!(keys.claim(Some(&key), one), Ok(()));
        assert_eq!(keys.claim(Some(&key), other).map_err(|problem| problem.status), Err(409));
        assert_eq!(keys.claim(None, other), Ok(()));
    }

    #[test]
    fn the_oldest_key_is_forgotten_first() {
        let keys = Idempotency::default();
        let order = |number: usize| JobId(B256::from(word_of(number)));
        for number in 0..=KEYS {
            let key = HeaderValue::from(number);
            assert_eq!(keys.claim(Some(&key), order(number)), Ok(()));
        }
        assert_eq!(keys.claim(Some(&HeaderValue::from(0)), order(9)), Ok(()));
        assert!(keys.claim(Some(&HeaderValue::from(KEYS)), order(9)).is_err());
    }

    fn word_of(number: usize) -> [u8; 32] {
        let mut word = [0; 32];
        word[..8].copy_from_slice(&number.to_be_bytes());
        word
    }
}
