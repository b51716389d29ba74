//! The Merkle Patricia trie of Ethereum, kept by changing only what a block touches.
//!
//! Upon `set`/`remove`: the nodes on the way from the root to the key are loaded, and no others.
//! Upon `commit`: exactly the loaded nodes are hashed again and returned as writes and deletions.
//!
//! In: the root hash, a reader of stored nodes by path, changes of keys. Out: the new root hash and
//! the changed nodes by path.
//!
//! Invariant: a node with an RLP of 32 bytes or more, and the root whatever its size, is stored
//! under its path from the root; a smaller one lives inside its parent (Yellow Paper, appendix D).
//! The work per changed key is bounded by the depth, log16 of the number of keys.
//!
//! Not here: what keys and values mean (`state`), where nodes are kept (`store`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNode, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};

use crate::error::Error;

/// Reads the RLP of the node stored under a path.
pub(crate) type NodeReader<'a> = &'a dyn Fn(&Nibbles) -> Result<Option<Vec<u8>>, Error>;

/// Nodes to write (`Some`) and to delete (`None`), by path.
pub(crate) type NodeChanges = BTreeMap<Nibbles, Option<Vec<u8>>>;

#[derive(Debug, Default)]
enum Node {
    #[default]
    Empty,
    /// Known only by its reference: not loaded, therefore not changed.
    Stored(RlpNode),
    Leaf {
        rest: Nibbles,
        value: Vec<u8>,
    },
    Extension {
        shared: Nibbles,
        child: Box<Self>,
    },
    Branch {
        children: Box<[Self; 16]>,
    },
}

/// One trie, loaded as far as it was touched.
pub(crate) struct Trie<'a> {
    root: Node,
    reader: NodeReader<'a>,
    loaded: BTreeSet<Nibbles>,
}

impl<'a> Trie<'a> {
    /// The trie with this root hash; nothing is loaded yet.
    pub(crate) fn new(root: B256, reader: NodeReader<'a>) -> Self {
        let root = match root {
            EMPTY_ROOT_HASH => Node::Empty,
            hash => Node::Stored(RlpNode::word_rlp(&hash)),
        };
        Self { root, reader, loaded: BTreeSet::new() }
    }

    /// Sets the value under a (hashed) key.
    pub(crate) fn set(&mut self, key: B256, value: Vec<u8>) -> Result<(), Error> {
        let root = std::mem::take(&mut self.root);
        self.root = self.set_below(Nibbles::new(), root, Nibbles::unpack(key), value)?;
        Ok(())
    }

    /// Removes a (hashed) key; a key that is absent changes nothing.
    pub(crate) fn remove(&mut self, key: B256) -> Result<(), Error> {
        let root = std::mem::take(&mut self.root);
        self.root = self.remove_below(Nibbles::new(), root, Nibbles::unpack(key))?;
        Ok(())
    }

    /// Hashes what was loaded; returns the new root and the nodes that changed place or content.
    pub(crate) fn commit(self) -> (B256, NodeChanges) {
        let mut changes: NodeChanges = self.loaded.into_iter().map(|path| (path, None)).collect();
        let root = match self.root {
            Node::Empty => EMPTY_ROOT_HASH,
            // Nothing was loaded.
            Node::Stored(reference) => reference.as_hash().unwrap_or(EMPTY_ROOT_HASH),
            node => {
                let rlp = encode(Nibbles::new(), node, &mut changes);
                let hash = keccak256(&rlp);
                changes.insert(Nibbles::new(), Some(rlp));
                hash
            }
        };
        (root, changes)
    }

    /// Replaces a reference by the node it stands for.
    fn load(&mut self, at: Nibbles, node: Node) -> Result<Node, Error> {
        let Node::Stored(reference) = node else { return Ok(node) };
        if !reference.is_hash() {
            return decode(&reference);
        }
        let rlp = (self.reader)(&at)?
            .ok_or_else(|| Error::damaged(format!("trie node at {at:?} is missing")))?;
        self.loaded.insert(at);
        decode(&rlp)
    }

