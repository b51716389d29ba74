//! The state after a block as the EVM reads it, and what the state becomes after the next one.
//!
//! In: a snapshot and a height; the changes that execution made. Out: accounts, storage, code and
//! block hashes; the diff of a block and its state root.
//!
//! Invariant: the root follows from the parent's trie and the changed values alone; no account that
//! the block left alone is read.
//!
//! Not here: how changes come about (`execute`), how nodes are laid out (`trie`, `store`).

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    database::{BundleAccount, BundleState},
    state::AccountInfo,
};

use crate::{
    diff::{Change, Diff},
    error::Error,
    store::Snapshot,
    trie::Trie,
};

/// The state after one block.
#[derive(Clone)]
pub(crate) struct State {
    snapshot: Arc<Snapshot>,
    /// `None` is the head of the snapshot.
    height: Option<u64>,
}

impl State {
    /// The state at the head of a snapshot.
    pub(crate) fn head(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, height: None }
    }

    /// The state after block `height`, which must not be above the head.
    pub(crate) fn at(snapshot: Arc<Snapshot>, height: u64) -> Self {
        Self { snapshot, height: Some(height) }
    }

    /// The account, where it exists.
    pub(crate) fn account(&self, address: Address) -> Result<Option<TrieAccount>, Error> {
        self.snapshot.account(address, self.height)
    }

    /// The value of a storage slot; zero where there is none.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> Result<U256, Error> {
        self.snapshot.slot(address, slot, self.height)
    }

    /// The code of an account; empty where there is none.
    pub(crate) fn code(&self, address: Address) -> Result<alloy_primitives::Bytes, Error> {
        match self.account(address)? {
            Some(account) if account.code_hash != KECCAK256_EMPTY => {
                self.snapshot.code(account.code_hash)?.ok_or_else(|| {
                    Error::damaged(format!("code {} of {address} is missing", account.code_hash))
                })
            }
            _ => Ok(alloy_primitives::Bytes::new()),
        }
    }
}

impl DatabaseRef for State {
    type Error = Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Error> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Error> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        let code = self.snapshot.code(hash)?;
        let code = code.ok_or_else(|| Error::damaged(format!("code {hash} is missing")))?;
        Bytecode::new_raw_checked(code)
            .map_err(|error| Error::damaged(format!("code {hash} cannot be read: {error}")))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Error> {
        self.slot(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Error> {
        Ok(self.snapshot.hash(number)?.unwrap_or_default())
    }
}

/// Turns what execution changed on top of the head into a diff and the new state root.
pub(crate) fn settle(
    snapshot: &Snapshot,
    parent_root: B256,
    changes: &BundleState,
) -> Result<(Diff, B256), Error> {
    let mut diff = Diff::default();
    for (address, change) in &changes.state {
        settle_account(snapshot, *address, change, &mut diff)?;
    }
    for (hash, code) in &changes.contracts {
        if *hash != KECCAK256_EMPTY {
            diff.codes.insert(*hash, code.original_bytes());
        }
    }
    let reader = |path: &_| snapshot.account_node(path);
    let mut trie = Trie::new(parent_root, &reader);
    for (address, change) in &diff.accounts {
        let key = keccak256(address);
        match &change.after {
            Some(account) => trie.set(key, alloy_rlp::encode(account))?,
            None => trie.remove(key)?,
        }
    }
    let (root, nodes) = trie.commit();
    diff.account_nodes = nodes;
    Ok((diff, root))
}

fn settle_account(
    snapshot: &Snapshot,
    address: Address,
    change: &BundleAccount,
    diff: &mut Diff,
) -> Result<(), Error> {
    let before = snapshot.account(address, None)?;
    let owner = keccak256(address);
    let mut slots = BTreeMap::new();
    // A destroyed account loses every slot, also those the block never named.
    let vanished = change.was_destroyed();
    if vanished {
        for (slot, value) in snapshot.slots(address)? {
            slots.insert(slot, Change { before: value, after: U256::ZERO });
        }
    }
    for (slot, value) in &change.storage {
        let before = snapshot.slot(address, *slot, None)?;
        slots.insert(*slot, Change { before, after: value.present_value });
    }
    slots.retain(|_, change| change.before != change.after);

    let old_root = before.as_ref().map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
    let reader = |path: &_| snapshot.storage_node(owner, path);
    let mut nodes = BTreeMap::new();
    let mut trie = Trie::new(if vanished { EMPTY_ROOT_HASH } else { old_root }, &reader);
    if vanished {
        nodes = snapshot.storage_paths(owner)?.into_iter().map(|path| (path, None)).collect();
    }
    for (slot, change) in &slots {
        let key = keccak256(slot.to_be_bytes::<32>());
        if !change.after.is_zero() {
            trie.set(key, alloy_rlp::encode_fixed_size(&change.after).to_vec())?;
        } else if !vanished {
            trie.remove(key)?;
        }
    }
    let (storage_root, changed) = trie.commit();
    nodes.extend(changed);
    if !nodes.is_empty() {
        diff.storage_nodes.insert(owner, nodes);
    }
    diff.storage.extend(slots.into_iter().map(|(slot, change)| ((address, slot), change)));

    let after = change.info.as_ref().map(|info| TrieAccount {
        nonce: info.nonce,
        balance: info.balance,
        storage_root,
        code_hash: info.code_hash,
    });
    if before != after {
        diff.accounts.insert(address, Change { before, after });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
