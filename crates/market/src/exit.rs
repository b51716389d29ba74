//! Which call on the escrow each side wants next: the exits of PROTOCOL, level-triggered.
//!
//! Upon any state of the slot, any time and anything held, each side has exactly one wanted move.
//! Whoever asks again after a crash, a lost transaction or a reorganisation gets the move that
//! still serves; when the slot is settled the answer is `Done`.
//!
//! Invariant: a move is proposed only when the table in `escrow` accepts it, so a proposed move
//! reverts only when another party was faster.

use primitives::{Seconds, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::{
    document::{Receipt, Terms},
    escrow::{Slot, State, Windows},
};

/// What one side wants to do on the chain now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "move")]
pub enum Move {
    /// Nothing now.
    Wait,
    /// End the deal from the renter's side.
    Stop,
    /// Ask for the last co-signed receipt and some seconds beyond it.
    Claim {
        /// Seconds beyond the receipt, at most `grace`.
        extra: Seconds,
    },
    /// Settle at the terminal receipt that both sides signed.
    Settle,
    /// Refuse the seconds claimed beyond the floor.
    Contest,
    /// The window is over: settle.
    Finalize,
    /// Nobody came: settle at the floor.
    Expire,
    /// The deal is settled or cancelled.
    Done,
}

/// What the renter's side holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenterSide<'a> {
    /// The terminal receipt with both signatures, if there is one.
    pub terminal: Option<&'a Receipt>,
    /// Whether it wants the deal ended without the provider's agreement.
    pub wants_out: bool,
}

/// What the provider's side holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderSide<'a> {
    /// The terminal receipt with both signatures, if there is one.
    pub terminal: Option<&'a Receipt>,
    /// The last running receipt with both signatures, if there is one.
    pub running: Option<&'a Receipt>,
    /// Seconds run since that receipt, at most `grace` of which can be claimed.
    pub unsigned: Seconds,
    /// Whether it has given up on the renter's signature.
    pub wants_out: bool,
}

/// The renter's side's next move.
pub fn renter_move(
    slot: &Slot,
    terms: &Terms,
    windows: &Windows,
    now: UnixSeconds,
    held: RenterSide<'_>,
) -> Move {
    if let Some(end) = ended_or_settling(slot, terms, windows, now, held.terminal) {
        return end;
    }
    match slot.state {
        State::Open if slot.expire(terms, windows, now).is_ok() => Move::Expire,
        State::Open if held.wants_out => Move::Stop,
        State::Claimed if held.wants_out && slot.contest(terms, now).is_ok() => Move::Contest,
        State::Stopped | State::Claimed if slot.finalize(terms, now).is_ok() => Move::Finalize,
        _ => Move::Wait,
    }
}

/// The provider's side's next move.
pub fn provider_move(
    slot: &Slot,
    terms: &Terms,
    windows: &Windows,
    now: UnixSeconds,
    held: ProviderSide<'_>,
) -> Move {
    if let Some(end) = ended_or_settling(slot, terms, windows, now, held.terminal) {
        return end;
    }
    let due = |slot: &Slot| claimable(slot, terms, windows, now, held.running, held.unsigned);
    // An open deal left alone falls to the floor at D; half a window before, any receipt in hand
    // is claimed, wanted out or not.
    let closing = now >= terms.expiry.plus(terms.grace).plus(Seconds(windows.dispute.0 / 2));
    match slot.state {
        State::Open if held.wants_out || closing => match due(slot) {
            Some(extra) => Move::Claim { extra },
            None if slot.expire(terms, windows, now).is_ok() => Move::Expire,
            None => Move::Wait,
        },
        State::Stopped => match due(slot) {
            Some(extra) => Move::Claim { extra },
            None if slot.finalize(terms, now).is_ok() => Move::Finalize,
            None => Move::Wait,
        },
        State::Claimed if slot.finalize(terms, now).is_ok() => Move::Finalize,
        _ => Move::Wait,
    }
}

/// The seconds beyond `running` that a claim can carry now, or `None` when a claim would gain
/// nothing or be refused.
fn claimable(
    slot: &Slot,
    terms: &Terms,
    windows: &Windows,
    now: UnixSeconds,
    running: Option<&Receipt>,
    unsigned: Seconds,
) -> Option<Seconds> {
    let receipt = running?;
    let extra = unsigned.min(terms.grace);
    let gains = receipt.amount > slot.floor || extra.0 > 0;
    let accepted = |extra| slot.claim(terms, windows, Some(receipt), extra, now).is_ok();
    if !gains {
        None
    } else if accepted(extra) {
        Some(extra)
    } else {
        (receipt.amount > slot.floor && accepted(Seconds(0))).then_some(Seconds(0))
    }
}

fn ended_or_settling(
    slot: &Slot,
    terms: &Terms,
    windows: &Windows,
    now: UnixSeconds,
    terminal: Option<&Receipt>,
) -> Option<Move> {
    match (slot.state, terminal) {
        (State::Settled | State::Cancelled, _) => Some(Move::Done),
        (State::None, _) => Some(Move::Wait),
        (_, Some(receipt)) if slot.settle(terms, windows, receipt, now).is_ok() => {
            Some(Move::Settle)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
