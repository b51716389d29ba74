//! The digests that only the contracts check: stop, contest, and a key's consent to serve.
//!
//! The digests of offers, orders, terms and receipts are `market::document`'s.

use alloy_primitives::aliases::{U40, U96};
use alloy_sol_types::{SolStruct, sol};
use market::Domain;
use primitives::{Address, B256, DealId, keccak256};

sol! {
    /// Ends a deal from the renter's side.
    struct Stop {
        bytes32 deal;
        uint64 nonce;
        uint40 deadline;
        uint96 fee;
    }

    /// Refuses the seconds claimed beyond the floor.
    struct Contest {
        bytes32 deal;
        uint64 nonce;
        uint40 deadline;
        uint96 fee;
    }

    /// A hot key's consent to sign for a provider.
    struct Authorization {
        address provider;
        address key;
    }
}

/// What an intent carries that may be sent for ever and for nothing.
pub(crate) struct Freely {
    pub(crate) nonce: u64,
    pub(crate) deadline: U40,
    pub(crate) fee: U96,
}

impl Freely {
    pub(crate) const fn new() -> Self {
        Self { nonce: 0, deadline: U40::MAX, fee: U96::ZERO }
    }
}

/// What the renter key signs so that anyone may stop its deal (under the escrow's domain).
pub fn stop_digest(escrow: &Domain, deal: DealId) -> B256 {
    let Freely { nonce, deadline, fee } = Freely::new();
    digest(escrow, &Stop { deal: deal.0, nonce, deadline, fee })
}

/// What the renter key signs so that anyone may contest the claim on its deal (under the escrow's
/// domain).
pub fn contest_digest(escrow: &Domain, deal: DealId) -> B256 {
    let Freely { nonce, deadline, fee } = Freely::new();
    digest(escrow, &Contest { deal: deal.0, nonce, deadline, fee })
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
