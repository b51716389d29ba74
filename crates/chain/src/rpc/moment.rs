//! Which block a request speaks of: number, tag, hash (EIP-1898), or the one being made.

use std::sync::Arc;

use alloy_consensus::{Header, Sealed};
use alloy_eips::{BlockId, BlockNumberOrTag};

use crate::{
    error::Error,
    execute::Environment,
    node::Node,
    rpc::params::{Params, RpcError},
    seal::environment_of,
    state::State,
    store::Snapshot,
};

/// A point in the life of the chain.
pub(crate) struct Moment {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The block; for the pending moment, the head.
    pub(crate) header: Sealed<Header>,
    /// Whether the block that would be begun now is meant.
    pub(crate) pending: bool,
    newest: bool,
}

impl Moment {
    /// The newest block.
    pub(crate) fn head(node: &Node) -> Result<Self, Error> {
        let snapshot = node.snapshot()?;
        let header = snapshot.head()?.ok_or_else(|| Error::damaged("there is no head"))?;
        Ok(Self { snapshot, header, pending: false, newest: true })
    }

    /// The block with this id, where there is one.
    pub(crate) fn find(node: &Node, id: BlockId) -> Result<Option<Self>, Error> {
        let head = Self::head(node)?;
        let number = match id {
            BlockId::Hash(hash) => match head.snapshot.number(hash.block_hash)? {
                Some(number) => number,
                None => return Ok(None),
            },
            BlockId::Number(BlockNumberOrTag::Number(number)) => number,
            BlockId::Number(BlockNumberOrTag::Earliest) => 0,
            BlockId::Number(BlockNumberOrTag::Pending) => {
                return Ok(Some(Self { pending: true, ..head }));
            }
            // One block is final at once: safe, finalized and latest are the same.
            BlockId::Number(
                BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized,
            ) => head.header.number,
        };
        if number == head.header.number {
            return Ok(Some(head));
        }
        let header = head.snapshot.header(number)?;
        Ok(header.map(|header| Self { header, newest: false, ..head }))
    }

    /// The block a state method names; the newest where it names none.
    pub(crate) fn of(node: &Node, params: &Params, index: usize) -> Result<Self, RpcError> {
        let id = params.optional(index, "block")?.unwrap_or_else(BlockId::latest);
        Self::find(node, id)?.ok_or_else(RpcError::no_block)
    }

    /// The state after the block.
    pub(crate) fn state(&self) -> State {
        if self.newest {
            State::head(self.snapshot.clone())
        } else {
            State::at(self.snapshot.clone(), self.header.number)
        }
    }

    /// What a transaction in the block sees.
    pub(crate) fn environment(&self, node: &Node) -> Environment {
        if self.pending {
            node.next_environment(&self.header)
        } else {
            environment_of(&node.rules, &self.header)
        }
    }

    /// As for a transaction that is still to come: on the newest state it can only be included in
    /// the next block, whose time may be long after the head's.
    pub(crate) fn coming(self) -> Self {
        Self { pending: self.newest, ..self }
    }
}
