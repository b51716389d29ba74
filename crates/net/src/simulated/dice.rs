//! What happens to an exchange on its way, decided by a seed.

use std::{ops::RangeInclusive, time::Duration};

/// What a simulated network does to exchanges. Chances are in thousandths and exclude each other.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How long a header takes one way.
    pub latency: RangeInclusive<Duration>,
    /// The request never arrives.
    pub request_lost: u16,
    /// The request is acted on, the answer never arrives.
    pub response_lost: u16,
    /// The request arrives twice (when its body is not a reader); one answer comes back.
    pub heard_twice: u16,
}

/// One exchange's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) there: Duration,
    pub(crate) back: Duration,
    pub(crate) fate: Fate,
}

/// What goes wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    RequestLost,
    ResponseLost,
    HeardTwice,
}

/// A sequence of pseudo-random numbers: SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
/// pseudorandom number generators", figure 17).
pub(crate) struct Dice(u64);

impl Conditions {
    /// Nothing is lost or doubled and everything takes a millisecond each way.
    pub const fn fair() -> Self {
        let latency = Duration::from_millis(1);
        Self {
            latency: RangeInclusive::new(latency, latency),
            request_lost: 0,
            response_lost: 0,
            heard_twice: 0,
        }
    }

    fn fate(&self, draw: u64) -> Fate {
        let mut below = 0;
        for (chance, fate) in [
            (self.request_lost, Fate::RequestLost),
            (self.response_lost, Fate::ResponseLost),
            (self.heard_twice, Fate::HeardTwice),
        ] {
            below += u64::from(chance);
            if draw % 1_000 < below {
                return fate;
            }
        }
        Fate::Arrives
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::fair()
    }
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The way of the next exchange; always the same number of draws.
    pub(crate) fn roll(&mut self, conditions: &Conditions) -> Way {
        let (fate, there, back) = (self.next(), self.next(), self.next());
        Way {
            fate: conditions.fate(fate),
            there: within(&conditions.latency, there),
            back: within(&conditions.latency, back),
        }
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The draw's place in the range, in whole microseconds.
fn within(range: &RangeInclusive<Duration>, draw: u64) -> Duration {
    let span = range.end().saturating_sub(*range.start()).as_micros();
    let micros = u128::from(draw) % (span + 1);
    *range.start() + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        let mut dice = Dice::new(1_234_567);
        let drawn = [dice.next(), dice.next(), dice.next()];
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(drawn, published);
    }

    #[test]
    fn fates_come_about_as_often_as_their_chances_say() {
        let conditions = Conditions {
            latency: Duration::from_millis(1)..=Duration::from_millis(9),
            request_lost: 100,
            response_lost: 200,
            heard_twice: 300,
        };
        let mut dice = Dice::new(7);
        let ways: Vec<_> = (0..10_000).map(|_| dice.roll(&conditions)).collect();
        let share = |fate| ways.iter().filter(|way| way.fate == fate).count();
        for (fate, expected) in [
            (Fate::RequestLost, 1_000),
            (Fate::ResponseLost, 2_000),
            (Fate::HeardTwice, 3_000),
            (Fate::Arrives, 4_000),
        ] {
            let share = share(fate);
            assert!(share.abs_diff(expected) < 200, "{fate:?}: {share}, about {expected}");
        }
        assert!(ways.iter().all(|way| conditions.latency.contains(&way.there)));
    }
}
