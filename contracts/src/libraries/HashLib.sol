// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Receipt, Terms} from "../types/Deal.sol";
import {Intent} from "../types/Intent.sol";
import {Session} from "../types/Session.sol";

/// @title EIP-712 struct hashes of what an Escrow checks
/// @dev Every member is one word, so a struct's words in the call are its EIP-712 encoding and are
/// copied as they are; encoding them anew costs about 1,500 gas a call. A word whose unused bits are
/// set is not refused here, it gives the id of a deal that cannot be opened: opening reads every
/// member, and reading refuses it.
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

    bytes32 internal constant SESSION_TYPEHASH = keccak256(
        "Session(address renter,address key,address token,uint96 cap,uint96 maxRatePerHour,"
        "uint40 expiry,bytes32 salt)"
    );

    bytes32 internal constant BATCH_TYPEHASH = keccak256("Batch(bytes32[] documents)");

    bytes32 internal constant CANCEL_TYPEHASH =
        keccak256("Cancel(bytes32 deal,uint64 nonce,uint40 deadline,uint96 fee)");

    bytes32 internal constant STOP_TYPEHASH =
        keccak256("Stop(bytes32 deal,uint64 nonce,uint40 deadline,uint96 fee)");

    bytes32 internal constant CONTEST_TYPEHASH =
        keccak256("Contest(bytes32 deal,uint64 nonce,uint40 deadline,uint96 fee)");

    bytes32 internal constant TOP_UP_TYPEHASH =
        keccak256("TopUp(bytes32 deal,uint96 amount,uint64 nonce,uint40 deadline,uint96 fee)");

    bytes32 internal constant REVOKE_TYPEHASH =
        keccak256("Revoke(bytes32 session,uint64 nonce,uint40 deadline,uint96 fee)");

    bytes32 internal constant WITHDRAW_TYPEHASH = keccak256(
        "Withdraw(address account,address token,uint256 amount,address to,uint64 nonce,"
        "uint40 deadline,uint96 fee)"
    );

    function hash(Terms calldata terms) internal pure returns (bytes32 structHash) {
        bytes32 typeHash = TERMS_TYPEHASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), terms, 0x240) // 18 words
            structHash := keccak256(free, 0x260)
        }
    }

    function hash(Receipt calldata receipt) internal pure returns (bytes32 structHash) {
        bytes32 typeHash = RECEIPT_TYPEHASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), receipt, 0xc0) // 6 words
            structHash := keccak256(free, 0xe0)
        }
    }

    function hash(Session calldata session) internal pure returns (bytes32) {
        return keccak256(abi.encode(SESSION_TYPEHASH, session));
    }

    /// @dev Consent to each of `documents`, the digests of terms or of receipts, at once.
    function hashBatch(bytes32[] memory documents) internal pure returns (bytes32) {
        return keccak256(abi.encode(BATCH_TYPEHASH, keccak256(abi.encodePacked(documents))));
    }

    function hashCancel(bytes32 deal, Intent calldata intent) internal pure returns (bytes32) {
        return keccak256(abi.encode(CANCEL_TYPEHASH, deal, intent));
    }

    function hashStop(bytes32 deal, Intent calldata intent) internal pure returns (bytes32) {
        return keccak256(abi.encode(STOP_TYPEHASH, deal, intent));
    }

    function hashContest(bytes32 deal, Intent calldata intent) internal pure returns (bytes32) {
        return keccak256(abi.encode(CONTEST_TYPEHASH, deal, intent));
    }

    function hashTopUp(bytes32 deal, uint96 amount, Intent calldata intent)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TOP_UP_TYPEHASH, deal, amount, intent));
    }

    function hashRevoke(bytes32 session, Intent calldata intent) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVOKE_TYPEHASH, session, intent));
    }

    function hashWithdraw(
        address account,
        address token,
        uint256 amount,
        address to,
        Intent calldata intent
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(WITHDRAW_TYPEHASH, account, token, amount, to, intent));
    }
}
