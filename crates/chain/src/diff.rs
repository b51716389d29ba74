//! What one block changes in the state: values before and after, and the trie nodes that follow.
//!
//! Invariant: `before` is what the parent state holds, so the diff undoes as well as it does; the
//! storage root inside each account is already the new one.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::TrieAccount;

use crate::trie::NodeChanges;

/// A value that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<T> {
    /// In the parent state.
    pub(crate) before: T,
    /// In the state of this block.
    pub(crate) after: T,
}

/// All that one block changes in the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diff {
    /// Accounts created, changed or (after = `None`) removed.
    pub(crate) accounts: BTreeMap<Address, Change<Option<TrieAccount>>>,
    /// Storage slots changed; zero means absent.
    pub(crate) storage: BTreeMap<(Address, U256), Change<U256>>,
    /// Code deployed, by hash.
    pub(crate) codes: BTreeMap<B256, Bytes>,
    /// Nodes of the account trie.
    pub(crate) account_nodes: NodeChanges,
    /// Nodes of storage tries, by hashed address.
    pub(crate) storage_nodes: BTreeMap<B256, NodeChanges>,
}

impl Diff {
    /// How many trie nodes were hashed or deleted: the work that the state root cost.
    pub(crate) fn nodes_touched(&self) -> usize {
        self.account_nodes.len() + self.storage_nodes.values().map(BTreeMap::len).sum::<usize>()
    }
}
