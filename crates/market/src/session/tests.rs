//! Tests of the session's slot: what the key may take, what the renter may, and what comes back.

use primitives::{Address, B256, BasisPoints, Rate, Seconds};
use proptest::prelude::*;

use super::*;
use crate::document::{Domain, Kind};

const ESCROW: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(9) };
const NOW: UnixSeconds = UnixSeconds(1_000);

fn amount(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

fn session() -> Session {
    Session {
        renter: Address::repeat_byte(1),
        key: Address::repeat_byte(3),
        token: Address::repeat_byte(5),
        cap: amount(1_000),
        max_rate: Rate::per_hour(3_600).expect("small"),
        expiry: UnixSeconds(2_000),
        salt: B256::repeat_byte(7),
    }
}

fn terms(cap: u128) -> Terms {
    Terms {
        renter: Address::repeat_byte(1),
        provider: Address::repeat_byte(2),
        renter_key: Address::repeat_byte(3),
        provider_key: Address::repeat_byte(4),
        session: session().id(&ESCROW).0,
        token: Address::repeat_byte(5),
        cap: amount(cap),
        rate: Rate::per_hour(3_600).expect("small"),
        fee: BasisPoints(250),
        kind: Kind::Lease,
        accept_by: UnixSeconds(1_030),
        expiry: UnixSeconds(5_000),
        grace: Seconds(60),
        gateway: Address::ZERO,
        open_fee: amount(7),
        close_fee: amount(11),
        nonce: 1,
        spec: B256::ZERO,
    }
}

fn open(slot: SessionUse, terms: &Terms, now: UnixSeconds) -> Result<SessionUse, Breach> {
    slot.open(&session(), session().id(&ESCROW), terms, now)
}

fn granted() -> SessionUse {
    SessionUse::default().granted()
}

#[test]
fn a_key_opens_within_all_bounds_of_the_session() {
    let used = |open: Result<SessionUse, Breach>| open.map(|slot| slot.used);
    assert_eq!(used(open(granted(), &terms(982), NOW)), Ok(1_000), "cap and both fees");
    assert_eq!(used(open(granted(), &terms(983), NOW)), Err(Breach::Cap));
    assert_eq!(open(SessionUse::default(), &terms(1), NOW), Err(Breach::Ungranted));
    assert_eq!(open(granted(), &terms(1), UnixSeconds(2_000)), Err(Breach::Expired));
    assert!(open(granted(), &terms(1), UnixSeconds(1_999)).is_ok());
    let dear = Terms { rate: Rate::per_hour(3_601).expect("small"), ..terms(1) };
    assert_eq!(open(granted(), &dear, NOW), Err(Breach::Rate));
    for other in [
        Terms { session: B256::ZERO, ..terms(1) },
        Terms { renter: Address::repeat_byte(8), ..terms(1) },
        Terms { renter_key: Address::repeat_byte(8), ..terms(1) },
        Terms { token: Address::repeat_byte(8), ..terms(1) },
    ] {
        assert_eq!(open(granted(), &other, NOW), Err(Breach::Other));
    }
}

#[test]
fn the_renter_itself_may_go_beyond_the_cap_and_then_the_key_may_nothing() {
    let full = open(granted(), &terms(982), NOW).expect("it fits");
    assert_eq!(full.top_up_by_key(&session(), amount(1), NOW), Err(Breach::Cap));
    let beyond = full.top_up_by_renter(amount(500)).expect("its own money");
    assert_eq!((beyond.used, beyond.left(&session(), NOW)), (1_500, Amount::ZERO));
    assert_eq!(beyond.give_back(amount(700)).left(&session(), NOW), amount(200));
}

#[test]
fn a_revoked_session_grows_no_more_and_is_revoked_once() {
    let revoked = granted().revoke().expect("the first time");
    assert_eq!(revoked.revoke(), Err(Breach::Revoked));
    assert_eq!(open(revoked, &terms(1), NOW), Err(Breach::Revoked));
    assert_eq!(revoked.top_up_by_renter(amount(1)), Err(Breach::Revoked));
    assert_eq!(revoked.left(&session(), NOW), Amount::ZERO);
    // One that was never granted can be revoked too, and a grant does not bring it back.
    let before = SessionUse::default().revoke().expect("before any deal").granted();
    assert_eq!(open(before, &terms(1), NOW), Err(Breach::Revoked));
}

#[test]
fn a_session_is_granted_by_its_renter_alone() {
    let renter = primitives::Key::from_bytes([1; 32]).expect("a key");
    let other = primitives::Key::from_bytes([2; 32]).expect("a key");
    let mine = || Session { renter: renter.address(), ..session() };
    assert!(mine().signed(&ESCROW, &renter).is_granted(&ESCROW));
    assert!(!mine().signed(&ESCROW, &other).is_granted(&ESCROW));
    let elsewhere = Domain { chain_id: 1, ..ESCROW };
    assert!(!mine().signed(&elsewhere, &renter).is_granted(&ESCROW));
    let mut raised = mine().signed(&ESCROW, &renter);
    raised.document.cap = amount(1_001);
    assert!(!raised.is_granted(&ESCROW));
}

proptest! {
    #[test]
    fn what_the_key_does_never_brings_the_use_above_the_cap(
        steps in proptest::collection::vec((any::<bool>(), 0u128..700), 0..30)
    ) {
        let mut slot = granted();
        let mut held = 0;
        for (opens, units) in steps {
            if opens {
                if let Ok(next) = open(slot, &terms(units.max(1)), NOW) {
                    held += units.max(1) + 7 + 11;
                    slot = next;
                }
            } else {
                let back = units.min(held);
                slot = slot.give_back(amount(back));
                held -= back;
            }
            prop_assert_eq!(slot.used, held);
            prop_assert!(slot.used <= session().cap.units());
        }
    }
}
