//! Why the contracts refuse a call: a value that the caller decides on, never a failure.

use std::fmt;

use market::{escrow::Revert, session::Breach};

/// Why a call was refused. Two refusals are equal when their reasons are; the words differ between
/// implementations.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason, in the words of the deal protocol.
    pub reason: Reason,
    /// The contract's own error with its arguments, for people: `AmountAboveLocked(12, 10)`.
    pub error: String,
}

/// Reasons of the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The state table says no. `WrongState` on an open means "already open", on an exit "already
    /// settled": success for whoever looks at the slot.
    #[error(transparent)]
    Table(Revert),
    /// The session does not allow it.
    #[error(transparent)]
    Session(Breach),
    /// The terms ask for what this escrow never carries: a zero key, a number too large, a session
    /// without its document.
    #[error("the escrow never carries such terms")]
    Terms,
    /// The renter's side has not agreed.
    #[error("the renter's side has not agreed")]
    RenterConsent,
    /// The provider's side has not agreed.
    #[error("the provider's side has not agreed")]
    ProviderConsent,
    /// The account has not signed the intent.
    #[error("the account has not signed that")]
    AccountConsent,
    /// The intent is late or used, or its signer cannot pay the fee it states.
    #[error("the intent does not hold")]
    Intent,
    /// A batch has 1 to 200 items.
    #[error("a batch has 1 to 200 items")]
    BatchSize,
    /// The call belongs to another account than the sender.
    #[error("the sender is not the party that may do this")]
    Sender,
    /// The provider has not authorised the key it bids with, or the key serves another.
    #[error("the provider key is not authorised for the provider")]
    ProviderKey,
    /// Opens are paused.
    #[error("the network has paused opens")]
    Paused,
    /// The network does not take this token.
    #[error("the network does not list the token")]
    Token,
    /// The terms state another fee than the network's present one.
    #[error("the terms do not state the network's present fee")]
    Fee,
    /// Deals are opened in another escrow at present.
    #[error("deals are opened in another escrow at present")]
    OtherEscrow,
    /// The account has less than that.
    #[error("the account has less money than that")]
    Funds,
    /// The token authorisation is wrong, used or out of its time.
    #[error("the token's authorisation does not hold")]
    Authorization,
    /// Money cannot go to that account.
    #[error("money cannot go to that account")]
    Receiver,
    /// Anything else a contract may say.
    #[error("the contract refused the call")]
    Other,
}

impl Refusal {
    /// Whether the state table has no such call in the deal's state: someone was faster, or the
    /// same call was sent before.
    pub fn is_wrong_state(&self) -> bool {
        self.reason == Reason::Table(Revert::WrongState)
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, error: format!("{reason:?}") }
    }
}

impl From<Revert> for Refusal {
    fn from(revert: Revert) -> Self {
        Self { reason: Reason::Table(revert), error: format!("{revert:?}") }
    }
}

impl From<Breach> for Refusal {
    fn from(breach: Breach) -> Self {
        Self { reason: Reason::Session(breach), error: format!("{breach:?}") }
    }
}

impl PartialEq for Refusal {
    fn eq(&self, other: &Self) -> bool {
        self.reason == other.reason
    }
}

impl Eq for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.error)
    }
}

impl std::error::Error for Refusal {}
