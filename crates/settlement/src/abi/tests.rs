//! The ABI against what the market's documents and table assume of it.

use alloy_primitives::U256;
use alloy_sol_types::SolError;
use market::escrow::Revert;

use super::{Escrow, Plaza, Providers, Reason, TestDollar, reason, refusal};

#[test]
fn a_revert_is_named_with_its_arguments() {
    let data = Escrow::TooLate { until: U256::from(12) }.abi_encode();
    let found = refusal(&data);
    assert_eq!(found.reason, Reason::Table(Revert::WrongTime));
    assert_eq!(found.error, "TooLate { until: 12 }");
    assert!(refusal(&Escrow::WrongState { state: 4 }.abi_encode()).is_wrong_state());
}

#[test]
fn the_language_s_own_reverts_and_unknown_ones_keep_their_words() {
    let text = alloy_sol_types::Revert::from("out of luck").abi_encode();
    assert_eq!(refusal(&text).error, "out of luck");
    assert_eq!(refusal(&text).reason, Reason::Other);
    assert_eq!(refusal(&[1, 2, 3, 4]).error, "revert data 0x01020304");
    assert_eq!(refusal(&[]).error, "no reason given");
}

/// An error that is added to the contracts must be given a reason here, or be named below.
#[test]
fn every_error_of_the_contracts_has_a_reason() {
    let without = [
        "InvalidShortString",
        "StringTooLong",
        "ReentrancyGuardReentrantCall",
        "SafeERC20FailedOperation",
        "WindowOutOfBounds",
        "WrongAmountReceived",
        "FeeAboveBound",
        "OwnableInvalidOwner",
        "PauseShortened",
        "PauseTooLong",
        "ERC20InvalidApprover",
        "ERC20InvalidSender",
        "ERC20InvalidSpender",
        "ERC2612ExpiredSignature",
        "ERC2612InvalidSigner",
        "InvalidAccountNonce",
        "SafeCastOverflowedUintDowncast",
    ];
    let names = [
        Escrow::EscrowErrors::VARIANT_NAMES,
        Plaza::PlazaErrors::VARIANT_NAMES,
        Providers::ProvidersErrors::VARIANT_NAMES,
        TestDollar::TestDollarErrors::VARIANT_NAMES,
    ];
    for name in names.into_iter().flatten() {
        let known = reason(name) != Reason::Other;
        assert_ne!(known, without.contains(name), "{name}");
    }
}
