// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @dev The last members of everything that an account signs for others to send.
struct Intent {
    uint64 nonce; // makes it differ from an otherwise equal one; stored where it could be repeated
    uint40 deadline; // until then it may be sent, Unix seconds
    uint96 fee; // to whoever sends it, out of the signer's balance, base units
}
