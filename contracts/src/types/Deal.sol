// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @dev Paid by elapsed time: the one kind of deal that an Escrow without a court carries.
uint8 constant LEASE = 0;

/// @dev What both sides of a deal sign. Its EIP-712 digest is the deal's id, so terms are never
/// stored: every call brings them along. Money is in base units of `token`, times are Unix seconds.
struct Terms {
    address renter; // the account that pays
    address provider; // the account that is paid
    address renterKey; // checks the renter's side of receipts, fixed at open
    address providerKey; // checks the provider's side of receipts, fixed at open
    bytes32 session; // must be zero
    address token;
    uint96 cap; // the most the deal can cost before a top-up
    uint96 ratePerHour;
    uint16 feeBps; // the network's share of what is paid
    uint8 kind; // LEASE
    uint40 acceptBy; // until then it may be opened
    uint40 expiry; // until then running time may be billed
    uint16 grace; // most seconds a claim may add to the last co-signed receipt
    address gateway;
    uint96 openFee; // to whoever opens the deal
    uint96 closeFee; // to whoever settles it
    uint64 nonce;
    bytes32 spec; // salted digest of the job, resources, offer and service level
}

/// @dev A cumulative, monotone statement of usage. In EIP-712 the third member is called `seconds`,
/// which Solidity reserves for its unit of time; here it is `elapsed`.
struct Receipt {
    bytes32 deal;
    uint96 amount; // owed so far, base units
    uint40 elapsed; // running time so far, seconds, rounded up once
    Outcome outcome;
    bytes32 result; // Merkle root over the results of tasks, or zero
    bytes32 meter; // append-only root over the samples
}

/// @dev How a run stands. Every outcome but Running is terminal.
enum Outcome {
    Running,
    Completed,
    Failed, // by the job's own fault, time-out included
    ProviderFault,
    Stopped, // by the renter
    OutOfFunds
}

/// @dev Where a deal stands. Settled and Cancelled are for ever.
enum State {
    None,
    Open,
    Stopped, // by the renter's side; receipts may be presented before `until`
    Claimed, // by the provider's side; may be contested before `until`
    Settled,
    Cancelled
}

/// @dev All that is stored of a deal: one slot.
struct Deal {
    uint96 locked; // at most this much can be paid
    uint96 floor; // at least this much will be, unless both sides sign otherwise
    uint40 until; // end of the present window
    uint16 extra; // seconds claimed beyond the floor
    State state;
}
