//! Tests of the state table: bounds, windows, tombstones, conservation.

use primitives::{Address, B256, BasisPoints, DealId};
use proptest::prelude::*;

use super::*;
use crate::document::Kind;

const WINDOWS: Windows = Windows { dispute: Seconds(600), accept: Seconds(120) };

fn amount(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

fn terms() -> Terms {
    Terms {
        renter: Address::repeat_byte(1),
        provider: Address::repeat_byte(2),
        renter_key: Address::repeat_byte(3),
        provider_key: Address::repeat_byte(4),
        session: B256::ZERO,
        token: Address::repeat_byte(5),
        cap: amount(1_000),
        rate: Rate::per_hour(3_600).expect("small"),
        fee: BasisPoints(250),
        kind: Kind::Lease,
        accept_by: UnixSeconds(1_000),
        expiry: UnixSeconds(5_000),
        grace: Seconds(60),
        gateway: Address::ZERO,
        open_fee: Amount::ZERO,
        close_fee: Amount::ZERO,
        nonce: 1,
        spec: B256::ZERO,
    }
}

fn receipt(units: u128, seconds: u64, outcome: Outcome) -> Receipt {
    let deal = DealId::default();
    let [result, meter] = [B256::ZERO; 2];
    Receipt { deal, amount: amount(units), seconds: Seconds(seconds), outcome, result, meter }
}

fn open() -> Slot {
    Slot::default().open(&terms(), &WINDOWS, UnixSeconds(1_000)).expect("in time")
}

#[test]
fn a_deal_opens_only_between_lead_and_acceptance() {
    let at = |now| Slot::default().open(&terms(), &WINDOWS, UnixSeconds(now));
    assert_eq!(at(879), Err(Revert::WrongTime));
    assert!(at(880).is_ok());
    assert!(at(1_000).is_ok());
    assert_eq!(at(1_001), Err(Revert::WrongTime));
}

#[test]
fn settled_and_cancelled_are_for_ever() {
    let end = receipt(10, 10, Outcome::Completed);
    let (settled, _) = open().settle(&terms(), &WINDOWS, &end, UnixSeconds(1_100)).expect("due");
    let cancelled = Slot::default().cancel().expect("never opened");
    for tomb in [settled, cancelled] {
        let now = UnixSeconds(1_000);
        assert_eq!(tomb.open(&terms(), &WINDOWS, now), Err(Revert::WrongState));
        assert_eq!(tomb.cancel(), Err(Revert::WrongState));
        assert_eq!(tomb.top_up(&terms(), amount(1), now), Err(Revert::WrongState));
        assert_eq!(tomb.stop(&WINDOWS, now), Err(Revert::WrongState));
        assert_eq!(tomb.claim(&terms(), &WINDOWS, None, Seconds(0), now), Err(Revert::WrongState));
        assert_eq!(tomb.settle(&terms(), &WINDOWS, &end, now), Err(Revert::WrongState));
        assert_eq!(tomb.contest(&terms(), now), Err(Revert::WrongState));
        assert_eq!(tomb.finalize(&terms(), UnixSeconds(99_999)), Err(Revert::WrongState));
        assert_eq!(tomb.expire(&terms(), &WINDOWS, UnixSeconds(99_999)), Err(Revert::WrongState));
    }
}

#[test]
fn no_receipt_is_worth_more_than_rate_times_seconds_or_than_is_locked() {
    let now = UnixSeconds(4_000);
    let settle = |units, seconds| {
        open().settle(&terms(), &WINDOWS, &receipt(units, seconds, Outcome::Completed), now)
    };
    assert!(settle(1_000, 1_000).is_ok());
    assert_eq!(settle(11, 10).map(|_| ()), Err(Revert::OutOfBounds));
    assert_eq!(settle(1_001, 2_000).map(|_| ()), Err(Revert::OutOfBounds));
}

#[test]
fn no_receipt_states_more_time_than_can_have_passed() {
    let settle = |seconds, now| {
        let end = receipt(0, seconds, Outcome::Stopped);
        open().settle(&terms(), &WINDOWS, &end, UnixSeconds(now)).map(|_| ())
    };
    assert_eq!(settle(220, 1_100), Ok(()));
    assert_eq!(settle(221, 1_100), Err(Revert::OutOfBounds));
    assert_eq!(settle(4_120, 99_999), Ok(()), "up to expiry and the lead");
    assert_eq!(settle(4_121, 99_999), Err(Revert::OutOfBounds));
}

#[test]
fn an_early_fault_of_the_provider_carries_no_money() {
    let now = UnixSeconds(2_000);
    let settle = |units, seconds| {
        let end = receipt(units, seconds, Outcome::ProviderFault);
        open().settle(&terms(), &WINDOWS, &end, now).map(|_| ())
    };
    assert_eq!(settle(1, 299), Err(Revert::OutOfBounds));
    assert_eq!(settle(0, 299), Ok(()));
    assert_eq!(settle(300, 300), Ok(()));
}

#[test]
fn a_presented_receipt_raises_the_floor_and_never_lowers_it() {
    let now = UnixSeconds(1_200);
    let present = |slot: Slot, units| {
        slot.present(&terms(), &WINDOWS, &receipt(units, 100, Outcome::Running), now)
    };
    let slot = present(open(), 80).expect("in bounds");
    assert_eq!(slot.floor, amount(80));
    assert_eq!(present(slot, 50).expect("in bounds").floor, amount(80));
    let terminal = receipt(90, 100, Outcome::Completed);
    assert_eq!(slot.present(&terms(), &WINDOWS, &terminal, now), Err(Revert::WrongReceipt));
}

#[test]
fn a_claim_is_made_once_and_contested_only_in_its_window() {
    let now = UnixSeconds(1_200);
    let running = receipt(100, 100, Outcome::Running);
    let claim =
        |slot: Slot, extra| slot.claim(&terms(), &WINDOWS, Some(&running), Seconds(extra), now);
    assert_eq!(claim(open(), 61), Err(Revert::OutOfBounds));
    let claimed = claim(open(), 60).expect("in bounds");
    assert_eq!(claim(claimed, 60), Err(Revert::WrongState));
    let (_, contested) = claimed.contest(&terms(), UnixSeconds(1_799)).expect("in the window");
    assert_eq!(contested.charge(), amount(100));
    assert_eq!(claimed.contest(&terms(), UnixSeconds(1_800)).map(|_| ()), Err(Revert::WrongTime));
    let (_, final_) = claimed.finalize(&terms(), UnixSeconds(1_800)).expect("after the window");
    assert_eq!(final_.charge(), amount(160));
}

proptest! {
    #[test]
    fn paid_fee_and_refund_are_what_was_locked_to_the_unit(
        locked in 0u128..=Amount::MAX.units(),
        part in 0u128..=Amount::MAX.units(),
        share in 0u16..=10_000,
    ) {
        let due = part.min(locked);
        let split = Split::of(amount(due), amount(locked), BasisPoints(share));
        let sum = split.paid.units() + split.fee.units() + split.refund.units();
        prop_assert_eq!(sum, locked);
        prop_assert_eq!(split.charge(), amount(due));
    }
}
