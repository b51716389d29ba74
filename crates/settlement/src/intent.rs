//! The digests that only the contracts check: stop, contest, and a key's consent to serve.
//!
//! The digests of offers, orders, terms and receipts are `market::document`'s.

use alloy_sol_types::{SolStruct, sol};
use market::Domain;
use primitives::{Address, B256, DealId, keccak256};

sol! {
    /// Ends a deal from the renter's side; needs no nonce, a deal is stopped once.
    struct Stop {
        bytes32 deal;
    }

    /// Refuses the seconds claimed beyond the floor; needs no nonce, a deal is claimed once.
    struct Contest {
        bytes32 deal;
    }

    /// A hot key's consent to sign for a provider.
    struct Authorization {
        address provider;
        address key;
    }
}

/// What the renter key signs so that anyone may stop its deal (under the escrow's domain).
pub fn stop_digest(escrow: &Domain, deal: DealId) -> B256 {
    digest(escrow, &Stop { deal: deal.0 })
}

/// What the renter key signs so that anyone may contest the claim on its deal (under the escrow's
/// domain).
pub fn contest_digest(escrow: &Domain, deal: DealId) -> B256 {
    digest(escrow, &Contest { deal: deal.0 })
}

/// What a hot key signs to serve `provider` (under the domain of `Providers`).
pub fn authorisation_digest(providers: &Domain, provider: Address, key: Address) -> B256 {
    digest(providers, &Authorization { provider, key })
}

/// EIP-712: `keccak256(0x1901 || separator || hash of the struct)`.
fn digest(domain: &Domain, document: &impl SolStruct) -> B256 {
    let separator = domain.separator();
    let hash = document.eip712_hash_struct();
    keccak256([[0x19, 0x01].as_slice(), separator.as_slice(), hash.as_slice()].concat())
}
