// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @dev A provider's standing listing, signed by its provider key, exchanged off the chain.
struct Offer {
    address provider;
    address providerKey;
    bytes peer; // where the provider is reached
    bytes resources; // what is offered
    uint96 ratePerHour;
    address token;
    bytes32 sla; // digest of the service level promised, or zero
    string region;
    uint64 sequence; // later offers of a provider replace earlier ones
    uint40 validUntil;
}

/// @dev A renter's need, signed by the renter, exchanged off the chain.
struct Order {
    address renter;
    address renterKey;
    bytes32 session;
    address token;
    uint8 kind;
    bytes32 resources; // salted digest of the resources wished
    uint96 maxRatePerHour;
    uint40 timeLimit; // seconds
    uint64 outputLimit; // bytes
    bytes32 spec; // salted digest of the work
    address gateway; // the one that may place it until it expires
    uint64 nonce;
    uint40 expiry;
}
