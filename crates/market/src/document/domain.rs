//! The contract and chain a document is signed for, and a document with its signature.

use alloy_primitives::U256;
use alloy_sol_types::Eip712Domain;
use primitives::{Address, B256, Signature};
use serde::{Deserialize, Serialize};

/// The contract and chain a document is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// The chain's id.
    pub chain_id: u64,
    /// The contract that checks the signature.
    pub contract: Address,
}

/// A document with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What was signed.
    pub document: T,
    /// Over its digest.
    pub signature: Signature,
}

impl Domain {
    pub(super) fn eip712(&self) -> Eip712Domain {
        Eip712Domain::new(
            Some("Plaza".into()),
            Some("1".into()),
            Some(U256::from(self.chain_id)),
            Some(self.contract),
            None,
        )
    }

    /// The domain separator, as the contract computes it.
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }
}
