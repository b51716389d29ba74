// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {Offer, Order} from "../types/Documents.sol";

/// @title EIP-712 struct hashes of the documents that stay off the chain
/// @dev Signed under the domain of `Plaza`. No contract checks them; they are defined here so that
/// both languages are tested against one text.
library DocumentHashLib {
    bytes32 internal constant OFFER_TYPEHASH = keccak256(
        "Offer(address provider,address providerKey,bytes peer,bytes resources,uint96 ratePerHour,"
        "address token,bytes32 sla,string region,uint64 sequence,uint40 validUntil)"
    );

    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(address renter,address renterKey,bytes32 session,address token,uint8 kind,"
        "bytes32 resources,uint96 maxRatePerHour,uint40 timeLimit,uint64 outputLimit,bytes32 spec,"
        "address gateway,uint64 nonce,uint40 expiry)"
    );

    /// @dev Members of variable length enter as their hashes.
    function hash(Offer memory offer) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                OFFER_TYPEHASH,
                offer.provider,
                offer.providerKey,
                keccak256(offer.peer),
                keccak256(offer.resources),
                offer.ratePerHour,
                offer.token,
                offer.sla,
                keccak256(bytes(offer.region)),
                offer.sequence,
                offer.validUntil
            )
        );
    }

    function hash(Order memory order) internal pure returns (bytes32) {
        return keccak256(abi.encode(ORDER_TYPEHASH, order));
    }
}
