//! When work goes on, is held, is ended.

use market::document::Kind;
use primitives::{Address, Amount, B256, BasisPoints, Rate, UnixSeconds};

use super::*;

fn terms() -> Terms {
    Terms {
        renter: Address::ZERO,
        provider: Address::ZERO,
        renter_key: Address::ZERO,
        provider_key: Address::ZERO,
        session: B256::ZERO,
        token: Address::ZERO,
        cap: Amount::new(1_000).expect("small"),
        rate: Rate::per_hour(3_600).expect("small"),
        fee: BasisPoints(0),
        kind: Kind::Lease,
        accept_by: UnixSeconds(0),
        expiry: UnixSeconds(10_000),
        grace: Seconds(60),
        gateway: Address::ZERO,
        open_fee: Amount::ZERO,
        close_fee: Amount::ZERO,
        nonce: 0,
        spec: B256::ZERO,
    }
}

fn span(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn moment(elapsed: u64, signed: u64, reachable_since: Option<u64>) -> Moment {
    Moment {
        elapsed: span(elapsed),
        signed: span(signed),
        reachable_since: reachable_since.map(span),
        held_for: Duration::ZERO,
        expired: false,
        stop: false,
    }
}

const LONG: Limit = Limit { time: Seconds(7_200), is_ours: false };

fn decide(moment: Moment) -> Pace {
    pace(&moment, &terms(), LONG, &Rules::default(), Seconds(600))
}

#[test]
fn a_reachable_renter_may_miss_one_signature_but_not_two() {
    assert_eq!(decide(moment(111, 100, Some(0))), Pace::Go);
    assert_eq!(decide(moment(112, 100, Some(0))), Pace::Hold);
}

#[test]
fn an_unreachable_renter_has_grace() {
    assert_eq!(decide(moment(159, 100, None)), Pace::Go);
    assert_eq!(decide(moment(160, 100, None)), Pace::Hold);
}

#[test]
fn one_that_just_came_back_is_given_time_to_sign() {
    assert_eq!(decide(moment(150, 100, Some(149))), Pace::Go);
    assert_eq!(decide(moment(160, 100, Some(159))), Pace::Hold, "but never beyond grace");
}

#[test]
fn a_signature_ahead_of_the_clock_is_no_silence() {
    assert_eq!(decide(moment(100, 101, Some(0))), Pace::Go);
}

#[test]
fn the_work_ends_before_a_second_would_cost_more_than_is_locked() {
    assert_eq!(decide(moment(999, 999, Some(0))), Pace::Go);
    assert_eq!(decide(moment(1_000, 1_000, Some(0))), Pace::End(Why::OutOfFunds));
    assert_eq!(why_stopped(false, span(1_000), &terms(), LONG), Why::OutOfFunds);
}

#[test]
fn a_stop_comes_before_everything_and_patience_ends() {
    let stopped = Moment { stop: true, ..moment(1_000, 0, None) };
    assert_eq!(decide(stopped), Pace::End(Why::Asked));
    let patient = Moment { held_for: span(599), ..moment(160, 100, None) };
    assert_eq!(decide(patient), Pace::Hold);
    assert_eq!(decide(Moment { held_for: span(600), ..patient }), Pace::End(Why::GaveUp));
    assert_eq!(why_stopped(false, span(160), &terms(), LONG), Why::GaveUp);
}

#[test]
fn work_ends_when_its_deal_expires_however_well_it_is_signed_for() {
    let expired = Moment { expired: true, ..moment(100, 100, Some(0)) };
    assert_eq!(decide(expired), Pace::End(Why::GaveUp));
    assert_eq!(decide(Moment { stop: true, ..expired }), Pace::End(Why::Asked));
}

#[test]
fn a_hold_that_pays_for_the_whole_limit_never_ends_the_work_before_the_limit_does() {
    let paid = |elapsed| {
        let moment = moment(elapsed, elapsed, Some(0));
        let limit = Limit { time: Seconds(1_000), is_ours: false };
        pace(&moment, &terms(), limit, &Rules::default(), Seconds(600))
    };
    assert_eq!(paid(999), Pace::Go);
    assert_eq!(paid(1_001), Pace::Go, "ended by its limit, which is not our business");
}

#[test]
fn an_array_ends_when_the_time_of_its_deal_is_over() {
    let limit = Limit { time: Seconds(500), is_ours: true };
    let paid = |elapsed| {
        let moment = moment(elapsed, elapsed, Some(0));
        pace(&moment, &terms(), limit, &Rules::default(), Seconds(600))
    };
    assert_eq!(paid(499), Pace::Go);
    assert_eq!(paid(500), Pace::End(Why::OutOfFunds));
    assert_eq!(why_stopped(false, span(500), &terms(), limit), Why::OutOfFunds);
}