    fn set_below(
        &mut self,
        at: Nibbles,
        node: Node,
        rest: Nibbles,
        value: Vec<u8>,
    ) -> Result<Node, Error> {
        match self.load(at, node)? {
            Node::Empty | Node::Stored(_) => Ok(Node::Leaf { rest, value }),
            Node::Leaf { rest: old, value: old_value } => {
                let common = old.common_prefix_length(&rest);
                if common == rest.len() {
                    return Ok(Node::Leaf { rest, value });
                }
                let mut children = Box::<[Node; 16]>::default();
                children[usize::from(old.get_unchecked(common))] =
                    Node::Leaf { rest: old.slice(common + 1..), value: old_value };
                children[usize::from(rest.get_unchecked(common))] =
                    Node::Leaf { rest: rest.slice(common + 1..), value };
                Ok(extend(rest.slice(..common), Node::Branch { children }))
            }
            Node::Extension { shared, child } => {
                let common = shared.common_prefix_length(&rest);
                if common == shared.len() {
                    let child =
                        self.set_below(at.join(&shared), *child, rest.slice(common..), value)?;
                    return Ok(Node::Extension { shared, child: Box::new(child) });
                }
                let mut children = Box::<[Node; 16]>::default();
                children[usize::from(shared.get_unchecked(common))] =
                    extend(shared.slice(common + 1..), *child);
                children[usize::from(rest.get_unchecked(common))] =
                    Node::Leaf { rest: rest.slice(common + 1..), value };
                Ok(extend(rest.slice(..common), Node::Branch { children }))
            }
            Node::Branch { mut children } => {
                let nibble = rest.get_unchecked(0);
                let child = std::mem::take(&mut children[usize::from(nibble)]);
                children[usize::from(nibble)] =
                    self.set_below(below(at, nibble), child, rest.slice(1..), value)?;
                Ok(Node::Branch { children })
            }
        }
    }

    fn remove_below(&mut self, at: Nibbles, node: Node, rest: Nibbles) -> Result<Node, Error> {
        match self.load(at, node)? {
            Node::Leaf { rest: found, .. } if found == rest => Ok(Node::Empty),
            Node::Extension { shared, child } if rest.starts_with(&shared) => {
                let child =
                    self.remove_below(at.join(&shared), *child, rest.slice(shared.len()..))?;
                Ok(extend(shared, child))
            }
            Node::Branch { mut children } => {
                let nibble = rest.get_unchecked(0);
                let child = std::mem::take(&mut children[usize::from(nibble)]);
                children[usize::from(nibble)] =
                    self.remove_below(below(at, nibble), child, rest.slice(1..))?;
                self.collapse(at, children)
            }
            other => Ok(other),
        }
    }

    /// A branch with a single child left is no branch any more.
    fn collapse(&mut self, at: Nibbles, mut children: Box<[Node; 16]>) -> Result<Node, Error> {
        let mut present = (0u8..16).filter(|i| !matches!(children[usize::from(*i)], Node::Empty));
        match (present.next(), present.next()) {
            (None, _) => Ok(Node::Empty),
            (Some(only), None) => {
                let child = std::mem::take(&mut children[usize::from(only)]);
                let child = self.load(below(at, only), child)?;
                Ok(extend(Nibbles::from_nibbles([only]), child))
            }
            _ => Ok(Node::Branch { children }),
        }
    }
}

