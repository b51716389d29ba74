// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Receipt, Terms} from "../types/Deal.sol";

/// @title EIP-712 struct hashes of what an Escrow checks
/// @dev Every member is one word, so the ABI encoding of a struct is its EIP-712 encoding.
library HashLib {
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        "Terms(address renter,address provider,address renterKey,address providerKey,"
        "bytes32 session,address token,uint96 cap,uint96 ratePerHour,uint16 feeBps,uint8 kind,"
        "uint40 acceptBy,uint40 expiry,uint16 grace,address gateway,uint96 openFee,"
        "uint96 closeFee,uint64 nonce,bytes32 spec)"
    );

    /// @dev The type says `seconds` where the Solidity struct says `elapsed`: the documents are
    /// read by people and by other languages, in which the word is free.
    bytes32 internal constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(bytes32 deal,uint96 amount,uint40 seconds,uint8 outcome,bytes32 result,"
        "bytes32 meter)"
    );

    bytes32 internal constant STOP_TYPEHASH = keccak256("Stop(bytes32 deal)");

    bytes32 internal constant CONTEST_TYPEHASH = keccak256("Contest(bytes32 deal)");

    function hash(Terms calldata terms) internal pure returns (bytes32) {
        return keccak256(abi.encode(TERMS_TYPEHASH, terms));
    }

    function hash(Receipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, receipt));
    }

    /// @dev Stops `deal`. Needs no nonce: a deal can be stopped once.
    function hashStop(bytes32 deal) internal pure returns (bytes32) {
        return keccak256(abi.encode(STOP_TYPEHASH, deal));
    }

    /// @dev Contests the claim on `deal`. Needs no nonce: a deal can be claimed once.
    function hashContest(bytes32 deal) internal pure returns (bytes32) {
        return keccak256(abi.encode(CONTEST_TYPEHASH, deal));
    }
}
