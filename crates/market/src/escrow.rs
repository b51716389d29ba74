//! The escrow's state table as a pure function: what each call does to a deal's one slot.
//!
//! This is the same table that `contracts/src/Escrow.sol` carries out. Here it serves to decide
//! moves, to drive the fake ledger of the simulation, and to test the contract against.

use primitives::{Amount, Rate, Seconds, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::{
    document::{Receipt, Terms},
    outcome::Outcome,
};

/// Where a deal stands on the chain. The numbers are those of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum State {
    /// Never opened.
    #[default]
    None = 0,
    /// Money is locked.
    Open = 1,
    /// The renter's side ended it; receipts may still be presented until `until`.
    Stopped = 2,
    /// The provider's side asks for its due; the renter's side may contest until `until`.
    Claimed = 3,
    /// Paid and refunded, for ever.
    Settled = 4,
    /// Withdrawn before it was opened, for ever.
    Cancelled = 5,
}

/// The one slot of storage a deal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// What is locked.
    pub locked: Amount,
    /// What the provider has for certain.
    pub floor: Amount,
    /// The end of the present window.
    pub until: UnixSeconds,
    /// Seconds claimed beyond the floor.
    pub extra: Seconds,
    /// Where it stands.
    pub state: State,
}

/// The escrow's constructor constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// W: how long a stopped or claimed deal waits.
    pub dispute: Seconds,
    /// A: the longest lead of `acceptBy` over block time.
    pub accept: Seconds,
}

/// How settling divides what was locked. `paid + fee + refund = locked`, to the unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// To the provider.
    pub paid: Amount,
    /// To the network.
    pub fee: Amount,
    /// Back to the renter.
    pub refund: Amount,
}

/// Why the escrow refuses a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Revert {
    /// The table has no such cell.
    #[error("the deal is not in a state that allows this call")]
    WrongState,
    /// Too early or too late.
    #[error("the call is outside its window of time")]
    WrongTime,
    /// A receipt of the wrong kind, of another deal, below the floor, or without both signatures.
    #[error("the receipt does not serve this call")]
    WrongReceipt,
    /// More money or time than the terms allow.
    #[error("the receipt exceeds the bounds of the terms")]
    OutOfBounds,
}

/// A fault of the provider's before this many seconds is free (ESC-4); a constant of the contract.
pub const FREE_FAILURE: Seconds = Seconds(300);

impl Slot {
    /// D: from then on anyone may end an open deal.
    pub fn deadline(terms: &Terms, windows: &Windows) -> UnixSeconds {
        terms.expiry.plus(terms.grace).plus(windows.dispute)
    }

    /// None -> Open.
    ///
    /// # Errors
    /// The reason the contract reverts with, as far as state and time decide it.
    pub fn open(&self, terms: &Terms, windows: &Windows, now: UnixSeconds) -> Result<Self, Revert> {
        let in_time = now <= terms.accept_by
            && terms.accept_by <= now.plus(windows.accept)
            && terms.accept_by < terms.expiry
            && terms.expiry <= terms.accept_by.plus(LONGEST);
        match self.state {
            State::None if !in_time => Err(Revert::WrongTime),
            State::None if terms.cap == Amount::ZERO => Err(Revert::OutOfBounds),
            State::None => Ok(Self { locked: terms.cap, state: State::Open, ..Self::default() }),
            _ => Err(Revert::WrongState),
        }
    }

    /// None -> Cancelled.
    ///
    /// # Errors
    /// Anything but None.
    pub fn cancel(&self) -> Result<Self, Revert> {
        match self.state {
            State::None => Ok(Self { state: State::Cancelled, ..Self::default() }),
            _ => Err(Revert::WrongState),
        }
    }

    /// Open: more money is locked.
    ///
    /// # Errors
    /// Not open, or expired.
    pub fn top_up(&self, terms: &Terms, more: Amount, now: UnixSeconds) -> Result<Self, Revert> {
        match self.state {
            State::Open if now >= terms.expiry => Err(Revert::WrongTime),
            State::Open => {
                Ok(Self { locked: self.locked.plus(more).ok_or(Revert::OutOfBounds)?, ..*self })
            }
            _ => Err(Revert::WrongState),
        }
    }

    /// Open or Stopped: a co-signed running receipt raises the floor.
    ///
    /// # Errors
    /// Late, terminal, or out of bounds.
    pub fn present(
        &self,
        terms: &Terms,
        windows: &Windows,
        receipt: &Receipt,
        now: UnixSeconds,
    ) -> Result<Self, Revert> {
        self.accepts_receipts(terms, windows, now)?;
        if receipt.outcome.is_terminal() {
            return Err(Revert::WrongReceipt);
        }
        self.bounds(terms, windows, receipt.amount, receipt.seconds, now)?;
        Ok(Self { floor: self.floor.max(receipt.amount), ..*self })
    }

    /// Open -> Stopped, by the renter's side.
    ///
    /// # Errors
    /// Not open.
    pub fn stop(&self, windows: &Windows, now: UnixSeconds) -> Result<Self, Revert> {
        match self.state {
            State::Open => {
                Ok(Self { state: State::Stopped, until: now.plus(windows.dispute), ..*self })
            }
            _ => Err(Revert::WrongState),
        }
    }

