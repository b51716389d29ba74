//! Blocks, headers, transactions and receipts.

use alloy_consensus::{BlockBody, Sealable, Transaction as _, transaction::Recovered};
use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718, eip4895::Withdrawals};
use alloy_primitives::{B256, Bytes, U64, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth as eth;
use serde_json::{Value, json};

use crate::{
    block::{Block, SealedBlock, Transaction, created_contract, gas_used_each, hash_of},
    error::Error,
    execute::Executor,
    node::Node,
    rpc::{
        moment::Moment,
        params::{Params, RpcError},
    },
    seal::{Choice, environment, header},
};

pub(super) fn number(node: &Node) -> Result<Value, RpcError> {
    Ok(json!(U64::from(Moment::head(node)?.header.number)))
}

pub(super) fn by_number(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let full = params.optional(1, "hydrated")?.unwrap_or(false);
    found(block(node, tag(params)?)?, |block| block_json(&block, full))
}

pub(super) fn by_hash(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let full = params.optional(1, "hydrated")?.unwrap_or(false);
    found(block(node, hash(params)?)?, |block| block_json(&block, full))
}

pub(super) fn header_by_number(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, tag(params)?)?, |block| json(&header_of(&block)))
}

pub(super) fn header_by_hash(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, hash(params)?)?, |block| json(&header_of(&block)))
}

pub(super) fn receipts(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, params.required(0, "block")?)?, |block| {
        let receipts = (0..block.receipts.len()).map(|index| receipt_of(node, &block, index));
        json(&receipts.collect::<Result<Vec<_>, _>>()?)
    })
}

pub(super) fn count_by_number(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, tag(params)?)?, |block| Ok(json!(U64::from(block.transactions.len()))))
}

pub(super) fn count_by_hash(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, hash(params)?)?, |block| Ok(json!(U64::from(block.transactions.len()))))
}

pub(super) fn uncle_count_by_number(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, tag(params)?)?, |block| Ok(json!(U64::from(block.ommers.len()))))
}

pub(super) fn uncle_count_by_hash(node: &Node, params: &Params) -> Result<Value, RpcError> {
    found(block(node, hash(params)?)?, |block| Ok(json!(U64::from(block.ommers.len()))))
}

pub(super) fn transaction_by_hash(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0, "hash")?;
    if let Some((block, index)) = located(node, hash)? {
        return transaction_json(&block, index);
    }
    found(node.pool().get(hash), |transaction| json(&waiting(&transaction)))
}

pub(super) fn transaction_by_number_and_index(
    node: &Node,
    params: &Params,
) -> Result<Value, RpcError> {
    let index = index(params)?;
    found(block(node, tag(params)?)?, |block| transaction_json(&block, index))
}

pub(super) fn transaction_by_hash_and_index(
    node: &Node,
    params: &Params,
) -> Result<Value, RpcError> {
    let index = index(params)?;
    found(block(node, hash(params)?)?, |block| transaction_json(&block, index))
}

pub(super) fn raw_transaction(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0, "hash")?;
    if let Some((block, index)) = located(node, hash)? {
        return Ok(json!(Bytes::from(block.transactions[index].encoded_2718())));
    }
    found(node.pool().get(hash), |waiting| Ok(json!(Bytes::from(waiting.encoded_2718()))))
}

pub(super) fn receipt(node: &Node, params: &Params) -> Result<Value, RpcError> {
    receipt_by_hash(node, params.required(0, "hash")?)
}

/// The receipt of a transaction that is in a block, else null.
pub(crate) fn receipt_by_hash(node: &Node, hash: B256) -> Result<Value, RpcError> {
    found(located(node, hash)?, |(block, index)| json(&receipt_of(node, &block, index)?))
}

/// A transaction that waits, as RPC shows it.
pub(super) fn waiting(transaction: &Recovered<Transaction>) -> eth::Transaction<Transaction> {
    eth::Transaction {
        inner: transaction.clone(),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: None,
        block_timestamp: None,
    }
}

/// The logs of a block with their places in it.
pub(super) fn logs_of(block: &SealedBlock) -> impl Iterator<Item = eth::Log> + '_ {
    let with_transaction = (0u64..).zip(&block.transactions).zip(&block.receipts);
    let logs = with_transaction.flat_map(|((index, transaction), receipt)| {
        receipt.logs().iter().map(move |log| (index, hash_of(transaction), log))
    });
    (0u64..).zip(logs).map(|(log_index, (index, hash, log))| eth::Log {
        inner: log.clone(),
        block_hash: Some(block.header.hash()),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index),
        log_index: Some(log_index),
        removed: false,
    })
}

fn tag(params: &Params) -> Result<BlockId, RpcError> {
    params.required::<BlockNumberOrTag>(0, "block").map(BlockId::Number)
}

fn hash(params: &Params) -> Result<BlockId, RpcError> {
    params.required::<B256>(0, "hash").map(BlockId::from)
}

fn index(params: &Params) -> Result<usize, RpcError> {
    params.required::<eth::Index>(1, "index").map(usize::from)
}

