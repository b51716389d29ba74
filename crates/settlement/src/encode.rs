//! Calls to bytes: which contract each goes to, and its arguments as the contract has them.

use alloy_primitives::{
    Bytes, U256,
    aliases::{U40, U96},
};
use alloy_sol_types::SolCall;
use market::{
    document::{Consent, Intent, Receipt, Session, Signed, Terms},
    escrow::Revert,
};
use primitives::{Address, Amount, B256, Rate, Seconds, Signature, UnixSeconds};
use profile::Contracts;

use crate::{
    abi::{Escrow, Plaza, Providers, TestDollar},
    call::{Call, Cosigned},
    refusal::{Reason, Refusal},
};

/// Which contract a call goes to, and its bytes; refused where a number fits no slot.
pub(crate) fn encode(call: &Call, at: &Contracts) -> Result<(Address, Bytes), Refusal> {
    if !call.is_encodable() {
        return Err(Reason::Terms.into());
    }
    if matches!(call, Call::Claim { proof: None, extra, .. } if extra.0 > 0) {
        // The contract has no such call: seconds are added to a receipt.
        return Err(Revert::OutOfBounds.into());
    }
    let bytes = deal(call).or_else(|| batch(call)).or_else(|| money(call));
    if let Some(bytes) = bytes {
        return Ok((at.escrow, bytes));
    }
    if let Some(bytes) = registry(call) {
        return Ok((at.providers, bytes));
    }
    match call {
        Call::Mint { token, to, amount } => {
            Ok((*token, bytes_of(TestDollar::mintCall { to: *to, amount: wide(*amount) })))
        }
        _ => Ok((at.plaza, governance(call))),
    }
}

/// The bytes of a call about one deal.
fn deal(call: &Call) -> Option<Bytes> {
    Some(match call {
        Call::Open { terms, bid, consent } => open(terms, bid, consent),
        Call::Cancel { terms, intent: None } => {
            bytes_of(Escrow::cancelCall { terms: terms_word(terms) })
        }
        Call::Cancel { terms, intent: Some(by) } => bytes_of(Escrow::cancelForCall {
            terms: terms_word(terms),
            intent: intent_word(by),
            signature: some(&by.signature),
        }),
        Call::TopUp { terms, more, session: None, intent: None } => {
            bytes_of(Escrow::topUpCall { terms: terms_word(terms), amount: narrow(more.units()) })
        }
        Call::TopUp { terms, more, session, intent } => bytes_of(Escrow::topUpForCall {
            terms: terms_word(terms),
            amount: narrow(more.units()),
            session: session_word(session.as_ref().unwrap_or(&NO_SESSION)),
            intent: intent.as_ref().map_or_else(no_intent, intent_word),
            signature: maybe(intent.as_ref().map(|by| &by.signature)),
        }),
        Call::Present { terms, proof } => bytes_of(Escrow::presentCall {
            terms: terms_word(terms),
            receipt: receipt_word(&proof.receipt),
            renterSignature: maybe(proof.renter.as_ref()),
            providerSignature: maybe(proof.provider.as_ref()),
        }),
        Call::Stop { terms, intent: None } => {
            bytes_of(Escrow::stopCall { terms: terms_word(terms) })
        }
        Call::Stop { terms, intent: Some(by) } => bytes_of(Escrow::stopForCall {
            terms: terms_word(terms),
            intent: intent_word(by),
            signature: some(&by.signature),
        }),
        Call::Claim { terms, proof: Some(proof), extra } => bytes_of(claim(terms, proof, *extra)),
        Call::Claim { terms, proof: None, .. } => {
            bytes_of(Escrow::claimFloorCall { terms: terms_word(terms) })
        }
        Call::Settle { terms, proof } => bytes_of(Escrow::settleCall {
            terms: terms_word(terms),
            receipt: receipt_word(&proof.receipt),
            renterSignature: maybe(proof.renter.as_ref()),
            providerSignature: maybe(proof.provider.as_ref()),
        }),
        Call::Contest { terms, intent: None } => {
            bytes_of(Escrow::contestCall { terms: terms_word(terms) })
        }
        Call::Contest { terms, intent: Some(by) } => bytes_of(Escrow::contestForCall {
            terms: terms_word(terms),
            intent: intent_word(by),
            signature: some(&by.signature),
        }),
        Call::Finalize { terms } => bytes_of(Escrow::finalizeCall { terms: terms_word(terms) }),
        Call::Expire { terms } => bytes_of(Escrow::expireCall { terms: terms_word(terms) }),
        _ => return None,
    })
}

