//! Intents towards the contracts: what an account signs for others to send, so that whoever has no
//! native coin can act.

use alloy_primitives::{
    U256,
    aliases::{U40, U96},
};
use alloy_sol_types::SolStruct;
use primitives::{Address, Amount, B256, DealId, Key, SessionId, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::domain::{Domain, Signed};

/// The last members of every intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Makes it differ from an otherwise equal one.
    pub nonce: u64,
    /// Until then it may be sent.
    pub deadline: UnixSeconds,
    /// To whoever sends it, out of the signer's money. A key that cannot spend the renter's money
    /// states none.
    pub fee: Amount,
}

/// What an intent is for. All but [`Purpose::Register`] are meant for the `Escrow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "for")]
pub enum Purpose {
    /// These terms never open; by the renter or its session key.
    Cancel {
        /// The deal.
        deal: DealId,
    },
    /// The renter's side ends the deal; by the renter or its key.
    Stop {
        /// The deal.
        deal: DealId,
    },
    /// The renter's side refuses the seconds claimed beyond the floor; by the renter or its key.
    Contest {
        /// The deal.
        deal: DealId,
    },
    /// More of the renter's balance is locked; by the renter or its session key.
    TopUp {
        /// The deal.
        deal: DealId,
        /// How much more.
        amount: Amount,
    },
    /// No deal in the session opens or grows from then on; by the renter.
    Revoke {
        /// The session.
        session: SessionId,
    },
    /// Some of the balance inside the escrow goes to a wallet; by the account.
    Withdraw {
        /// Whose balance.
        account: Address,
        /// The token.
        token: Address,
        /// How much.
        amount: Amount,
        /// Whose wallet.
        to: Address,
    },
    /// A hot key signs for the provider; by the provider, for the contract `Providers`.
    Register {
        /// The account that is paid.
        provider: Address,
        /// The hot key, whose own consent goes beside this.
        key: Address,
        /// What the fee is paid in.
        token: Address,
    },
}

mod wire {
    //! The same with Solidity's types and order of members.

    use alloy_sol_types::sol;

    sol! {
        struct Cancel { bytes32 deal; uint64 nonce; uint40 deadline; uint96 fee; }
        struct Stop { bytes32 deal; uint64 nonce; uint40 deadline; uint96 fee; }
        struct Contest { bytes32 deal; uint64 nonce; uint40 deadline; uint96 fee; }
        struct TopUp { bytes32 deal; uint96 amount; uint64 nonce; uint40 deadline; uint96 fee; }
        struct Revoke { bytes32 session; uint64 nonce; uint40 deadline; uint96 fee; }
        struct Withdraw {
            address account;
            address token;
            uint256 amount;
            address to;
            uint64 nonce;
            uint40 deadline;
            uint96 fee;
        }
        struct Register {
            address provider;
            address key;
            address token;
            uint64 nonce;
            uint40 deadline;
            uint96 fee;
        }
    }
}

impl Intent {
    /// An intent without a fee that holds for ever: for what can be done once anyway.
    pub const FREE: Self =
        Self { nonce: 0, deadline: UnixSeconds((1 << 40) - 1), fee: Amount::ZERO };
}

impl Purpose {
    /// What the account signs, for the contract that is called.
    pub fn digest(&self, contract: &Domain, intent: &Intent) -> B256 {
        let domain = contract.eip712();
        let nonce = intent.nonce;
        let deadline = U40::saturating_from(intent.deadline.0);
        let fee = U96::saturating_from(intent.fee.units());
        match *self {
            Self::Cancel { deal } => {
                wire::Cancel { deal: deal.0, nonce, deadline, fee }.eip712_signing_hash(&domain)
            }
            Self::Stop { deal } => {
                wire::Stop { deal: deal.0, nonce, deadline, fee }.eip712_signing_hash(&domain)
            }
            Self::Contest { deal } => {
                wire::Contest { deal: deal.0, nonce, deadline, fee }.eip712_signing_hash(&domain)
            }
            Self::TopUp { deal, amount } => {
                let amount = U96::saturating_from(amount.units());
                wire::TopUp { deal: deal.0, amount, nonce, deadline, fee }
                    .eip712_signing_hash(&domain)
            }
            Self::Revoke { session } => wire::Revoke { session: session.0, nonce, deadline, fee }
                .eip712_signing_hash(&domain),
            Self::Withdraw { account, token, amount, to } => {
                let amount = U256::from(amount.units());
                wire::Withdraw { account, token, amount, to, nonce, deadline, fee }
                    .eip712_signing_hash(&domain)
            }
            Self::Register { provider, key, token } => {
                wire::Register { provider, key, token, nonce, deadline, fee }
                    .eip712_signing_hash(&domain)
            }
        }
    }

    /// Sign an intent for this.
    pub fn signed(&self, contract: &Domain, intent: Intent, key: &Key) -> Signed<Intent> {
        Signed { signature: key.sign(self.digest(contract, &intent)), document: intent }
    }
}