fn found<T>(
    what: Option<T>,
    show: impl FnOnce(T) -> Result<Value, RpcError>,
) -> Result<Value, RpcError> {
    what.map_or(Ok(Value::Null), show)
}

fn json(value: &impl serde::Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(value).map_err(|error| RpcError::failed(error.to_string()))
}

fn block(node: &Node, id: BlockId) -> Result<Option<SealedBlock>, Error> {
    let Some(moment) = Moment::find(node, id)? else { return Ok(None) };
    if moment.pending {
        return unsealed(node, &moment).map(Some);
    }
    moment.snapshot.block(moment.header.number)
}

/// The block that would be sealed now if no transaction were waiting.
fn unsealed(node: &Node, moment: &Moment) -> Result<SealedBlock, Error> {
    let parent = &moment.header;
    let choice = Choice::alone(parent, node.clock.now().0, parent.beneficiary);
    let environment = environment(&node.rules, parent, &choice);
    let executor =
        Executor::begin(environment.clone(), moment.snapshot.clone(), parent.state_root)?;
    let executed = executor.finish(&[])?;
    let header = header(&environment, &choice, &[], &executed);
    Ok(SealedBlock {
        header: header.seal_slow(),
        transactions: Vec::new(),
        receipts: Vec::new(),
        ommers: Vec::new(),
        withdrawals: choice.withdrawals,
    })
}

fn located(node: &Node, hash: B256) -> Result<Option<(SealedBlock, usize)>, Error> {
    let snapshot = node.snapshot()?;
    let Some(location) = snapshot.locate(hash)? else { return Ok(None) };
    let block = snapshot
        .block(location.number)?
        .filter(|block| location.index < block.transactions.len())
        .ok_or_else(|| Error::damaged(format!("transaction {hash} is not where it should be")))?;
    Ok(Some((block, location.index)))
}

fn header_of(block: &SealedBlock) -> eth::Header {
    let travelling = Block {
        header: block.header.inner().clone(),
        body: BlockBody {
            transactions: block.transactions.iter().map(|tx| tx.inner().clone()).collect(),
            ommers: block.ommers.clone(),
            withdrawals: block.withdrawals.clone().map(Withdrawals),
        },
    };
    eth::Header::from_consensus(block.header.clone(), None, Some(U256::from(travelling.length())))
}

fn block_json(block: &SealedBlock, full: bool) -> Result<Value, RpcError> {
    let transactions = if full {
        let all = (0..block.transactions.len()).filter_map(|index| included(block, index));
        eth::BlockTransactions::Full(all.collect())
    } else {
        eth::BlockTransactions::Hashes(block.transactions.iter().map(|tx| hash_of(tx)).collect())
    };
    json(&eth::Block {
        header: header_of(block),
        uncles: block.ommers.iter().map(Sealable::hash_slow).collect(),
        transactions,
        withdrawals: block.withdrawals.clone().map(Withdrawals),
    })
}

fn transaction_json(block: &SealedBlock, index: usize) -> Result<Value, RpcError> {
    found(included(block, index), |transaction| json(&transaction))
}

fn included(block: &SealedBlock, index: usize) -> Option<eth::Transaction<Transaction>> {
    let transaction = block.transactions.get(index)?;
    Some(eth::Transaction {
        inner: transaction.clone(),
        block_hash: Some(block.header.hash()),
        block_number: Some(block.header.number),
        transaction_index: u64::try_from(index).ok(),
        effective_gas_price: Some(transaction.effective_gas_price(block.header.base_fee_per_gas)),
        block_timestamp: Some(block.header.timestamp),
    })
}

type ReceiptJson = eth::TransactionReceipt<alloy_consensus::ReceiptEnvelope<eth::Log>>;

fn receipt_of(node: &Node, block: &SealedBlock, index: usize) -> Result<ReceiptJson, RpcError> {
    let missing = || RpcError::failed(format!("there is no receipt {index}"));
    let transaction = block.transactions.get(index).ok_or_else(missing)?;
    let receipt = block.receipts.get(index).ok_or_else(missing)?;
    let gas_used = gas_used_each(&block.receipts).nth(index).ok_or_else(missing)?;
    let place = u64::try_from(index).ok();
    let mut logs = logs_of(block).filter(|log| log.transaction_index == place);
    let blobs = transaction.blob_gas_used();
    let params = node.rules.forks.blobs(block.header.timestamp);
    // The bloom and the order of the logs are the receipt's own.
    let inner = receipt
        .clone()
        .map_logs(|log| logs.next().unwrap_or(eth::Log { inner: log, ..eth::Log::default() }));
    Ok(eth::TransactionReceipt {
        inner,
        transaction_hash: hash_of(transaction),
        transaction_index: place,
        block_hash: Some(block.header.hash()),
        block_number: Some(block.header.number),
        gas_used,
        effective_gas_price: transaction.effective_gas_price(block.header.base_fee_per_gas),
        blob_gas_used: blobs,
        blob_gas_price: blobs.and_then(|_| block.header.blob_fee(params)),
        from: transaction.signer(),
        to: transaction.to(),
        contract_address: created_contract(transaction),
    })
}
