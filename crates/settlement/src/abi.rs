//! The contracts' ABI: calls to bytes, bytes to slots, events and refusals.
//!
//! The types are made from the committed files under `contracts/abi`, so that a change of the
//! contracts does not compile until this file follows.

use alloy_primitives::{
    Bytes, U256,
    aliases::{U40, U96},
};
use alloy_sol_types::{SolCall, SolInterface};
use market::{
    Slot, State,
    document::{Consent, Receipt, Terms, TokenDomain},
    escrow::Revert,
};
use primitives::{Address, Amount, Seconds, Signature, UnixSeconds};
use profile::Contracts;

use crate::{
    call::{Call, Cosigned},
    intent::Freely,
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

/// Which contract a call goes to, and its bytes; refused where a number fits no slot.
pub(crate) fn encode(call: &Call, at: &Contracts) -> Result<(Address, Bytes), Refusal> {
    if !call.is_encodable() {
        return Err(Reason::Terms.into());
    }
    if matches!(call, Call::Claim { proof: None, extra, .. } if extra.0 > 0) {
        // The contract has no such call: seconds are added to a receipt.
        return Err(Revert::OutOfBounds.into());
    }
    Ok(match call {
        Call::Open { .. }
        | Call::Cancel { .. }
        | Call::TopUp { .. }
        | Call::Present { .. }
        | Call::Stop { .. }
        | Call::Claim { .. }
        | Call::Settle { .. }
        | Call::Contest { .. }
        | Call::Finalize { .. }
        | Call::Expire { .. } => (at.escrow, deal_call(call)),
        Call::Deposit { token, account, amount } => {
            let amount = wide(*amount);
            (at.escrow, bytes(Escrow::depositCall { token: *token, account: *account, amount }))
        }
        Call::DepositWithAuthorization {
            token,
            account,
            amount,
            valid_before,
            salt,
            signature,
        } => {
            let call = Escrow::depositWithAuthorizationCall {
                token: *token,
                account: *account,
                amount: wide(*amount),
                validBefore: U256::from(valid_before.0),
                salt: *salt,
                signature: some(signature),
            };
            (at.escrow, bytes(call))
        }
        Call::Withdraw { token, to, amount } => {
            let call = Escrow::withdrawCall { token: *token, to: *to, amount: wide(*amount) };
            (at.escrow, bytes(call))
        }
        Call::Collect { token } => (at.escrow, bytes(Escrow::collectCall { token: *token })),
        Call::Register { provider_key, consent } => {
            let call =
                Providers::registerCall { providerKey: *provider_key, keySignature: some(consent) };
            (at.providers, bytes(call))
        }
        Call::Revoke { provider_key } => {
            (at.providers, bytes(Providers::revokeCall { providerKey: *provider_key }))
        }
        Call::Mint { token, to, amount } => {
            (*token, bytes(TestDollar::mintCall { to: *to, amount: wide(*amount) }))
        }
        Call::PauseOpens { span } => {
            (at.plaza, bytes(Plaza::pauseOpensCall { duration: span_word(*span) }))
        }
        Call::ResumeOpens => (at.plaza, bytes(Plaza::resumeOpensCall {})),
        Call::SetFee { fee } => (at.plaza, bytes(Plaza::setFeeCall { newFeeBps: fee.0 })),
        Call::List { token, listed } => {
            (at.plaza, bytes(Plaza::setListedCall { token: *token, isListed: *listed }))
        }
    })
}

/// The bytes of a call that carries terms.
fn deal_call(call: &Call) -> Bytes {
    match call {
        Call::Open { terms, bid, consent } => {
            let (terms, provider_signature) = (terms_word(terms), some(bid));
            match consent {
                Consent::Terms { signature } => bytes(Escrow::openCall {
                    terms,
                    renterSignature: some(signature),
                    providerSignature: provider_signature,
                }),
                Consent::Authorization { signature } => bytes(Escrow::openWithAuthorizationCall {
                    terms,
                    authorization: some(signature),
                    providerSignature: provider_signature,
                }),
            }
        }
        Call::Cancel { terms } => bytes(Escrow::cancelCall { terms: terms_word(terms) }),
        Call::TopUp { terms, more } => {
            bytes(Escrow::topUpCall { terms: terms_word(terms), amount: narrow(more.units()) })
        }
        Call::Present { terms, proof } => bytes(Escrow::presentCall {
            terms: terms_word(terms),
            receipt: receipt_word(&proof.receipt),
            renterSignature: maybe(proof.renter.as_ref()),
            providerSignature: maybe(proof.provider.as_ref()),
        }),
        Call::Stop { terms, signature: None } => {
            bytes(Escrow::stopCall { terms: terms_word(terms) })
        }
        Call::Stop { terms, signature: Some(signature) } => bytes(Escrow::stopForCall {
            terms: terms_word(terms),
            intent: freely(),
            signature: some(signature),
        }),
        Call::Claim { terms, proof: Some(proof), extra } => bytes(claim(terms, proof, *extra)),
        Call::Claim { terms, proof: None, .. } => {
            bytes(Escrow::claimFloorCall { terms: terms_word(terms) })
        }
        Call::Settle { terms, proof } => bytes(Escrow::settleCall {
            terms: terms_word(terms),
            receipt: receipt_word(&proof.receipt),
            renterSignature: maybe(proof.renter.as_ref()),
            providerSignature: maybe(proof.provider.as_ref()),
        }),
        Call::Contest { terms, signature: None } => {
            bytes(Escrow::contestCall { terms: terms_word(terms) })
        }
        Call::Contest { terms, signature: Some(signature) } => bytes(Escrow::contestForCall {
            terms: terms_word(terms),
            intent: freely(),
            signature: some(signature),
        }),
        Call::Finalize { terms } => bytes(Escrow::finalizeCall { terms: terms_word(terms) }),
        Call::Expire { terms } => bytes(Escrow::expireCall { terms: terms_word(terms) }),
        _ => Bytes::new(),
    }
}

fn claim(terms: &Terms, proof: &Cosigned, extra: Seconds) -> Escrow::claimCall {
    Escrow::claimCall {
        terms: terms_word(terms),
        receipt: receipt_word(&proof.receipt),
        renterSignature: maybe(proof.renter.as_ref()),
        providerSignature: maybe(proof.provider.as_ref()),
        extra: u16::try_from(extra.0).unwrap_or(u16::MAX),
    }
}

/// The terms as the contract has them.
pub(crate) fn terms_word(terms: &Terms) -> Escrow::Terms {
    Escrow::Terms {
        renter: terms.renter,
        provider: terms.provider,
        renterKey: terms.renter_key,
        providerKey: terms.provider_key,
        session: terms.session,
        token: terms.token,
        cap: narrow(terms.cap.units()),
        ratePerHour: narrow(terms.rate.units_per_hour()),
        feeBps: terms.fee.0,
        kind: terms.kind as u8,
        acceptBy: U40::saturating_from(terms.accept_by.0),
        expiry: U40::saturating_from(terms.expiry.0),
        grace: u16::try_from(terms.grace.0).unwrap_or(u16::MAX),
        gateway: terms.gateway,
        openFee: narrow(terms.open_fee.units()),
        closeFee: narrow(terms.close_fee.units()),
        nonce: terms.nonce,
        spec: terms.spec,
    }
}

fn receipt_word(receipt: &Receipt) -> Escrow::Receipt {
    Escrow::Receipt {
        deal: receipt.deal.0,
        amount: narrow(receipt.amount.units()),
        elapsed: span_word(receipt.seconds),
        outcome: receipt.outcome as u8,
        result: receipt.result,
        meter: receipt.meter,
    }
}

fn freely() -> Escrow::Intent {
    let Freely { nonce, deadline, fee } = Freely::new();
    Escrow::Intent { nonce, deadline, fee }
}

fn span_word(span: Seconds) -> U40 {
    U40::saturating_from(span.0)
}

fn narrow(units: u128) -> U96 {
    U96::saturating_from(units)
}

fn wide(amount: Amount) -> U256 {
    U256::from(amount.units())
}

fn bytes(call: impl SolCall) -> Bytes {
    call.abi_encode().into()
}

fn some(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(&signature.0)
}

fn maybe(signature: Option<&Signature>) -> Bytes {
    signature.map(some).unwrap_or_default()
}

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
        "ZeroKey" | "KindRefused" | "SessionRefused" | "WrongSession" => Reason::Terms,
        "RevokedSession" | "ExpiredSession" | "AboveSessionCap" | "AboveSessionRate" => {
            Reason::Session
        }
        "RenterConsentMissing" | "AccountConsentMissing" | "UngrantedSession" => {
            Reason::RenterConsent
        }
        "ProviderConsentMissing" | "ConsentMissing" => Reason::ProviderConsent,
        "NotRenter" | "NotProvider" | "NotGuardian" | "OwnableUnauthorizedAccount" => {
            Reason::Sender
        }
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
