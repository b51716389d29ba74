//! Whether the work of a lease goes on, is held, or is ended: a pure decision.
//!
//! Upon a renter's side that can be reached and misses two signatures: hold the work. Upon one that
//! cannot be reached: hold it after `grace`, beyond which nothing can be claimed. Upon a signature:
//! go on. Upon patience running out, the hold or the time of the deal being used up, the deal's
//! expiry, or a stop: end.
//!
//! All silence is measured in running time, which stands still while the work is held and survives
//! a restart with the samples.

use std::time::Duration;

use market::{Rules, Terms, Work};
use primitives::Seconds;

/// What is known of a lease at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Running time.
    pub(crate) elapsed: Duration,
    /// Running time that the renter key has signed for.
    pub(crate) signed: Duration,
    /// Running time at which the gateway was found reachable, while it is.
    pub(crate) reachable_since: Option<Duration>,
    /// How long the work has been held now.
    pub(crate) held_for: Duration,
    /// Whether the deal has expired: what is to be claimed must be claimed soon.
    pub(crate) expired: bool,
    /// Whether the renter's side asked to end it.
    pub(crate) stop: bool,
}

/// What is to be done with the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Let it run.
    Go,
    /// Hold it and its clock.
    Hold,
    /// End it.
    End(Why),
}

/// The time that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Running time after which it is over.
    pub(crate) time: Seconds,
    /// Whether that is ours to see to; a task has its own limit, which its sandbox sees to.
    pub(crate) is_ours: bool,
}

impl Limit {
    /// The limit of a lease: a lone task's own, or for an array what the deal has beside
    /// preparation.
    pub(crate) fn of(work: &Work, terms: &Terms, rules: &Rules) -> Self {
        match work.array {
            None => Self { time: work.time_limit, is_ours: false },
            Some(_) => {
                let ready = terms.accept_by.plus(rules.preparation);
                Self { time: terms.expiry.since(ready), is_ours: true }
            }
        }
    }
}

/// Why work is ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The renter's side asked.
    Asked,
    /// The next second would cost more than is locked, or the time of the deal is over.
    OutOfFunds,
    /// The renter's side signs no more, or so rarely that the deal expired.
    GaveUp,
}

pub(crate) fn pace(
    moment: &Moment,
    terms: &Terms,
    limit: Limit,
    rules: &Rules,
    patience: Seconds,
) -> Pace {
    if moment.stop {
        return Pace::End(Why::Asked);
    }
    if is_out_of_funds(moment.elapsed, terms, limit) {
        return Pace::End(Why::OutOfFunds);
    }
    if moment.expired || moment.held_for >= patience.duration() {
        return Pace::End(Why::GaveUp);
    }
    let silent = moment.elapsed.saturating_sub(moment.signed);
    let missed =
        moment.reachable_since.map(|since| silent.min(moment.elapsed.saturating_sub(since)));
    let two_signatures = rules.receipt_interval.duration() * 2 + rules.clock_slack.duration();
    if silent >= rules.grace.duration() || missed.is_some_and(|missed| missed >= two_signatures) {
        return Pace::Hold;
    }
    Pace::Go
}

/// Why runs were stopped, told from what is durable; only we stop runs, so a stop that nobody asked
/// for and that neither funds nor time explain was our giving up.
pub(crate) fn why_stopped(stop: bool, elapsed: Duration, terms: &Terms, limit: Limit) -> Why {
    match stop {
        true => Why::Asked,
        false if is_out_of_funds(elapsed, terms, limit) => Why::OutOfFunds,
        false => Why::GaveUp,
    }
}

/// Whether one second more would cost more than is locked, or the deal's time is over. Where the
/// hold pays for all of the time, it is the time that ends the work.
fn is_out_of_funds(elapsed: Duration, terms: &Terms, limit: Limit) -> bool {
    let next = seconds(elapsed).plus(Seconds(1));
    let costs_too_much =
        terms.rate.charge_down(limit.time) > terms.cap && terms.rate.charge_down(next) > terms.cap;
    costs_too_much || (limit.is_ours && elapsed >= limit.time.duration())
}

/// Running time as it is billed: rounded up once, at least one second.
pub(crate) fn seconds(elapsed: Duration) -> Seconds {
    Seconds::from_duration_up(elapsed).max(Seconds(1))
}

#[cfg(test)]
mod tests;
