//! What the escrow stores of a session, as a pure function: what its deals take from the cap and
//! give back.
//!
//! used += cap + openFee + closeFee when a deal is opened in the session, used += amount when it is
//! topped up, used -= refund when it is settled, so that `used` is what its live deals hold and its
//! settled ones have cost. What the key does leaves used <= cap; the renter itself may go beyond.
//! Upon a revocation: nothing opens or grows any more; open deals end as agreed.

use primitives::{Amount, SessionId, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::document::{Session, Terms};

/// The one slot of storage a session has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUse {
    /// Held in its live deals and spent by its settled ones, in base units. No [`Amount`]: over a
    /// long life a renter may put in more than one of those can hold.
    pub used: u128,
    /// The renter's signature was seen.
    pub granted: bool,
    /// No deal in it opens or grows any more.
    pub revoked: bool,
}

/// Why a session does not allow something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Breach {
    /// The terms name another session, or it is for another renter, key or token.
    #[error("the terms are not of this session")]
    Other,
    /// The terms ask for more than the session's highest rate.
    #[error("the rate is above the session's highest")]
    Rate,
    /// The renter has not signed it.
    #[error("the renter has not granted the session")]
    Ungranted,
    /// Its key could act before its expiry.
    #[error("the session has expired")]
    Expired,
    /// The key may not bring what is used above the cap.
    #[error("the session's cap does not leave that much")]
    Cap,
    /// The renter has revoked it.
    #[error("the session is revoked")]
    Revoked,
}

impl SessionUse {
    /// After the renter's signature was seen.
    #[must_use]
    pub fn granted(self) -> Self {
        Self { granted: true, ..self }
    }

    /// After the key has opened a deal with these terms. `id` is the session's.
    ///
    /// # Errors
    /// The session does not allow it.
    pub fn open(
        self,
        session: &Session,
        id: SessionId,
        terms: &Terms,
        now: UnixSeconds,
    ) -> Result<Self, Breach> {
        let same = terms.session == id.0
            && terms.renter == session.renter
            && terms.renter_key == session.key
            && terms.token == session.token;
        if !same {
            return Err(Breach::Other);
        }
        if terms.rate > session.max_rate {
            return Err(Breach::Rate);
        }
        let taken = [terms.cap, terms.open_fee, terms.close_fee];
        self.by_key(session, taken.iter().map(|part| part.units()).sum(), now)
    }

    /// After the key has topped up a deal.
    ///
    /// # Errors
    /// The session does not allow it.
    pub fn top_up_by_key(
        self,
        session: &Session,
        more: Amount,
        now: UnixSeconds,
    ) -> Result<Self, Breach> {
        self.by_key(session, more.units(), now)
    }

    /// After the renter itself has topped up a deal, whatever the cap.
    ///
    /// # Errors
    /// Revoked.
    pub fn top_up_by_renter(self, more: Amount) -> Result<Self, Breach> {
        self.with(more.units())
    }

    /// After a deal was settled and `refund` came back.
    #[must_use]
    pub fn give_back(self, refund: Amount) -> Self {
        Self { used: self.used.saturating_sub(refund.units()), ..self }
    }

    /// After the renter has revoked it.
    ///
    /// # Errors
    /// Revoked before.
    pub fn revoke(self) -> Result<Self, Breach> {
        if self.revoked { Err(Breach::Revoked) } else { Ok(Self { revoked: true, ..self }) }
    }

    /// What the key may still put aside at `now`; nothing once the session has ended.
    pub fn left(&self, session: &Session, now: UnixSeconds) -> Amount {
        if self.revoked || now >= session.expiry {
            return Amount::ZERO;
        }
        Amount::new(session.cap.units().saturating_sub(self.used)).unwrap_or_default()
    }

    fn by_key(self, session: &Session, taken: u128, now: UnixSeconds) -> Result<Self, Breach> {
        if !self.granted {
            return Err(Breach::Ungranted);
        }
        if now >= session.expiry {
            return Err(Breach::Expired);
        }
        if self.used.saturating_add(taken) > session.cap.units() {
            return Err(Breach::Cap);
        }
        self.with(taken)
    }

    fn with(self, taken: u128) -> Result<Self, Breach> {
        if self.revoked {
            return Err(Breach::Revoked);
        }
        Ok(Self { used: self.used.saturating_add(taken), ..self })
    }
}

#[cfg(test)]
mod tests;
