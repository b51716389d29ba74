//! When a party was away.

use primitives::{Seconds, UnixSeconds};

/// The spans of one party's absence, in order.
#[derive(Clone, Debug, Default)]
pub struct Absence {
    spans: Vec<(UnixSeconds, UnixSeconds)>,
    since: Option<UnixSeconds>,
}

/// Later than anything that happens.
const NEVER: UnixSeconds = UnixSeconds(u64::MAX);

impl Absence {
    /// It is gone from now on.
    pub fn begin(&mut self, now: UnixSeconds) {
        self.since.get_or_insert(now);
    }

    /// It is back.
    pub fn end(&mut self, now: UnixSeconds) {
        if let Some(since) = self.since.take() {
            self.spans.push((since, now));
        }
    }

    /// How long somebody of these was away between two moments, overlaps counted once each.
    pub fn total(of: &[&Self], from: UnixSeconds, until: UnixSeconds) -> Seconds {
        let spans = of.iter().flat_map(|it| it.spans());
        let away = spans.map(|(gone, back)| back.min(until).since(gone.max(from)).0);
        Seconds(away.sum())
    }

    /// The longest time between two moments for which nobody of these was away.
    pub fn longest_presence(of: &[&Self], from: UnixSeconds, until: UnixSeconds) -> Seconds {
        let mut spans: Vec<_> = of.iter().flat_map(|it| it.spans()).collect();
        spans.sort_unstable();
        let (mut longest, mut here) = (Seconds(0), from);
        for (gone, back) in spans {
            longest = longest.max(gone.min(until).since(here));
            here = here.max(back.min(until));
        }
        longest.max(until.since(here))
    }

    fn spans(&self) -> impl Iterator<Item = (UnixSeconds, UnixSeconds)> + '_ {
        self.spans.iter().copied().chain(self.since.map(|since| (since, NEVER)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(spans: &[(u64, u64)]) -> Absence {
        let mut absence = Absence::default();
        for (from, to) in spans {
            absence.begin(UnixSeconds(*from));
            absence.end(UnixSeconds(*to));
        }
        absence
    }

    #[test]
    fn the_longest_presence_lies_between_the_absences_of_all() {
        let (one, other) = (away(&[(10, 20)]), away(&[(25, 30), (90, 200)]));
        let longest = |from, until| {
            Absence::longest_presence(&[&one, &other], UnixSeconds(from), UnixSeconds(until)).0
        };
        assert_eq!((longest(0, 100), longest(0, 12), longest(12, 18)), (60, 10, 0));
        let total = Absence::total(&[&one, &other], UnixSeconds(15), UnixSeconds(100));
        assert_eq!(total, Seconds(5 + 5 + 10));
    }

    #[test]
    fn who_is_gone_now_is_gone_for_ever_as_far_as_is_known() {
        let mut absence = Absence::default();
        absence.begin(UnixSeconds(5));
        let until = UnixSeconds(50);
        assert_eq!(Absence::longest_presence(&[&absence], UnixSeconds(0), until), Seconds(5));
    }
}
