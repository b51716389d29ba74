//! The trie against a root computed from nothing, over random histories.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, proof::verify_proof, root::storage_root_unsorted};
use proptest::prelude::*;

use super::{Trie, prove};
use crate::error::Error;

#[derive(Default)]
struct Stored(BTreeMap<Nibbles, Vec<u8>>);

impl Stored {
    fn read(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(path).cloned())
    }

    /// Applies changes (zero removes) to the trie with this root; returns the new root and how many
    /// nodes were touched.
    fn change(&mut self, root: B256, changes: &[(B256, U256)]) -> (B256, usize) {
        let (root, nodes) = {
            let reader = |path: &Nibbles| self.read(path);
            let mut trie = Trie::new(root, &reader);
            for (key, value) in changes {
                if value.is_zero() {
                    trie.remove(*key).unwrap();
                } else {
                    trie.set(*key, alloy_rlp::encode_fixed_size(value).to_vec()).unwrap();
                }
            }
            trie.commit()
        };
        let touched = nodes.len();
        for (path, node) in nodes {
            match node {
                Some(rlp) => self.0.insert(path, rlp),
                None => self.0.remove(&path),
            };
        }
        (root, touched)
    }
}

/// Keys that share long prefixes, so that every shape of node comes up.
fn key() -> impl Strategy<Value = B256> {
    (prop::collection::vec(0u8..3, 3), 0usize..4).prop_map(|(nibbles, place)| {
        let mut key = B256::ZERO;
        for (i, nibble) in nibbles.into_iter().enumerate() {
            key.0[(i * 7 + place * 3) % 32] |= nibble << (4 * (i % 2));
        }
        key
    })
}

/// Small values make nodes that live inside their parents.
fn value() -> impl Strategy<Value = U256> {
    prop_oneof![
        Just(U256::ZERO),
        (1u64..100).prop_map(U256::from),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_gives_the_root_of_its_outcome(
        blocks in prop::collection::vec(prop::collection::vec((key(), value()), 0..12), 1..12)
    ) {
        let mut stored = Stored::default();
        let mut model = BTreeMap::new();
        let mut root = EMPTY_ROOT_HASH;
        for block in blocks {
            model.extend(block.iter().copied());
            model.retain(|_, value| !value.is_zero());
            root = stored.change(root, &block).0;
            prop_assert_eq!(root, storage_root_unsorted(model.clone()));
        }
        // Taking everything out leaves nothing behind: no node is ever forgotten in the store.
        let all: Vec<_> = model.keys().map(|key| (*key, U256::ZERO)).collect();
        prop_assert_eq!(stored.change(root, &all).0, EMPTY_ROOT_HASH);
        prop_assert!(stored.0.is_empty(), "{} nodes are left", stored.0.len());
    }

    #[test]
    fn a_proof_shows_presence_and_absence(
        content in prop::collection::btree_map(key(), value(), 0..40),
        asked in key(),
    ) {
        let mut stored = Stored::default();
        let changes: Vec<_> = content.into_iter().collect();
        let root = stored.change(EMPTY_ROOT_HASH, &changes).0;
        let value = changes
            .iter()
            .find(|(key, value)| *key == asked && !value.is_zero())
            .map(|(_, value)| alloy_rlp::encode_fixed_size(value).to_vec());
        let proof = prove(root, asked, &|path| stored.read(path)).unwrap();
        verify_proof(root, Nibbles::unpack(asked), value, &proof).unwrap();
    }
}

#[test]
fn the_work_for_one_key_does_not_grow_with_the_number_of_keys() {
    let mut stored = Stored::default();
    let mut root = EMPTY_ROOT_HASH;
    let number = |i: u64| keccak256(i.to_be_bytes());
    let mut touched = Vec::new();
    for size in [100, 1_000, 10_000] {
        let fill: Vec<_> = (0..size).map(|i| (number(i), U256::from(i + 1))).collect();
        root = stored.change(root, &fill).0;
        let (changed, nodes) = stored.change(root, &[(number(7), U256::from(size))]);
        root = changed;
        touched.push(nodes);
    }
    // log16 of the number of keys, and some.
    assert!(touched.iter().all(|nodes| *nodes <= 7), "{touched:?}");
    assert!(touched[2] <= touched[0] + 3, "{touched:?}");
}

#[test]
fn a_missing_node_is_reported_not_guessed() {
    let mut stored = Stored::default();
    let changes: Vec<_> = (0..50u8).map(|i| (keccak256([i]), U256::from(i + 1))).collect();
    let root = stored.change(EMPTY_ROOT_HASH, &changes).0;
    stored.0.clear();
    let reader = |path: &Nibbles| stored.read(path);
    let mut trie = Trie::new(root, &reader);
    assert!(matches!(trie.remove(keccak256([1])), Err(Error::Damaged { .. })));
}