/// The nodes from the root down to a (hashed) key, as `eth_getProof` returns them: proof of the
/// value where the key is present, of its absence where not.
pub(crate) fn prove(root: B256, key: B256, reader: NodeReader<'_>) -> Result<Vec<Bytes>, Error> {
    let mut proof = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok(proof);
    }
    let key = Nibbles::unpack(key);
    let mut at = Nibbles::new();
    let mut reference = RlpNode::word_rlp(&root);
    loop {
        let node = if reference.is_hash() {
            let rlp = reader(&at)?
                .ok_or_else(|| Error::damaged(format!("trie node at {at:?} is missing")))?;
            let node = decode(&rlp)?;
            proof.push(Bytes::from(rlp));
            node
        } else {
            decode(&reference)?
        };
        let rest = key.slice(at.len()..);
        let next = match node {
            Node::Extension { shared, child } if rest.starts_with(&shared) => {
                at.extend(&shared);
                *child
            }
            Node::Branch { mut children } => {
                let nibble = rest.get_unchecked(0);
                at.push(nibble);
                std::mem::take(&mut children[usize::from(nibble)])
            }
            _ => return Ok(proof),
        };
        match next {
            Node::Stored(below) => reference = below,
            _ => return Ok(proof),
        }
    }
}

fn below(mut at: Nibbles, nibble: u8) -> Nibbles {
    at.push(nibble);
    at
}

/// Puts a common path in front of a node, joining it with a path that already begins there.
fn extend(prefix: Nibbles, node: Node) -> Node {
    match node {
        node if prefix.is_empty() => node,
        Node::Empty => Node::Empty,
        Node::Leaf { rest, value } => Node::Leaf { rest: prefix.join(&rest), value },
        Node::Extension { shared, child } => {
            Node::Extension { shared: prefix.join(&shared), child }
        }
        node => Node::Extension { shared: prefix, child: Box::new(node) },
    }
}

/// The RLP of a loaded node; its loaded children go into `changes`.
fn encode(at: Nibbles, node: Node, changes: &mut NodeChanges) -> Vec<u8> {
    let mut rlp = Vec::new();
    match node {
        Node::Empty | Node::Stored(_) => rlp.push(alloy_rlp::EMPTY_STRING_CODE),
        Node::Leaf { rest, value } => LeafNodeRef::new(&rest, &value).encode(&mut rlp),
        Node::Extension { shared, child } => {
            let child = reference(at.join(&shared), *child, changes);
            ExtensionNodeRef::new(&shared, &child).encode(&mut rlp);
        }
        Node::Branch { mut children } => {
            let mut mask = TrieMask::default();
            let mut stack = Vec::with_capacity(16);
            for nibble in 0u8..16 {
                let child = std::mem::take(&mut children[usize::from(nibble)]);
                if !matches!(child, Node::Empty) {
                    mask.set_bit(nibble);
                    stack.push(reference(below(at, nibble), child, changes));
                }
            }
            BranchNode::new(stack, mask).encode(&mut rlp);
        }
    }
    rlp
}

/// How a parent refers to this node: by hash, or by the node itself where that is shorter.
fn reference(at: Nibbles, node: Node, changes: &mut NodeChanges) -> RlpNode {
    if let Node::Stored(reference) = node {
        return reference;
    }
    let rlp = encode(at, node, changes);
    let reference = RlpNode::from_rlp(&rlp);
    if reference.is_hash() {
        changes.insert(at, Some(rlp));
    }
    reference
}

fn decode(mut rlp: &[u8]) -> Result<Node, Error> {
    let node = TrieNode::decode(&mut rlp)
        .map_err(|error| Error::damaged(format!("a trie node cannot be read: {error}")))?;
    Ok(match node {
        TrieNode::EmptyRoot => Node::Empty,
        TrieNode::Leaf(leaf) => Node::Leaf { rest: leaf.key, value: leaf.value },
        TrieNode::Extension(extension) => Node::Extension {
            shared: extension.key,
            child: Box::new(Node::Stored(extension.child)),
        },
        TrieNode::Branch(branch) => {
            let mut children = Box::<[Node; 16]>::default();
            let mut stack = branch.stack.into_iter();
            for nibble in 0u8..16 {
                if branch.state_mask.is_bit_set(nibble) {
                    children[usize::from(nibble)] =
                        stack.next().map(Node::Stored).unwrap_or_default();
                }
            }
            Node::Branch { children }
        }
    })
}

#[cfg(test)]
mod tests;
