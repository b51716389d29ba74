//! Small sums and spans, for saying what is expected.

use primitives::{Amount, Rate, Seconds};

/// So many base units.
pub(crate) fn amount(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

/// What so many seconds cost, in base units.
pub(crate) fn charge(rate: Rate, seconds: u64) -> u128 {
    rate.charge_down(Seconds(seconds)).units()
}
