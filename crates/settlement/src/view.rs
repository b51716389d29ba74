//! What can be seen of the chain: heads, balances, what opening depends on.

use primitives::{Amount, B256, BasisPoints, UnixSeconds};

/// A block at the network's depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time. A quiet chain seals no blocks: whoever asks whether a window is over takes the
    /// later of this and the own clock, as the next block will.
    pub time: UnixSeconds,
}

/// What an account has in one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// In its wallet.
    pub wallet: Amount,
    /// Inside the escrow, free to withdraw or to open deals with.
    pub escrow: Amount,
    /// Native coin for the chain's own fees, in wei; more than 2^128 - 1 shows as that.
    pub native: u128,
}

/// All that opening a deal in some token depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether this escrow is the one through which deals are opened at present.
    pub present: bool,
    /// The fee that new terms must state.
    pub fee: BasisPoints,
    /// Whether deals in the token may be opened.
    pub listed: bool,
    /// Whether opens are paused.
    pub paused: bool,
}
