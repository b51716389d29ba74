//! The calls anyone can make on the network's contracts, and what comes of them.

use market::document::{Consent, Intent, Receipt, Session, Signed, Terms};
use primitives::{Address, Amount, B256, BasisPoints, DealId, Seconds, Signature, UnixSeconds};

use crate::refusal::Refusal;

/// One call; the sender is the account behind [`crate::Settlement::sender`].
///
/// Where a side's signature or intent is `None`, the sender has to be that side.
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
    /// None -> Open for 1 to 200 deals in sessions of one key, with the consent of each side to all
    /// of them ([`market::document::batch`] over the deals' ids). An item that could not be opened
    /// alone is skipped.
    OpenBatch {
        /// The terms of each deal, and which of `grants` it is opened in, counted from 0.
        openings: Vec<(Terms, usize)>,
        /// The sessions. Contract wallets grant theirs elsewhere.
        grants: Vec<Signed<Session>>,
        /// The session key's over the batch.
        renter: Option<Signature>,
        /// The provider key's over the batch.
        provider: Option<Signature>,
    },
    /// None -> Cancelled, by the renter, or by the session key that the terms name.
    Cancel {
        /// The terms that shall never open.
        terms: Terms,
        /// Theirs.
        intent: Option<Signed<Intent>>,
    },
    /// Lock more of the renter's balance, by the renter, or by the session key within the session.
    TopUp {
        /// The deal.
        terms: Terms,
        /// How much more.
        more: Amount,
        /// The session that the terms name, where its key acts.
        session: Option<Session>,
        /// Theirs.
        intent: Option<Signed<Intent>>,
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
        /// The renter's, or that of its key.
        intent: Option<Signed<Intent>>,
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
    /// The same for 1 to 200 deals with the consent of each side to all of them
    /// ([`market::document::batch`] over the receipts' digests). An item that could not be settled
    /// alone is skipped.
    SettleBatch {
        /// The deals and their terminal receipts.
        closings: Vec<(Terms, Receipt)>,
        /// The renter key's over the batch.
        renter: Option<Signature>,
        /// The provider key's over the batch.
        provider: Option<Signature>,
    },
    /// Claimed -> Settled at the floor, by the renter's side.
    Contest {
        /// The deal.
        terms: Terms,
        /// The renter's, or that of its key.
        intent: Option<Signed<Intent>>,
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
    /// The same for an account that signs instead of sending.
    WithdrawFor {
        /// Whose balance.
        account: Address,
        /// The token.
        token: Address,
        /// Who receives it.
        to: Address,
        /// How much, beside the fee.
        amount: Amount,
        /// The account's.
        intent: Signed<Intent>,
    },
    /// No deal in the session opens or grows from then on, by the renter.
    RevokeSession {
        /// The session.
        session: Session,
        /// The renter's.
        intent: Option<Signed<Intent>>,
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
    /// The same for a provider that signs instead of sending.
    RegisterFor {
        /// The account that is paid.
        provider: Address,
        /// The hot key.
        provider_key: Address,
        /// The hot key's over [`crate::authorisation_digest`].
        consent: Signature,
        /// What the fee is paid in.
        token: Address,
        /// The provider's.
        intent: Signed<Intent>,
        /// The provider's over [`market::document::TokenDomain::relay`]; needed where the intent
        /// states a fee.
        fee: Option<Signature>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// The transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// That block's time.
    pub at: UnixSeconds,
    /// The items of a batch that were left out, in order.
    pub skipped: Vec<Skipped>,
}

/// An item of a batch that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The deal.
    pub deal: DealId,
    /// Why it would have been refused alone.
    pub refusal: Refusal,
}

/// The most items of one batch; a constant of the contract.
pub const MAX_BATCH: usize = 200;

impl Call {
    /// The call's name, as the contract has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::OpenBatch { .. } => "openBatch",
            Self::Cancel { .. } => "cancel",
            Self::TopUp { .. } => "topUp",
            Self::Present { .. } => "present",
            Self::Stop { .. } => "stop",
            Self::Claim { .. } => "claim",
            Self::Settle { .. } => "settle",
            Self::SettleBatch { .. } => "settleBatch",
            Self::Contest { .. } => "contest",
            Self::Finalize { .. } => "finalize",
            Self::Expire { .. } => "expire",
            Self::Deposit { .. } => "deposit",
            Self::DepositWithAuthorization { .. } => "depositWithAuthorization",
            Self::Withdraw { .. } => "withdraw",
            Self::WithdrawFor { .. } => "withdrawFor",
            Self::RevokeSession { .. } => "revokeSession",
            Self::Collect { .. } => "collect",
            Self::Register { .. } => "register",
            Self::RegisterFor { .. } => "registerFor",
            Self::Revoke { .. } => "revoke",
            Self::Mint { .. } => "mint",
            Self::PauseOpens { .. } => "pauseOpens",
            Self::ResumeOpens => "resumeOpens",
            Self::SetFee { .. } => "setFee",
            Self::List { .. } => "setListed",
        }
    }

    /// The terms of the deals the call is about.
    pub fn deals(&self) -> Vec<&Terms> {
        match self {
            Self::Open { terms, .. }
            | Self::Cancel { terms, .. }
            | Self::TopUp { terms, .. }
            | Self::Present { terms, .. }
            | Self::Stop { terms, .. }
            | Self::Claim { terms, .. }
            | Self::Settle { terms, .. }
            | Self::Contest { terms, .. }
            | Self::Finalize { terms }
            | Self::Expire { terms } => vec![terms],
            Self::OpenBatch { openings, .. } => openings.iter().map(|(terms, _)| terms).collect(),
            Self::SettleBatch { closings, .. } => closings.iter().map(|(terms, _)| terms).collect(),
            _ => Vec::new(),
        }
    }

    /// The intent that the call carries, if it carries one.
    pub(crate) const fn intent(&self) -> Option<&Signed<Intent>> {
        match self {
            Self::Cancel { intent, .. }
            | Self::TopUp { intent, .. }
            | Self::Stop { intent, .. }
            | Self::Contest { intent, .. }
            | Self::RevokeSession { intent, .. } => intent.as_ref(),
            Self::WithdrawFor { intent, .. } | Self::RegisterFor { intent, .. } => Some(intent),
            _ => None,
        }
    }

    /// The sessions whose documents the call carries.
    fn sessions(&self) -> Vec<&Session> {
        match self {
            Self::Open { consent: Consent::Session { grant, .. }, .. } => vec![&grant.document],
            Self::OpenBatch { grants, .. } => grants.iter().map(|grant| &grant.document).collect(),
            Self::TopUp { session: Some(session), .. } | Self::RevokeSession { session, .. } => {
                vec![session]
            }
            _ => Vec::new(),
        }
    }

    /// Whether every number fits the width the contract gives it, and every item of a batch points
    /// to a grant.
    pub(crate) fn is_encodable(&self) -> bool {
        let time = |at: UnixSeconds| at.0 < 1 << 40;
        let deal = |terms: &&Terms| {
            time(terms.accept_by) && time(terms.expiry) && u16::try_from(terms.grace.0).is_ok()
        };
        let pointed = match self {
            Self::OpenBatch { openings, grants, .. } => {
                openings.iter().all(|(_, grant)| *grant < grants.len())
            }
            _ => true,
        };
        pointed
            && self.deals().iter().all(deal)
            && self.sessions().iter().all(|session| time(session.expiry))
            && self.intent().is_none_or(|intent| time(intent.document.deadline))
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
