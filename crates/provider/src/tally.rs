//! A run's samples as receipts need them: those that both sides have, and those since.

use market::Meter;
use primitives::{B256, Sample};

/// The samples of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Over the samples that the gateway has.
    agreed: Meter,
    /// All samples, in order; those that the gateway has among them.
    all: Vec<Sample>,
}

impl Tally {
    /// The tally of `all` samples, of which those under the root `agreed` are with the gateway.
    pub(crate) fn new(all: Vec<Sample>, agreed: B256) -> Self {
        let mut tally = Self { agreed: Meter::default(), all };
        let mut meter = Meter::default();
        for sample in &tally.all {
            if meter.root() == agreed {
                break;
            }
            meter.push(sample);
        }
        if meter.root() == agreed {
            tally.agreed = meter;
        }
        tally
    }

    /// How many samples there are.
    pub(crate) fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// How many of them the gateway has.
    pub(crate) fn agreed(&self) -> u64 {
        self.agreed.count()
    }

    /// More samples.
    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = Sample>) {
        self.all.extend(more);
    }

    /// Those that the gateway does not have.
    pub(crate) fn since(&self) -> &[Sample] {
        let from = usize::try_from(self.agreed.count()).unwrap_or(usize::MAX);
        self.all.get(from..).unwrap_or_default()
    }

    /// The meter over all of them.
    pub(crate) fn meter(&self) -> Meter {
        self.agreed.clone().extended(self.since())
    }

    /// The gateway has so many, it says.
    pub(crate) fn agree_on(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.all.len());
        let agreed = usize::try_from(self.agreed.count()).unwrap_or(usize::MAX);
        self.agreed = if count >= agreed {
            self.agreed.clone().extended(&self.all[agreed..count])
        } else {
            Meter::default().extended(&self.all[..count])
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u64) -> Vec<Sample> {
        (0..count).map(|at_ms| Sample { at_ms, ..Sample::default() }).collect()
    }

    #[test]
    fn what_the_gateway_has_is_found_again_by_its_root() {
        let all = samples(9);
        for count in 0..=9u64 {
            let agreed = Meter::default().extended(&all[..usize::try_from(count).expect("small")]);
            let tally = Tally::new(all.clone(), agreed.root());
            assert_eq!(tally.agreed(), count);
            assert_eq!(tally.meter(), Meter::default().extended(&all));
        }
    }

    #[test]
    fn the_gateway_may_have_more_or_less_than_was_thought() {
        let mut tally = Tally::new(samples(9), B256::ZERO);
        let whole = tally.meter();
        for count in [5, 2, 9, 0] {
            tally.agree_on(count);
            assert_eq!(tally.since().len() as u64, 9 - count);
            assert_eq!(tally.meter(), whole);
        }
        tally.agree_on(99);
        assert_eq!(tally.agreed(), 9);
    }
}
