//! Fresh unpredictable words, from the system.

use primitives::{B256, Key};
use rand_core::{OsRng, RngCore as _};

/// 32 unpredictable bytes.
pub(crate) fn word() -> B256 {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    B256::new(bytes)
}

/// An unpredictable number.
pub(crate) fn number() -> u64 {
    OsRng.next_u64()
}

/// A new signing key.
pub(crate) fn key() -> Key {
    loop {
        // All but one in 2^127 words are keys.
        if let Ok(key) = Key::from_bytes(word().0) {
            return key;
        }
    }
}
