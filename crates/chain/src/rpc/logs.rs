//! Logs by range, address and topics.

use std::collections::BTreeSet;

use alloy_eips::BlockNumberOrTag;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde_json::{Value, json};

use crate::{
    error::Error,
    node::Node,
    rpc::{
        blocks::logs_of,
        moment::Moment,
        params::{Params, RpcError},
    },
    store::Snapshot,
};

/// Logs that one answer may hold.
const LIMIT: usize = 50_000;

pub(super) fn get(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let filter = filter(params)?;
    Ok(json!(matching(node, &filter)?))
}

/// The filter in a request.
pub(super) fn filter(params: &Params) -> Result<Filter, RpcError> {
    if let Some(Value::Object(given)) = params.raw(0) {
        let has = |name: &str| given.get(name).is_some_and(|value| !value.is_null());
        if has("blockHash") && (has("fromBlock") || has("toBlock")) {
            return Err(RpcError::invalid(
                "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose \
                 one or the other",
            ));
        }
    }
    params.required(0, "filter")
}

/// All logs that a filter selects from the chain as it is.
pub(super) fn matching(node: &Node, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let head = Moment::head(node)?;
    let newest = head.header.number;
    let (first, last) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = head.snapshot.number(hash)?.ok_or_else(RpcError::no_block)?;
            (number, number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let number = |tag: Option<BlockNumberOrTag>| match tag {
                Some(BlockNumberOrTag::Number(number)) => number,
                Some(BlockNumberOrTag::Earliest) => 0,
                _ => newest,
            };
            (number(from_block), number(to_block))
        }
    };
    if first > last {
        return Err(RpcError::invalid(format!(
            "invalid argument 0 (filter): fromBlock {first} is after toBlock {last}"
        )));
    }
    between(&head.snapshot, filter, first, last.min(newest))
}

/// The logs that match from block `first` to block `last`, both included.
pub(super) fn between(
    snapshot: &Snapshot,
    filter: &Filter,
    first: u64,
    last: u64,
) -> Result<Vec<Log>, RpcError> {
    let mut found = Vec::new();
    let mut take = |number: u64| -> Result<(), RpcError> {
        let Some(header) = snapshot.header(number)? else { return Ok(()) };
        if !filter.matches_bloom(header.logs_bloom) {
            return Ok(());
        }
        let block = snapshot.block(number)?;
        let block = block.ok_or_else(|| Error::damaged(format!("block {number} is missing")))?;
        found.extend(logs_of(&block).filter(|log| filter.matches(&log.inner)));
        if found.len() > LIMIT {
            return Err(RpcError::failed(format!(
                "query returned more than {LIMIT} results: ask for fewer blocks"
            )));
        }
        Ok(())
    };
    if filter.address.is_empty() {
        (first..=last).try_for_each(&mut take)?;
    } else if first <= last {
        let mut numbers = BTreeSet::new();
        for address in filter.address.iter() {
            numbers.extend(snapshot.logged(*address, first, last)?);
        }
        numbers.into_iter().try_for_each(&mut take)?;
    }
    Ok(found)
}
