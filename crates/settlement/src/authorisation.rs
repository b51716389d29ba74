//! The digest that only the contracts check: a key's consent to serve a provider.
//!
//! The digests of documents and intents are `market::document`'s.

use alloy_sol_types::{SolStruct, sol};
use market::Domain;
use primitives::{Address, B256, keccak256};

sol! {
    /// A hot key's consent to sign for a provider.
    struct Authorization {
        address provider;
        address key;
    }
}

/// What a hot key signs to serve `provider` (under the domain of `Providers`).
///
/// EIP-712: `keccak256(0x1901 || separator || hash of the struct)`.
pub fn authorisation_digest(providers: &Domain, provider: Address, key: Address) -> B256 {
    let separator = providers.separator();
    let hash = Authorization { provider, key }.eip712_hash_struct();
    keccak256([[0x19, 0x01].as_slice(), separator.as_slice(), hash.as_slice()].concat())
}
