//! Blocks, headers, transactions and receipts.

use alloy_consensus::{BlockBody, Sealable, Transaction as _, transaction::Recovered};
use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718, eip4895::Withdrawals};
use alloy_primitives::{B256, Bytes, Log, U64, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth as eth;
use serde_json::{Value, json};

use crate::{
    block::{Block, Included, SealedBlock, Transaction, created_contract, hash_of},
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
        json(&block.included().map(|included| receipt_json(node, included)).collect::<Vec<_>>())
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
    if let Some(mined) = node.snapshot()?.mined(hash)? {
        return json(&transaction_json(mined.included()));
    }
    found(node.pool().get(hash), |transaction| json(&waiting(&transaction)))
}

pub(super) fn transaction_by_number_and_index(
    node: &Node,
    params: &Params,
) -> Result<Value, RpcError> {
    let index = index(params)?;
    found(block(node, tag(params)?)?, |block| nth_transaction(&block, index))
}

pub(super) fn transaction_by_hash_and_index(
    node: &Node,
    params: &Params,
) -> Result<Value, RpcError> {
    let index = index(params)?;
    found(block(node, hash(params)?)?, |block| nth_transaction(&block, index))
}

pub(super) fn raw_transaction(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0, "hash")?;
    if let Some(mined) = node.snapshot()?.mined(hash)? {
        return Ok(json!(Bytes::from(mined.included().transaction.encoded_2718())));
    }
    found(node.pool().get(hash), |waiting| Ok(json!(Bytes::from(waiting.encoded_2718()))))
}

pub(super) fn receipt(node: &Node, params: &Params) -> Result<Value, RpcError> {
    receipt_by_hash(node, params.required(0, "hash")?)
}

/// The receipt of a transaction that is in a block, else null.
pub(crate) fn receipt_by_hash(node: &Node, hash: B256) -> Result<Value, RpcError> {
    found(node.snapshot()?.mined(hash)?, |mined| json(&receipt_json(node, mined.included())))
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
    block.included().flat_map(|included| {
        (included.first_log..)
            .zip(included.receipt.logs())
            .map(move |(place, log)| log_json(included, place, log.clone()))
    })
}

fn log_json(included: Included<'_>, place: u64, log: Log) -> eth::Log {
    eth::Log {
        inner: log,
        block_hash: Some(included.header.hash()),
        block_number: Some(included.header.number),
        block_timestamp: Some(included.header.timestamp),
        transaction_hash: Some(hash_of(included.transaction)),
        transaction_index: Some(included.index),
        log_index: Some(place),
        removed: false,
    }
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
        eth::BlockTransactions::Full(block.included().map(transaction_json).collect())
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

fn nth_transaction(block: &SealedBlock, index: usize) -> Result<Value, RpcError> {
    found(block.included().nth(index), |included| json(&transaction_json(included)))
}

fn transaction_json(included: Included<'_>) -> eth::Transaction<Transaction> {
    let Included { header, transaction, index, .. } = included;
    eth::Transaction {
        inner: transaction.clone(),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        transaction_index: Some(index),
        effective_gas_price: Some(transaction.effective_gas_price(header.base_fee_per_gas)),
        block_timestamp: Some(header.timestamp),
    }
}

type ReceiptJson = eth::TransactionReceipt<alloy_consensus::ReceiptEnvelope<eth::Log>>;

fn receipt_json(node: &Node, included: Included<'_>) -> ReceiptJson {
    let Included { header, transaction, receipt, index, gas_used, first_log } = included;
    let blobs = transaction.blob_gas_used();
    let limits = node.rules.forks.blobs(header.timestamp);
    let mut places = first_log..;
    let inner =
        receipt.clone().map_logs(|log| log_json(included, places.next().unwrap_or_default(), log));
    eth::TransactionReceipt {
        inner,
        transaction_hash: hash_of(transaction),
        transaction_index: Some(index),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        gas_used,
        effective_gas_price: transaction.effective_gas_price(header.base_fee_per_gas),
        blob_gas_used: blobs,
        blob_gas_price: blobs.and_then(|_| header.blob_fee(limits)),
        from: transaction.signer(),
        to: transaction.to(),
        contract_address: created_contract(transaction),
    }
}
