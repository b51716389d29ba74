//! Money: token base units, prices per hour, and the one rule by which time becomes money.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{ParseError, Seconds};

/// A sum of money in base units of a token (10^-6 dollar for a stablecoin of six decimals).
///
/// Contracts hold amounts in 96 bits; an `Amount` never exceeds [`Amount::MAX`]. JSON carries
/// amounts as decimal strings, because numbers above 2^53 do not survive JavaScript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// A price in token base units per hour, the unit of every signed document (decision 15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u128);

/// A share in hundredths of a percent, 0 to 10,000.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BasisPoints(pub u16);

const HOUR: u128 = 3_600;
const WHOLE: u128 = 10_000;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount a contract slot can hold, 2^96 - 1.
    pub const MAX: Self = Self((1 << 96) - 1);

    /// The amount of `units` base units, or `None` above [`Amount::MAX`].
    pub const fn new(units: u128) -> Option<Self> {
        if units <= Self::MAX.0 { Some(Self(units)) } else { None }
    }

    /// The number of base units.
    pub const fn units(self) -> u128 {
        self.0
    }

    /// The sum, or `None` above [`Amount::MAX`].
    pub const fn plus(self, other: Self) -> Option<Self> {
        Self::new(self.0 + other.0)
    }

    /// The difference, or `None` below zero.
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The share of this amount, rounded down: `floor(amount x share / 10,000)`, as `Escrow` does.
    pub const fn share_down(self, share: BasisPoints) -> Self {
        Self(self.0 * share.0 as u128 / WHOLE)
    }

    /// This amount in whole coins, for people: `1.25` for 1,250,000 units of six decimals.
    pub fn in_coins(self, decimals: u8) -> String {
        let one = 10u128.pow(u32::from(decimals));
        let (whole, part) = (self.0 / one, self.0 % one);
        if part == 0 {
            return whole.to_string();
        }
        let digits = format!("{part:0width$}", width = usize::from(decimals));
        format!("{whole}.{}", digits.trim_end_matches('0'))
    }

    /// Read whole coins written by a person, such as `0.05`.
    ///
    /// # Errors
    /// Refuses what is not a decimal number, is too large, or has more digits than `decimals`.
    pub fn from_coins(text: &str, decimals: u8) -> Result<Self, ParseError> {
        let refuse = |why: &str| ParseError::new("amount", text, why);
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() && part.is_empty() {
            return Err(refuse("expected a number such as 0.05"));
        }
        if part.len() > usize::from(decimals) {
            return Err(refuse(&format!("the token has only {decimals} decimals")));
        }
        let digits = format!("{whole}{part:0<width$}", width = usize::from(decimals));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse("expected a number such as 0.05"));
        }
        let units = digits.parse().map_err(|_| refuse("the number is too large"))?;
        Self::new(units).ok_or_else(|| refuse("the number is too large"))
    }
}

impl Rate {
    /// Free of charge.
    pub const ZERO: Self = Self(0);
    /// The largest rate a contract slot can hold, 2^96 - 1 units per hour.
    pub const MAX: Self = Self(Amount::MAX.0);

    /// The rate of `units` base units per hour, or `None` above [`Rate::MAX`].
    pub const fn per_hour(units: u128) -> Option<Self> {
        if units <= Self::MAX.0 { Some(Self(units)) } else { None }
    }

    /// Base units per hour.
    pub const fn units_per_hour(self) -> u128 {
        self.0
    }

    /// What `elapsed` costs: `floor(rate x seconds / 3600)`, applied once to the cumulative time
    /// so that the error of a whole deal is below one unit (decision 15).
    pub const fn charge_down(self, elapsed: Seconds) -> Amount {
        match self.0.checked_mul(elapsed.0 as u128) {
            Some(product) if product / HOUR <= Amount::MAX.0 => Amount(product / HOUR),
            _ => Amount::MAX,
        }
    }