    /// Open or Stopped -> Claimed, by the provider's side.
    ///
    /// # Errors
    /// Late, below the floor, more extra than grace, or out of bounds.
    pub fn claim(
        &self,
        terms: &Terms,
        windows: &Windows,
        receipt: Option<&Receipt>,
        extra: Seconds,
        now: UnixSeconds,
    ) -> Result<Self, Revert> {
        self.accepts_receipts(terms, windows, now)?;
        let floor = match receipt {
            None if extra.0 > 0 => return Err(Revert::OutOfBounds),
            None => self.floor,
            Some(receipt) if receipt.outcome.is_terminal() || receipt.amount < self.floor => {
                return Err(Revert::WrongReceipt);
            }
            Some(_) if extra > terms.grace => return Err(Revert::OutOfBounds),
            Some(receipt) => {
                self.bounds(terms, windows, receipt.amount, receipt.seconds, now)?;
                within(terms, windows, receipt.seconds.plus(extra), now)?;
                receipt.amount
            }
        };
        let until = now.plus(windows.dispute);
        Ok(Self { floor, extra, until, state: State::Claimed, ..*self })
    }

    /// Open, Stopped or Claimed -> Settled, by a terminal receipt with both consents.
    ///
    /// # Errors
    /// Not terminal, out of bounds, or a provider's early fault that asks for money.
    pub fn settle(
        &self,
        terms: &Terms,
        windows: &Windows,
        receipt: &Receipt,
        now: UnixSeconds,
    ) -> Result<(Self, Split), Revert> {
        if !matches!(self.state, State::Open | State::Stopped | State::Claimed) {
            return Err(Revert::WrongState);
        }
        if !receipt.outcome.is_terminal() {
            return Err(Revert::WrongReceipt);
        }
        self.bounds(terms, windows, receipt.amount, receipt.seconds, now)?;
        let early = receipt.outcome == Outcome::ProviderFault && receipt.seconds < FREE_FAILURE;
        if early && receipt.amount != Amount::ZERO {
            return Err(Revert::OutOfBounds);
        }
        Ok(self.settled_at(terms, receipt.amount))
    }

    /// Claimed -> Settled at the floor, by the renter's side within the window.
    ///
    /// # Errors
    /// Not claimed, or the window is over.
    pub fn contest(&self, terms: &Terms, now: UnixSeconds) -> Result<(Self, Split), Revert> {
        match self.state {
            State::Claimed if now >= self.until => Err(Revert::WrongTime),
            State::Claimed => Ok(self.settled_at(terms, self.floor)),
            _ => Err(Revert::WrongState),
        }
    }

    /// Stopped or Claimed -> Settled, by anyone after the window.
    ///
    /// # Errors
    /// Neither, or the window is not over.
    pub fn finalize(&self, terms: &Terms, now: UnixSeconds) -> Result<(Self, Split), Revert> {
        match self.state {
            State::Stopped | State::Claimed if now < self.until => Err(Revert::WrongTime),
            State::Stopped => Ok(self.settled_at(terms, self.floor)),
            State::Claimed => {
                let extra = terms.rate.charge_down(self.extra);
                let amount = self.floor.plus(extra).unwrap_or(Amount::MAX).min(self.locked);
                Ok(self.settled_at(terms, amount))
            }
            _ => Err(Revert::WrongState),
        }
    }

    /// Open -> Settled at the floor, by anyone from D on.
    ///
    /// # Errors
    /// Not open, or before D.
    pub fn expire(
        &self,
        terms: &Terms,
        windows: &Windows,
        now: UnixSeconds,
    ) -> Result<(Self, Split), Revert> {
        match self.state {
            State::Open if now < Self::deadline(terms, windows) => Err(Revert::WrongTime),
            State::Open => Ok(self.settled_at(terms, self.floor)),
            _ => Err(Revert::WrongState),
        }
    }

    fn accepts_receipts(
        &self,
        terms: &Terms,
        windows: &Windows,
        now: UnixSeconds,
    ) -> Result<(), Revert> {
        match self.state {
            State::Open if now < Self::deadline(terms, windows) => Ok(()),
            State::Stopped if now < self.until => Ok(()),
            State::Open | State::Stopped => Err(Revert::WrongTime),
            _ => Err(Revert::WrongState),
        }
    }

    fn bounds(
        &self,
        terms: &Terms,
        windows: &Windows,
        amount: Amount,
        seconds: Seconds,
        now: UnixSeconds,
    ) -> Result<(), Revert> {
        if amount > self.locked || amount > terms.rate.charge_down(seconds) {
            return Err(Revert::OutOfBounds);
        }
        within(terms, windows, seconds, now)
    }

    fn settled_at(&self, terms: &Terms, amount: Amount) -> (Self, Split) {
        let split = Split::of(amount, self.locked, terms.fee);
        (Self { state: State::Settled, ..Self::default() }, split)
    }
}

impl Split {
    /// Divide `locked` when `amount` of it is due: `fee = floor(amount x share / 10,000)`.
    pub fn of(amount: Amount, locked: Amount, share: primitives::BasisPoints) -> Self {
        let fee = amount.share_down(share);
        let paid = amount.minus(fee).unwrap_or_default();
        Self { paid, fee, refund: locked.minus(amount).unwrap_or_default() }
    }

    /// What the renter is charged: `paid + fee`.
    pub fn charge(&self) -> Amount {
        self.paid.plus(self.fee).unwrap_or(Amount::MAX)
    }
}

/// The longest a deal may last after `acceptBy`.
pub const LONGEST: Seconds = Seconds(366 * 86_400);

/// No receipt may claim more time than can have passed: `seconds + acceptBy <= min(now, expiry) + A`.
fn within(
    terms: &Terms,
    windows: &Windows,
    seconds: Seconds,
    now: UnixSeconds,
) -> Result<(), Revert> {
    if terms.accept_by.plus(seconds) <= now.min(terms.expiry).plus(windows.accept) {
        Ok(())
    } else {
        Err(Revert::OutOfBounds)
    }
}

/// Whether a rate and a span give exactly this amount: how a bill is re-computed by hand.
pub fn recomputes(rate: Rate, seconds: Seconds, amount: Amount) -> bool {
    rate.charge_down(seconds) == amount
}

#[cfg(test)]
mod tests;
