//! The contracts' ABI, and what they answer: bytes to slots, events and refusals.
//!
//! The types are made from the committed files under `contracts/abi`, so that a change of the
//! contracts does not compile until this file follows.

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::{SolEvent, SolInterface};
use market::{SessionUse, Slot, State, document::TokenDomain, escrow::Revert, session::Breach};
use primitives::{Amount, B256, DealId, Seconds, UnixSeconds};

use crate::{
    call::Skipped,
    refusal::{Reason, Refusal},
};

pub(crate) use contracts::{Escrow, Plaza, Providers, TestDollar};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::use_self)]
mod contracts {
    use alloy_sol_types::sol;

    sol!(
        #[sol(extra_derives(Debug))]
        Escrow,
        "../../contracts/abi/Escrow.json"
    );
    sol!(
        #[sol(extra_derives(Debug))]
        Plaza,
        "../../contracts/abi/Plaza.json"
    );
    sol!(
        #[sol(extra_derives(Debug))]
        Providers,
        "../../contracts/abi/Providers.json"
    );
    sol!(
        #[sol(extra_derives(Debug))]
        TestDollar,
        "../../contracts/abi/TestDollar.json"
    );
}

/// What the test token calls itself in its typed data.
pub(crate) fn token_domain() -> TokenDomain {
    TokenDomain { name: "Test Dollar".into(), version: "1".into() }
}

/// Decimals of the test token.
pub(crate) const TOKEN_DECIMALS: u8 = 6;

/// A sum as the contracts keep it; what no slot of theirs can hold shows as the most one can.
pub(crate) fn amount(units: U256) -> Amount {
    u128::try_from(units).ok().and_then(Amount::new).unwrap_or(Amount::MAX)
}

/// The slot the contract keeps; `None` for a state this version does not know.
pub(crate) fn slot(deal: &Escrow::Deal) -> Option<Slot> {
    Some(Slot {
        locked: amount(U256::from(deal.locked)),
        floor: amount(U256::from(deal.floor)),
        until: UnixSeconds(deal.until.to()),
        extra: Seconds(deal.extra.into()),
        state: match deal.state {
            0 => State::None,
            1 => State::Open,
            2 => State::Stopped,
            3 => State::Claimed,
            4 => State::Settled,
            5 => State::Cancelled,
            _ => return None,
        },
    })
}

/// The slot of a session.
pub(crate) fn session(kept: &Escrow::SessionUse) -> SessionUse {
    SessionUse { used: kept.used, granted: kept.granted, revoked: kept.revoked }
}

/// The item that an event says was left out of a batch, if it is such an event.
pub(crate) fn skipped(topics: impl Iterator<Item = B256>, log: &[u8]) -> Option<Skipped> {
    let event = Escrow::Skipped::decode_raw_log(topics, log).ok()?;
    Some(Skipped { deal: DealId(event.id), refusal: refusal(&event.reason) })
}

/// The refusal in a revert's bytes.
pub(crate) fn refusal(data: &[u8]) -> Refusal {
    let Some(selector) = data.first_chunk::<4>() else {
        return Refusal { reason: Reason::Other, error: "no reason given".into() };
    };
    let name = Escrow::EscrowErrors::name_by_selector(*selector)
        .or_else(|| Plaza::PlazaErrors::name_by_selector(*selector))
        .or_else(|| Providers::ProvidersErrors::name_by_selector(*selector))
        .or_else(|| TestDollar::TestDollarErrors::name_by_selector(*selector))
        .unwrap_or("unknown");
    let words = worded::<Escrow::EscrowErrors>(data)
        .or_else(|| worded::<Plaza::PlazaErrors>(data))
        .or_else(|| worded::<Providers::ProvidersErrors>(data))
        .or_else(|| worded::<TestDollar::TestDollarErrors>(data))
        .or_else(|| solidity(data))
        .unwrap_or_else(|| format!("revert data {}", Bytes::copy_from_slice(data)));
    Refusal { reason: reason(name), error: words }
}

/// An error of a contract with its arguments: `AmountAboveLocked { amount: 12, locked: 10 }`.
fn worded<E: SolInterface + std::fmt::Debug>(data: &[u8]) -> Option<String> {
    let error = format!("{:?}", E::abi_decode(data).ok()?);
    // The enum's variant repeats the struct's name around it.
    let inner = error.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    Some(inner.unwrap_or(&error).to_owned())
}

/// `Error(string)` and `Panic(uint256)`, which the language itself throws.
fn solidity(data: &[u8]) -> Option<String> {
    use alloy_sol_types::{Panic, Revert as Text, SolError};
    Text::abi_decode(data)
        .map(|text| text.reason)
        .or_else(|_| Panic::abi_decode(data).map(|panic| panic.to_string()))
        .ok()
}

/// What a contract's error means in the words of the deal protocol.
fn reason(error: &str) -> Reason {
    match error {
        "WrongState" => Reason::Table(Revert::WrongState),
        "TooEarly" | "TooLate" | "AcceptByOutOfBounds" | "ExpiryOutOfBounds" => {
            Reason::Table(Revert::WrongTime)
        }
        "WrongDeal" | "WrongOutcome" | "BelowFloor" => Reason::Table(Revert::WrongReceipt),
        "ZeroCap" | "AmountAboveLocked" | "AmountAboveRate" | "SecondsAboveTime"
        | "ExtraAboveGrace" | "EarlyFaultIsFree" => Reason::Table(Revert::OutOfBounds),
        "ZeroKey" | "KindRefused" | "SessionRefused" => Reason::Terms,
        "WrongSession" => Reason::Session(Breach::Other),
        "UngrantedSession" => Reason::Session(Breach::Ungranted),
        "RevokedSession" => Reason::Session(Breach::Revoked),
        "ExpiredSession" => Reason::Session(Breach::Expired),
        "AboveSessionCap" => Reason::Session(Breach::Cap),
        "AboveSessionRate" => Reason::Session(Breach::Rate),
        "AccountConsentMissing" => Reason::AccountConsent,
        "IntentExpired" | "NonceUsed" | "KeyPaysNoFee" => Reason::Intent,
        "BatchSizeOutOfBounds" => Reason::BatchSize,
        "RenterConsentMissing" => Reason::RenterConsent,
        "ProviderConsentMissing" | "ConsentMissing" => Reason::ProviderConsent,
        "NotRenter"
        | "NotProvider"
        | "NotGuardian"
        | "NotOfBatch"
        | "OwnableUnauthorizedAccount" => Reason::Sender,
        "KeyNotAuthorised" | "KeyTaken" | "KeyNotYours" => Reason::ProviderKey,
        "OpensPaused" => Reason::Paused,
        "TokenNotListed" => Reason::Token,
        "FeeNotPresent" => Reason::Fee,
        "NotPresentEscrow" => Reason::OtherEscrow,
        "InsufficientBalance" | "ERC20InsufficientBalance" | "ERC20InsufficientAllowance" => {
            Reason::Funds
        }
        "ERC3009InvalidAuthorizationTime"
        | "ERC3009InvalidSignature"
        | "ERC3009UsedAuthorization"
        | "ECDSAInvalidSignature"
        | "ECDSAInvalidSignatureLength"
        | "ECDSAInvalidSignatureS" => Reason::Authorization,
        "WrongReceiver" | "ERC20InvalidReceiver" => Reason::Receiver,
        _ => Reason::Other,
    }
}

#[cfg(test)]
mod tests;