    /// Money to put aside for `limit` with a buffer on top:
    /// `ceil(rate x limit x (10,000 + buffer) / (3600 x 10,000))` (ESC-1), or `None` when no slot
    /// can hold it.
    pub fn hold_up(self, limit: Seconds, buffer: BasisPoints) -> Option<Amount> {
        let product =
            self.0.checked_mul(u128::from(limit.0))?.checked_mul(WHOLE + u128::from(buffer.0))?;
        Amount::new(product.div_ceil(HOUR * WHOLE))
    }

    /// The sum of two rates, or `None` above [`Rate::MAX`].
    pub const fn plus(self, other: Self) -> Option<Self> {
        Self::per_hour(self.0 + other.0)
    }

    /// The rate of `quantity` parts of which `whole` cost this rate, rounded up, or `None` when
    /// it overflows or `whole` is zero.
    pub fn scaled_up(self, quantity: u64, whole: u64) -> Option<Self> {
        if whole == 0 {
            return None;
        }
        let product = self.0.checked_mul(u128::from(quantity))?;
        Self::per_hour(product.div_ceil(u128::from(whole)))
    }
}

macro_rules! decimal_text {
    ($name:ident, $what:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let units: u128 = text
                    .parse()
                    .map_err(|_| ParseError::new($what, text, "expected a whole number"))?;
                if units > Amount::MAX.0 {
                    return Err(ParseError::new($what, text, "above 2^96 - 1"));
                }
                Ok(Self(units))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

decimal_text!(Amount, "amount");
decimal_text!(Rate, "rate");

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(units: u128) -> Amount {
        Amount::new(units).expect("the test uses small numbers")
    }

    fn rate(units: u128) -> Rate {
        Rate::per_hour(units).expect("the test uses small numbers")
    }

    #[test]
    fn a_second_at_one_dollar_an_hour_costs_277_units_rounded_down() {
        assert_eq!(rate(1_000_000).charge_down(Seconds(1)), amount(277));
        assert_eq!(rate(1_000_000).charge_down(Seconds(3_600)), amount(1_000_000));
    }

    #[test]
    fn a_charge_never_exceeds_what_a_slot_holds() {
        assert_eq!(Rate::MAX.charge_down(Seconds(u64::MAX)), Amount::MAX);
    }

    #[test]
    fn a_hold_is_rounded_up_and_has_the_buffer_on_top() {
        assert_eq!(rate(100).hold_up(Seconds(3_600), BasisPoints(2_000)), Some(amount(120)));
        assert_eq!(rate(1).hold_up(Seconds(1), BasisPoints(0)), Some(amount(1)));
        assert_eq!(Rate::MAX.hold_up(Seconds(u64::MAX), BasisPoints(0)), None);
    }

    #[test]
    fn coins_are_read_and_written_without_loss() {
        for (text, units) in
            [("0.05", 50_000), ("1", 1_000_000), (".5", 500_000), ("12.000001", 12_000_001)]
        {
            assert_eq!(Amount::from_coins(text, 6).expect("a number"), amount(units));
        }
        assert_eq!(amount(12_000_001).in_coins(6), "12.000001");
        assert_eq!(amount(2_000_000).in_coins(6), "2");
        for wrong in ["", ".", "1.0000001", "-1", "a", "1e3", "99999999999999999999999999999999"] {
            assert!(Amount::from_coins(wrong, 6).is_err(), "{wrong} must be refused");
        }
    }

    #[test]
    fn amounts_travel_as_decimal_strings() {
        let text = "\"79228162514264337593543950335\"";
        assert_eq!(serde_json::to_string(&Amount::MAX).expect("an amount"), text);
        assert_eq!(serde_json::from_str::<Amount>(text).expect("an amount"), Amount::MAX);
        assert!(serde_json::from_str::<Amount>("\"79228162514264337593543950336\"").is_err());
    }
}
