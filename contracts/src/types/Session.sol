// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @dev A renter's leave for one key to open deals and top them up, up to a cap. Its EIP-712 digest
/// is the session's id, which terms name; the renter signs it once.
struct Session {
    address renter; // the account that pays
    address key; // may open and top up; the renterKey of every deal in the session
    address token;
    uint96 cap; // the most that may be out at any time: held and spent, base units
    uint96 maxRatePerHour;
    uint40 expiry; // before then the key may act, Unix seconds
    bytes32 salt;
}

/// @dev All that is stored of a session: one slot.
struct SessionUse {
    uint128 used; // held in its live deals and spent by its settled ones, base units
    bool granted; // the renter's signature was seen
    bool revoked; // no deal in it opens or grows any more
}

/// @dev A session with the renter's signature over it; empty once the contract has seen it.
struct Grant {
    Session session;
    bytes signature;
}
