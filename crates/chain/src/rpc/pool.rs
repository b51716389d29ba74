//! What waits in the pool.

use std::collections::BTreeMap;

use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::{Address, U64};
use alloy_rpc_types_eth as eth;
use serde_json::{Value, json};

use std::sync::Arc;

use crate::{
    block::Transaction,
    node::Node,
    rpc::{
        blocks::waiting,
        params::{Params, RpcError},
    },
};

type ByNonce = BTreeMap<String, eth::Transaction<Transaction>>;

pub(super) fn status(node: &Node) -> Result<Value, RpcError> {
    let content = node.pool().content();
    let pending: usize = content.values().map(|content| content.pending.len()).sum();
    let queued: usize = content.values().map(|content| content.queued.len()).sum();
    Ok(json!({ "pending": U64::from(pending), "queued": U64::from(queued) }))
}

pub(super) fn content(node: &Node) -> Result<Value, RpcError> {
    let mut pending = BTreeMap::new();
    let mut queued = BTreeMap::new();
    for (sender, content) in node.pool().content() {
        let name = sender.to_checksum(None);
        if !content.pending.is_empty() {
            pending.insert(name.clone(), by_nonce(&content.pending));
        }
        if !content.queued.is_empty() {
            queued.insert(name, by_nonce(&content.queued));
        }
    }
    Ok(json!({ "pending": pending, "queued": queued }))
}

pub(super) fn content_from(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let sender: Address = params.required(0, "address")?;
    let content = node.pool().content_of(sender);
    Ok(json!({ "pending": by_nonce(&content.pending), "queued": by_nonce(&content.queued) }))
}

fn by_nonce(transactions: &[Arc<Recovered<Transaction>>]) -> ByNonce {
    transactions
        .iter()
        .map(|transaction| (transaction.nonce().to_string(), waiting(transaction)))
        .collect()
}
