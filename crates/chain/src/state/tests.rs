//! The state root against a rebuild from every account, over random blocks; history; destruction.

use std::sync::Arc;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, TxKind, U256, bytes, keccak256};
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

use crate::{
    chain::Chain,
    execute::Executor,
    genesis::Config,
    store::Snapshot,
    testing::{
        COUNTER, Hand, SETTER, ask, config, deploy, draft, person, raw, signed, transfer, words,
    },
};

/// The state root computed from every account and slot in the flat tables.
fn rebuilt_root(snapshot: &Snapshot) -> B256 {
    let accounts = snapshot.accounts().unwrap();
    for (address, account) in &accounts {
        let slots = snapshot.slots(*address).unwrap();
        let slots = slots.into_iter().map(|(slot, value)| (B256::from(slot), value));
        assert_eq!(account.storage_root, storage_root_unhashed(slots), "storage of {address}");
    }
    state_root_unhashed(accounts)
}

fn assert_root(chain: &Chain) {
    let snapshot = chain.node().snapshot().unwrap();
    let head = snapshot.head().unwrap().unwrap();
    assert_eq!(head.state_root, rebuilt_root(&snapshot), "block {}", head.number);
}

#[derive(Clone, Debug)]
enum Act {
    Pay {
        to: u8,
        wei: u64,
    },
    Set {
        slot: u64,
        value: u64,
    },
    Deploy,
    /// A contract that is gone before its transaction ends.
    Vanish,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0u8..20, 0u64..5).prop_map(|(to, wei)| Act::Pay { to, wei }),
        (0u64..12, 0u64..3).prop_map(|(slot, value)| Act::Set { slot, value }),
        Just(Act::Deploy),
        Just(Act::Vanish),
    ]
}

#[test]
fn the_root_of_random_blocks_is_that_of_a_rebuild_from_every_account() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let blocks = prop::collection::vec((0u8..4, act()), 1..25);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    runner
        .run(&blocks, |acts| {
            runtime.block_on(async {
                let chain = Chain::open(config(4, Hand::at(1_000))).unwrap();
                assert_root(&chain);
                let mut nonces = [0u64; 4];
                let setter = deploy(&chain, 0, 0, SETTER).await;
                nonces[0] += 1;
                for (who, act) in acts {
                    let nonce = nonces[usize::from(who)];
                    nonces[usize::from(who)] += 1;
                    let set = |slot, value| draft(nonce, TxKind::Call(setter), words(slot, value));
                    let sent = match act {
                        Act::Pay { to, wei } => transfer(nonce, Address::repeat_byte(to + 1), wei),
                        Act::Set { slot, value } => set(slot, value),
                        Act::Deploy => draft(nonce, TxKind::Create, COUNTER),
                        Act::Vanish => draft(nonce, TxKind::Create, bytes!("600160005533ff")),
                    };
                    chain.send(&raw(who, sent)).await.unwrap();
                    assert_root(&chain);
                }
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_account_that_destroys_itself_takes_all_its_storage_along() {
    // Since Cancun only a contract of the same transaction can vanish: take the rules before it.
    let doomed = Address::repeat_byte(0xdd);
    let slots = (0..40u64).map(|i| (B256::from(U256::from(i)), B256::from(U256::from(i + 1))));
    let mut config: Config = config(1, Hand::at(1_000));
    config.genesis.config.cancun_time = None;
    config.genesis.config.prague_time = None;
    config.genesis.alloc.insert(
        doomed,
        GenesisAccount::default()
            .with_balance(U256::from(5))
            .with_code(Some(bytes!("33ff")))
            .with_storage(Some(slots.collect())),
    );
    let chain = Chain::open(config).unwrap();
    chain.send(&raw(0, draft(0, TxKind::Call(doomed), words(0, 0)))).await.unwrap();
    assert_root(&chain);
    assert_eq!(ask(&chain, "eth_getCode", json!([doomed, "latest"])).await, "0x");
    let zero = json!(B256::ZERO);
    assert_eq!(ask(&chain, "eth_getStorageAt", json!([doomed, "0x3", "latest"])).await, zero);
    // What was can still be read.
    let was = json!(B256::from(U256::from(4)));
    assert_eq!(ask(&chain, "eth_getStorageAt", json!([doomed, "0x3", "0x0"])).await, was);
    assert_eq!(ask(&chain, "eth_getCode", json!([doomed, "0x0"])).await, "0x33ff");
}

#[tokio::test]
async fn every_past_state_stays_readable() {
    let chain = Chain::open(config(1, Hand::at(1_000))).unwrap();
    let setter = deploy(&chain, 0, 0, SETTER).await;
    for value in 1..=30u64 {
        // Zero every third time, so that absence is a value too.
        let stored = if value.is_multiple_of(3) { 0 } else { value };
        let set = draft(value, TxKind::Call(setter), words(7, stored));
        chain.send(&raw(0, set)).await.unwrap();
    }
    for value in 1..=30u64 {
        let block = format!("{:#x}", value + 1);
        let stored = if value.is_multiple_of(3) { 0 } else { value };
        let slot = ask(&chain, "eth_getStorageAt", json!([setter, "0x7", block])).await;
        assert_eq!(slot, json!(B256::from(U256::from(stored))), "after block {block}");
        let nonce = ask(&chain, "eth_getTransactionCount", json!([person(0), block])).await;
        assert_eq!(nonce, format!("{:#x}", value + 1));
    }
    assert_eq!(ask(&chain, "eth_getCode", json!([setter, "0x0"])).await, "0x");
}

#[test]
fn the_work_for_a_transfer_does_not_grow_with_the_number_of_accounts() {
    let touched = [10u64, 20_000].map(|accounts| {
        let mut config = config(1, Hand::at(1_000));
        let crowd = (0..accounts).map(|i| {
            let address = Address::from_word(keccak256(i.to_be_bytes()));
            (address, GenesisAccount::default().with_balance(U256::from(1)))
        });
        config.genesis.alloc.extend(crowd);
        let chain = Chain::open(config).unwrap();
        let snapshot = chain.node().snapshot().unwrap();
        let head = snapshot.head().unwrap().unwrap();
        let environment = chain.node().next_environment(&head);
        let mut executor = Executor::begin(environment, snapshot, head.state_root).unwrap();
        let transfer = signed(0, transfer(0, Address::repeat_byte(9), 1));
        executor.push(&transfer.try_into_recovered().unwrap()).unwrap().unwrap();
        executor.finish(&[]).unwrap().diff.nodes_touched()
    });
    // Four accounts change (sender, recipient, two system contracts), each under log16(n) nodes:
    // two thousand times the accounts cost at most three levels more.
    assert!(touched[1] <= touched[0] + 4 * 3, "{touched:?}");
}

#[test]
fn snapshots_do_not_move() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let chain = Chain::open(config(1, Hand::at(1_000))).unwrap();
        let before: Arc<Snapshot> = chain.node().snapshot().unwrap();
        chain.send(&raw(0, transfer(0, Address::repeat_byte(9), 1))).await.unwrap();
        assert_eq!(before.head().unwrap().unwrap().number, 0);
        assert_eq!(before.account(Address::repeat_byte(9), None).unwrap(), None);
        let after = chain.node().snapshot().unwrap();
        assert_eq!(after.head().unwrap().unwrap().number, 1);
    });
}
