//! The calls anyone can make on the network's contracts, and what comes of them.

use market::document::{Consent, Receipt, Terms};
use primitives::{Address, Amount, B256, BasisPoints, Seconds, Signature, UnixSeconds};

use crate::refusal::Refusal;

/// One call; the sender is the account behind [`crate::Settlement::sender`].
///
/// Where a side's signature is `None`, the sender has to be that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// None -> Open, by anyone with both consents.
    Open {
        /// What was agreed.
        terms: Terms,
        /// The provider key's signature over the terms.
        bid: Signature,
        /// The renter's consent, and where its money comes from.
        consent: Consent,
    },
    /// None -> Cancelled, by the renter.
    Cancel {
        /// The terms that shall never open.
        terms: Terms,
    },
    /// Lock more of the renter's balance, by the renter.
    TopUp {
        /// The deal.
        terms: Terms,
        /// How much more.
        more: Amount,
    },
    /// Raise the floor to a running receipt with both signatures, by anyone.
    Present {
        /// The deal.
        terms: Terms,
        /// The receipt.
        proof: Cosigned,
    },
    /// Open -> Stopped, by the renter's side.
    Stop {
        /// The deal.
        terms: Terms,
        /// The renter key's over [`crate::stop_digest`].
        signature: Option<Signature>,
    },
    /// Open or Stopped -> Claimed, sent by the provider or its key.
    Claim {
        /// The deal.
        terms: Terms,
        /// The last running receipt; none claims the floor as it is.
        proof: Option<Cosigned>,
        /// Seconds beyond the receipt, at most `grace`; 0 without a receipt.
        extra: Seconds,
    },
    /// Open, Stopped or Claimed -> Settled at a terminal receipt.
    Settle {
        /// The deal.
        terms: Terms,
        /// The terminal receipt.
        proof: Cosigned,
    },
    /// Claimed -> Settled at the floor, by the renter's side.
    Contest {
        /// The deal.
        terms: Terms,
        /// The renter key's over [`crate::contest_digest`].
        signature: Option<Signature>,
    },
    /// Stopped or Claimed -> Settled, by anyone after the window.
    Finalize {
        /// The deal.
        terms: Terms,
    },
    /// Open -> Settled at the floor, by anyone from D on.
    Expire {
        /// The deal.
        terms: Terms,
    },
    /// Move the sender's tokens into `account`'s balance inside the escrow.
    Deposit {
        /// The token.
        token: Address,
        /// Who is credited.
        account: Address,
        /// How much.
        amount: Amount,
    },
    /// The same by the account's signature ([`market::document::TokenDomain::deposit`]).
    DepositWithAuthorization {
        /// The token.
        token: Address,
        /// Whose tokens are deposited and who is credited.
        account: Address,
        /// How much.
        amount: Amount,
        /// The authorisation holds before this time.
        valid_before: UnixSeconds,
        /// What its nonce was made of.
        salt: B256,
        /// The account's.
        signature: Signature,
    },
    /// Send some of the sender's balance inside the escrow to `to`'s wallet.
    Withdraw {
        /// The token.
        token: Address,
        /// Who receives it.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// Send the fees accrued in a token to the receiver that the root contract names.
    Collect {
        /// The token.
        token: Address,
    },
    /// The sender becomes, or stays, the provider that the key serves.
    Register {
        /// The hot key.
        provider_key: Address,
        /// The hot key's over [`crate::authorisation_digest`].
        consent: Signature,
    },
    /// The key no longer serves the sender.
    Revoke {
        /// The hot key.
        provider_key: Address,
    },
    /// Make test dollars, by the owner of the test token.
    Mint {
        /// The test token.
        token: Address,
        /// Who receives them.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// Block opens for a span from now, by the owner or guardian; exits go on.
    PauseOpens {
        /// For how long, at most seven days.
        span: Seconds,
    },
    /// End a pause, by the owner.
    ResumeOpens,
    /// Set the fee of new terms, by the owner.
    SetFee {
        /// The fee.
        fee: BasisPoints,
    },
    /// List or delist a token for new deals, by the owner.
    List {
        /// The token.
        token: Address,
        /// Whether deals in it may be opened.
        listed: bool,
    },
}

/// A receipt with the sides' signatures; `None` where the sender is that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The receipt.
    pub receipt: Receipt,
    /// The renter key's signature.
    pub renter: Option<Signature>,
    /// The provider key's signature.
    pub provider: Option<Signature>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is sealed, at the network's depth.
    Done(Mined),
    /// The contracts refuse it; nothing changed.
    Refused(Refusal),
}

/// Where a transaction was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mined {
    /// The transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// That block's time.
    pub at: UnixSeconds,
}

impl Call {
    /// The call's name, as the contract has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Cancel { .. } => "cancel",
            Self::TopUp { .. } => "topUp",
            Self::Present { .. } => "present",
            Self::Stop { .. } => "stop",
            Self::Claim { .. } => "claim",
            Self::Settle { .. } => "settle",
            Self::Contest { .. } => "contest",
            Self::Finalize { .. } => "finalize",
            Self::Expire { .. } => "expire",
            Self::Deposit { .. } => "deposit",
            Self::DepositWithAuthorization { .. } => "depositWithAuthorization",
            Self::Withdraw { .. } => "withdraw",
            Self::Collect { .. } => "collect",
            Self::Register { .. } => "register",
            Self::Revoke { .. } => "revoke",
            Self::Mint { .. } => "mint",
            Self::PauseOpens { .. } => "pauseOpens",
            Self::ResumeOpens => "resumeOpens",
            Self::SetFee { .. } => "setFee",
            Self::List { .. } => "setListed",
        }
    }

    /// The terms of the deal the call is about, if it is about one.
    pub const fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Open { terms, .. }
            | Self::Cancel { terms }
            | Self::TopUp { terms, .. }
            | Self::Present { terms, .. }
            | Self::Stop { terms, .. }
            | Self::Claim { terms, .. }
            | Self::Settle { terms, .. }
            | Self::Contest { terms, .. }
            | Self::Finalize { terms }
            | Self::Expire { terms } => Some(terms),
            _ => None,
        }
    }

    /// Whether every number of the terms fits the width the contract gives it.
    pub(crate) fn is_encodable(&self) -> bool {
        let time = |at: UnixSeconds| at.0 < 1 << 40;
        self.terms().is_none_or(|terms| {
            time(terms.accept_by) && time(terms.expiry) && u16::try_from(terms.grace.0).is_ok()
        })
    }
}

impl Sent {
    /// Where it was sealed, if it was.
    pub const fn mined(&self) -> Option<&Mined> {
        match self {
            Self::Done(mined) => Some(mined),
            Self::Refused(_) => None,
        }
    }
}
