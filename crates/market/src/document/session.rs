//! A renter's leave for one key to open deals, and one signature for many documents.

use alloy_primitives::aliases::{U40, U96};
use alloy_sol_types::{SolStruct, sol};
use primitives::{Address, Amount, B256, Key, Rate, SessionId, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::domain::{Domain, Signed};

/// A renter's leave for one key to open deals and top them up, up to a cap; signed by the renter
/// under the escrow's domain. A renter can lose the cap at most, if the key's holder and a provider
/// work together against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account that pays.
    pub renter: Address,
    /// May open and top up; the `renterKey` of every deal in the session.
    pub key: Address,
    /// The token of its deals.
    pub token: Address,
    /// The most that may be out at any time: held in live deals and spent in settled ones.
    pub cap: Amount,
    /// Dearer deals are refused.
    pub max_rate: Rate,
    /// Before then the key may act.
    pub expiry: UnixSeconds,
    /// Tells apart sessions that are otherwise equal.
    pub salt: B256,
}

mod wire {
    //! The same with Solidity's types and order of members.

    use alloy_sol_types::sol;

    sol! {
        struct Session {
            address renter;
            address key;
            address token;
            uint96 cap;
            uint96 maxRatePerHour;
            uint40 expiry;
            bytes32 salt;
        }
    }
}

sol! {
    /// One side's consent to several documents at once.
    struct Batch {
        bytes32[] documents;
    }
}

impl Session {
    /// What the renter signs; names the session here and on the chain.
    pub fn id(&self, escrow: &Domain) -> SessionId {
        let wire = wire::Session {
            renter: self.renter,
            key: self.key,
            token: self.token,
            cap: U96::saturating_from(self.cap.units()),
            maxRatePerHour: U96::saturating_from(self.max_rate.units_per_hour()),
            expiry: U40::saturating_from(self.expiry.0),
            salt: self.salt,
        };
        SessionId(wire.eip712_signing_hash(&escrow.eip712()))
    }

    /// Sign it, as the renter.
    pub fn signed(self, escrow: &Domain, renter: &Key) -> Signed<Self> {
        Signed { signature: renter.sign(self.id(escrow).0), document: self }
    }
}

impl Signed<Session> {
    /// Whether the renter itself signed it with a plain key. A contract wallet's word is known to
    /// the chain alone.
    pub fn is_granted(&self, escrow: &Domain) -> bool {
        self.signature.is_by(self.document.renter, self.document.id(escrow).0)
    }
}

/// What a side signs to consent to each of `documents`, the ids of terms or the digests of receipts,
/// in this order.
pub fn batch(documents: Vec<B256>, escrow: &Domain) -> B256 {
    Batch { documents }.eip712_signing_hash(&escrow.eip712())
}
