//! Ethereum JSON-RPC over the chain: one method name and its parameters in, one JSON value out.
//!
//! In: method and positional parameters. Out: a result, or an error with the codes of JSON-RPC 2.0
//! and of Ethereum: -32601 unknown method, -32602 with the parameter's name, 3 with the revert data,
//! -32003 refused transaction, -32001 unknown block, -32000 otherwise.
//!
//! Invariant: every answer is taken from one snapshot, so its parts belong to one head.
//!
//! Not here: envelopes, batches and sending, which waits for a block (`chain`).

mod accounts;
mod blocks;
mod calls;
mod fees;
mod filters;
mod logs;
mod moment;
mod params;
mod pool;

use alloy_primitives::{U64, keccak256};
use serde_json::{Value, json};

pub(crate) use blocks::receipt_by_hash;
pub(crate) use filters::Filters;
pub(crate) use params::Params;
pub use params::RpcError;

use crate::node::Node;

/// Answers every method that only reads.
pub(crate) fn answer(
    node: &Node,
    filters: &Filters,
    method: &str,
    params: &Params,
) -> Result<Value, RpcError> {
    match method {
        "web3_clientVersion" => Ok(json!(concat!("plaza-chain/v", env!("CARGO_PKG_VERSION")))),
        "web3_sha3" => {
            let bytes: alloy_primitives::Bytes = params.required(0, "data")?;
            Ok(json!(keccak256(bytes)))
        }
        "net_version" => Ok(json!(node.rules.chain_id.to_string())),
        "net_listening" => Ok(json!(true)),
        "net_peerCount" => Ok(json!("0x0")),
        "eth_chainId" => Ok(json!(U64::from(node.rules.chain_id))),
        "eth_syncing" => Ok(json!(false)),
        "eth_accounts" => Ok(json!([])),

        "eth_blockNumber" => blocks::number(node),
        "eth_getBlockByNumber" => blocks::by_number(node, params),
        "eth_getBlockByHash" => blocks::by_hash(node, params),
        "eth_getHeaderByNumber" => blocks::header_by_number(node, params),
        "eth_getHeaderByHash" => blocks::header_by_hash(node, params),
        "eth_getBlockReceipts" => blocks::receipts(node, params),
        "eth_getBlockTransactionCountByNumber" => blocks::count_by_number(node, params),
        "eth_getBlockTransactionCountByHash" => blocks::count_by_hash(node, params),
        "eth_getUncleCountByBlockNumber" => blocks::uncle_count_by_number(node, params),
        "eth_getUncleCountByBlockHash" => blocks::uncle_count_by_hash(node, params),
        "eth_getUncleByBlockNumberAndIndex" | "eth_getUncleByBlockHashAndIndex" => Ok(Value::Null),
        "eth_getTransactionByHash" => blocks::transaction_by_hash(node, params),
        "eth_getTransactionByBlockNumberAndIndex" => {
            blocks::transaction_by_number_and_index(node, params)
        }
        "eth_getTransactionByBlockHashAndIndex" => {
            blocks::transaction_by_hash_and_index(node, params)
        }
        "eth_getTransactionReceipt" => blocks::receipt(node, params),
        "debug_getRawTransaction" | "eth_getRawTransactionByHash" => {
            blocks::raw_transaction(node, params)
        }

        "eth_getBalance" => accounts::balance(node, params),
        "eth_getTransactionCount" => accounts::transaction_count(node, params),
        "eth_getCode" => accounts::code(node, params),
        "eth_getStorageAt" => accounts::storage_at(node, params),
        "eth_getProof" => accounts::proof(node, params),
        "eth_getAccountInfo" => accounts::info(node, params),

        "eth_call" => calls::call(node, params),
        "eth_estimateGas" => calls::estimate_gas(node, params),
        "eth_createAccessList" => calls::create_access_list(node, params),

        "eth_gasPrice" => fees::gas_price(node),
        "eth_maxPriorityFeePerGas" => fees::max_priority_fee(node),
        "eth_baseFee" => fees::base_fee(node),
        "eth_blobBaseFee" => fees::blob_base_fee(node),
        "eth_feeHistory" => fees::history(node, params),

        "eth_getLogs" => logs::get(node, params),
        "eth_newFilter" => filters.new_logs(node, params),
        "eth_newBlockFilter" => filters.new_blocks(node),
        "eth_getFilterChanges" => filters.changes(node, params),
        "eth_getFilterLogs" => filters.logs(node, params),
        "eth_uninstallFilter" => filters.uninstall(params),

        "txpool_status" => pool::status(node),
        "txpool_content" => pool::content(node),
        "txpool_contentFrom" => pool::content_from(node, params),

        _ => Err(RpcError::unknown_method(method)),
    }
}
