//! The pool: order, replacement, and that nothing ready is ever left out.

use std::collections::BTreeMap;

use alloy_consensus::{Transaction as _, TxEip1559, transaction::SignerRecoverable};
use alloy_primitives::Address;
use proptest::prelude::*;

use super::{Pool, Refusal};
use crate::{
    block::hash_of,
    testing::{person, signed, transfer},
};

fn paying(nonce: u64, fee: u128) -> TxEip1559 {
    let max_priority_fee_per_gas = fee;
    TxEip1559 {
        max_fee_per_gas: fee,
        max_priority_fee_per_gas,
        ..transfer(nonce, Address::ZERO, 0)
    }
}

fn insert(pool: &mut Pool, who: u8, draft: TxEip1559, next: u64) -> Result<bool, Refusal> {
    pool.insert(signed(who, draft).try_into_recovered().unwrap(), next)
}

/// (sender, nonce) of everything ready, in order.
fn ready(pool: &Pool) -> Vec<(Address, u64)> {
    pool.ready(0).iter().map(|tx| (tx.signer(), tx.nonce())).collect()
}

#[test]
fn a_transaction_behind_a_gap_waits_until_the_gap_closes() {
    let mut pool = Pool::default();
    assert_eq!(insert(&mut pool, 0, paying(1, 0), 0), Ok(false));
    assert!(ready(&pool).is_empty());
    assert_eq!(insert(&mut pool, 0, paying(0, 0), 0), Ok(true));
    assert_eq!(ready(&pool), [(person(0), 0), (person(0), 1)]);
}

#[test]
fn the_best_tip_goes_first_and_equal_tips_go_in_the_order_of_arrival() {
    let mut pool = Pool::default();
    insert(&mut pool, 0, paying(0, 1), 0).unwrap();
    insert(&mut pool, 1, paying(0, 5), 0).unwrap();
    insert(&mut pool, 2, paying(0, 5), 0).unwrap();
    insert(&mut pool, 0, paying(1, 9), 0).unwrap();
    // The nonce comes before the tip: the 9 has to wait for the 1 in front of it.
    let order = [(person(1), 0), (person(2), 0), (person(0), 0), (person(0), 1)];
    assert_eq!(ready(&pool), order);
}

#[test]
fn a_replacement_pays_a_tenth_more_and_from_nothing_at_least_one() {
    let mut pool = Pool::default();
    insert(&mut pool, 0, paying(0, 0), 0).unwrap();
    assert_eq!(insert(&mut pool, 0, paying(0, 0), 0), Err(Refusal::Known));
    let other = TxEip1559 { gas_limit: 30_000, ..paying(0, 0) };
    assert_eq!(insert(&mut pool, 0, other, 0), Err(Refusal::Underpriced));
    insert(&mut pool, 0, paying(0, 1), 0).unwrap();
    insert(&mut pool, 0, paying(0, 100), 0).unwrap();
    assert_eq!(insert(&mut pool, 0, paying(0, 109), 0), Err(Refusal::Underpriced));
    insert(&mut pool, 0, paying(0, 110), 0).unwrap();
    assert_eq!(ready(&pool), [(person(0), 0)]);
    let waiting = &pool.ready(0)[0];
    assert_eq!(waiting.max_fee_per_gas(), 110);
    assert!(pool.get(hash_of(waiting)).is_some());
}

#[test]
fn a_used_nonce_is_refused_and_one_that_gets_used_leaves() {
    let mut pool = Pool::default();
    let refused = insert(&mut pool, 0, paying(2, 0), 3);
    assert_eq!(refused, Err(Refusal::NonceTooLow { next: 3, given: 2 }));
    for nonce in 3..6 {
        insert(&mut pool, 0, paying(nonce, 0), 3).unwrap();
    }
    pool.advance([(person(0), 5)]);
    assert_eq!(ready(&pool), [(person(0), 5)]);
    assert_eq!(pool.next_nonce(person(0), 5), 6);
    pool.advance([(person(0), 6)]);
    assert!(pool.content().is_empty());
}

#[test]
fn what_pays_less_than_the_base_fee_waits_and_holds_back_its_followers_only() {
    let mut pool = Pool::default();
    insert(&mut pool, 0, paying(0, 3), 0).unwrap();
    insert(&mut pool, 0, paying(1, 9), 0).unwrap();
    insert(&mut pool, 1, paying(0, 5), 0).unwrap();
    let ready: Vec<_> = pool.ready(5).iter().map(|tx| tx.signer()).collect();
    assert_eq!(ready, [person(1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the order of arrival and wherever blocks fall between: after draining, exactly the
    /// transactions behind a gap are left.
    #[test]
    fn no_ready_transaction_is_left_behind(
        arrivals in Just((0u8..4).flat_map(|who| (0u64..8).map(move |nonce| (who, nonce)))
            .collect::<Vec<_>>()).prop_shuffle(),
        missing in prop::collection::vec((0u8..4, 0u64..8), 0..3),
        drains in prop::collection::vec(any::<bool>(), 32),
    ) {
        let mut pool = Pool::default();
        let mut nonces = BTreeMap::from([0u8, 1, 2, 3].map(|who| (person(who), 0u64)));
        let drain = |pool: &mut Pool, nonces: &mut BTreeMap<Address, u64>| {
            loop {
                // A block takes three at most.
                let taken: Vec<_> = ready(pool).into_iter().take(3).collect();
                if taken.is_empty() {
                    break;
                }
                for (who, nonce) in &taken {
                    assert_eq!(nonces.insert(*who, nonce + 1), Some(*nonce), "in order");
                }
                pool.advance(taken.iter().map(|(who, _)| (*who, nonces[who])));
            }
        };
        let arrivals: Vec<_> = arrivals.into_iter().filter(|a| !missing.contains(a)).collect();
        for ((who, nonce), seal) in arrivals.iter().zip(&drains) {
            let next = nonces[&person(*who)];
            insert(&mut pool, *who, paying(*nonce, 0), next).unwrap();
            if *seal {
                drain(&mut pool, &mut nonces);
            }
        }
        drain(&mut pool, &mut nonces);
        for who in 0u8..4 {
            let gap = (0u64..8).find(|nonce| missing.contains(&(who, *nonce))).unwrap_or(8);
            prop_assert_eq!(nonces[&person(who)], gap, "sender {}", who);
            prop_assert!(pool.content_of(person(who)).pending.is_empty());
        }
    }
}