fn open(terms: &Terms, bid: &Signature, consent: &Consent) -> Bytes {
    let (terms, provider_signature) = (terms_word(terms), some(bid));
    match consent {
        Consent::Terms { signature } => bytes_of(Escrow::openCall {
            terms,
            renterSignature: some(signature),
            providerSignature: provider_signature,
        }),
        Consent::Authorization { signature } => bytes_of(Escrow::openWithAuthorizationCall {
            terms,
            authorization: some(signature),
            providerSignature: provider_signature,
        }),
        Consent::Session { grant, signature } => bytes_of(Escrow::openInSessionCall {
            terms,
            grant: grant_word(grant),
            renterSignature: some(signature),
            providerSignature: provider_signature,
        }),
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

/// The bytes of a call about many deals.
fn batch(call: &Call) -> Option<Bytes> {
    Some(match call {
        Call::OpenBatch { openings, grants, renter, provider } => {
            let opening = |(terms, grant): &(Terms, usize)| Escrow::Opening {
                terms: terms_word(terms),
                grant: U256::from(*grant),
            };
            bytes_of(Escrow::openBatchCall {
                openings: openings.iter().map(opening).collect(),
                grants: grants.iter().map(grant_word).collect(),
                renterSignature: maybe(renter.as_ref()),
                providerSignature: maybe(provider.as_ref()),
            })
        }
        Call::SettleBatch { closings, renter, provider } => {
            let closing = |(terms, receipt): &(Terms, Receipt)| Escrow::Closing {
                terms: terms_word(terms),
                receipt: receipt_word(receipt),
            };
            bytes_of(Escrow::settleBatchCall {
                closings: closings.iter().map(closing).collect(),
                renterSignature: maybe(renter.as_ref()),
                providerSignature: maybe(provider.as_ref()),
            })
        }
        _ => return None,
    })
}

/// The bytes of a call about balances, fees and sessions.
fn money(call: &Call) -> Option<Bytes> {
    Some(match call {
        Call::Deposit { token, account, amount } => {
            let amount = wide(*amount);
            bytes_of(Escrow::depositCall { token: *token, account: *account, amount })
        }
        Call::DepositWithAuthorization {
            token,
            account,
            amount,
            valid_before,
            salt,
            signature,
        } => bytes_of(Escrow::depositWithAuthorizationCall {
            token: *token,
            account: *account,
            amount: wide(*amount),
            validBefore: U256::from(valid_before.0),
            salt: *salt,
            signature: some(signature),
        }),
        Call::Withdraw { token, to, amount } => {
            bytes_of(Escrow::withdrawCall { token: *token, to: *to, amount: wide(*amount) })
        }
        Call::WithdrawFor { account, token, to, amount, intent } => {
            bytes_of(Escrow::withdrawForCall {
                account: *account,
                token: *token,
                amount: wide(*amount),
                to: *to,
                intent: intent_word(intent),
                signature: some(&intent.signature),
            })
        }
        Call::RevokeSession { session, intent: None } => {
            bytes_of(Escrow::revokeCall { session: session_word(session) })
        }
        Call::RevokeSession { session, intent: Some(by) } => bytes_of(Escrow::revokeForCall {
            session: session_word(session),
            intent: intent_word(by),
            signature: some(&by.signature),
        }),
        Call::Collect { token } => bytes_of(Escrow::collectCall { token: *token }),
        _ => return None,
    })
}

/// The bytes of a call about which key serves which provider.
fn registry(call: &Call) -> Option<Bytes> {
    Some(match call {
        Call::Register { provider_key, consent } => bytes_of(Providers::registerCall {
            providerKey: *provider_key,
            keySignature: some(consent),
        }),
        Call::RegisterFor { provider, provider_key, consent, token, intent, fee } => {
            let Intent { nonce, deadline, fee: stated } = intent.document;
            bytes_of(Providers::registerForCall {
                provider: *provider,
                providerKey: *provider_key,
                keySignature: some(consent),
                token: *token,
                intent: Providers::Intent {
                    nonce,
                    deadline: time_word(deadline),
                    fee: narrow(stated.units()),
                },
                signature: some(&intent.signature),
                feeAuthorization: maybe(fee.as_ref()),
            })
        }
        Call::Revoke { provider_key } => {
            bytes_of(Providers::revokeCall { providerKey: *provider_key })
        }
        _ => return None,
    })
}

/// The bytes of the owner's and guardian's calls.
fn governance(call: &Call) -> Bytes {
    match call {
        Call::PauseOpens { span } => bytes_of(Plaza::pauseOpensCall { duration: span_word(*span) }),
        Call::ResumeOpens => bytes_of(Plaza::resumeOpensCall {}),
        Call::SetFee { fee } => bytes_of(Plaza::setFeeCall { newFeeBps: fee.0 }),
        Call::List { token, listed } => {
            bytes_of(Plaza::setListedCall { token: *token, isListed: *listed })
        }
        _ => Bytes::new(),
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
        acceptBy: time_word(terms.accept_by),
        expiry: time_word(terms.expiry),
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

/// Stands where the renter itself tops up: the contract does not read it.
const NO_SESSION: Session = Session {
    renter: Address::ZERO,
    key: Address::ZERO,
    token: Address::ZERO,
    cap: Amount::ZERO,
    max_rate: Rate::ZERO,
    expiry: UnixSeconds(0),
    salt: B256::ZERO,
};

fn session_word(session: &Session) -> Escrow::Session {
    Escrow::Session {
        renter: session.renter,
        key: session.key,
        token: session.token,
        cap: narrow(session.cap.units()),
        maxRatePerHour: narrow(session.max_rate.units_per_hour()),
        expiry: time_word(session.expiry),
        salt: session.salt,
    }
}

fn grant_word(grant: &Signed<Session>) -> Escrow::Grant {
    Escrow::Grant { session: session_word(&grant.document), signature: some(&grant.signature) }
}

fn intent_word(intent: &Signed<Intent>) -> Escrow::Intent {
    let Intent { nonce, deadline, fee } = intent.document;
    Escrow::Intent { nonce, deadline: time_word(deadline), fee: narrow(fee.units()) }
}

/// Stands where the sender acts itself: the contract does not read it.
fn no_intent() -> Escrow::Intent {
    Escrow::Intent { nonce: 0, deadline: U40::ZERO, fee: U96::ZERO }
}

fn time_word(at: UnixSeconds) -> U40 {
    U40::saturating_from(at.0)
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

fn bytes_of(call: impl SolCall) -> Bytes {
    call.abi_encode().into()
}

fn some(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(&signature.0)
}

fn maybe(signature: Option<&Signature>) -> Bytes {
    signature.map(some).unwrap_or_default()
}
