//! Merkle roots over many records, such that a contract can check one of them.
//!
//! Leaves are hashed twice so that an inner node can never pass as a leaf; pairs are sorted before
//! hashing, as OpenZeppelin's `MerkleProof` expects; an odd node rises unpaired. The root of
//! nothing is zero.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// A Merkle root; zero stands for "no records".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Root(pub B256);

/// The leaf of a record: `keccak256(keccak256(record))`.
pub fn merkle_leaf(record: &[u8]) -> B256 {
    keccak256(keccak256(record))
}

/// The root over `leaves` in the given order.
pub fn merkle_root(leaves: impl IntoIterator<Item = B256>) -> Root {
    let mut level: Vec<B256> = leaves.into_iter().collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => merkle_join(*left, *right),
                [single] => *single,
                _ => unreachable!("chunks of two hold one or two"),
            })
            .collect();
    }
    Root(level.first().copied().unwrap_or_default())
}

/// The node above two nodes, in either order: `keccak256(low || high)`.
pub fn merkle_join(left: B256, right: B256) -> B256 {
    let (low, high) = if left <= right { (left, right) } else { (right, left) };
    keccak256([low.0, high.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_records_have_the_zero_root_and_one_record_is_its_own_leaf() {
        assert_eq!(merkle_root([]), Root::default());
        assert_eq!(merkle_root([merkle_leaf(b"a")]).0, merkle_leaf(b"a"));
    }

    #[test]
    fn the_order_within_a_pair_does_not_matter_but_membership_does() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|record| merkle_leaf(record));
        assert_eq!(merkle_root([a, b]), merkle_root([b, a]));
        assert_ne!(merkle_root([a, b]), merkle_root([a, c]));
        assert_eq!(merkle_root([a, b, c]).0, merkle_join(merkle_join(a, b), c));
    }
}
