//! Balances, nonces, code, storage and proofs.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U64, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use serde_json::{Value, json};

use crate::{
    node::Node,
    rpc::{
        moment::Moment,
        params::{Params, RpcError},
    },
    trie::prove,
};

pub(super) fn balance(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0, "address")?;
    let account = Moment::of(node, params, 1)?.state().account(address)?;
    Ok(json!(account.unwrap_or_default().balance))
}

pub(super) fn transaction_count(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0, "address")?;
    let pending = params.optional(1, "block")? == Some(BlockId::Number(BlockNumberOrTag::Pending));
    // While the pool is locked no block can advance it: nonce and pool belong together.
    let pool = pending.then(|| node.pool());
    let nonce = Moment::of(node, params, 1)?.state().account(address)?.unwrap_or_default().nonce;
    Ok(json!(U64::from(pool.map_or(nonce, |pool| pool.next_nonce(address, nonce)))))
}

pub(super) fn code(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0, "address")?;
    Ok(json!(Moment::of(node, params, 1)?.state().code(address)?))
}

pub(super) fn storage_at(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0, "address")?;
    let slot = storage_key(&params.required::<String>(1, "slot")?)?;
    let value = Moment::of(node, params, 2)?.state().slot(address, slot.into())?;
    Ok(json!(B256::from(value)))
}

pub(super) fn info(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0, "address")?;
    let state = Moment::of(node, params, 1)?.state();
    let account = state.account(address)?.unwrap_or_default();
    Ok(json!({
        "balance": account.balance,
        "nonce": U64::from(account.nonce),
        "code": state.code(address)?,
    }))
}

pub(super) fn proof(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0, "address")?;
    let keys: Vec<String> = params.optional(1, "storageKeys")?.unwrap_or_default();
    let moment = Moment::of(node, params, 2)?;
    let snapshot = &moment.snapshot;
    let head = Moment::head(node)?;
    if moment.header.hash() != head.header.hash() {
        return Err(RpcError::failed(format!(
            "trie nodes are kept for the newest block only: no proof for block {}",
            moment.header.number
        )));
    }
    let owner = keccak256(address);
    let account_proof =
        prove(moment.header.state_root, owner, &|path| snapshot.account_node(path))?;
    let account = snapshot.account(address, None)?;
    let storage_root = account.as_ref().map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
    let storage_proof = keys
        .iter()
        .map(|text| {
            let key = storage_key(text)?;
            let nodes =
                prove(storage_root, keccak256(key), &|path| snapshot.storage_node(owner, path))?;
            let value = snapshot.slot(address, key.into(), None)?;
            Ok(json!({ "key": text, "value": value, "proof": nodes }))
        })
        .collect::<Result<Vec<_>, RpcError>>()?;
    let account = account.unwrap_or(alloy_trie::TrieAccount {
        storage_root: EMPTY_ROOT_HASH,
        code_hash: KECCAK256_EMPTY,
        ..Default::default()
    });
    Ok(json!({
        "address": address,
        "balance": account.balance,
        "nonce": U64::from(account.nonce),
        "codeHash": account.code_hash,
        "storageHash": account.storage_root,
        "accountProof": account_proof,
        "storageProof": storage_proof,
    }))
}

/// A storage key: up to 32 bytes in hex, leading zeroes may be missing.
fn storage_key(text: &str) -> Result<B256, RpcError> {
    let invalid = || RpcError::invalid(format!("invalid hex in storage key: {text:?}"));
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() > 64 {
        return Err(RpcError::invalid(format!(
            "storage key too long (want at most 32 bytes): {text:?}"
        )));
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    let padded = format!("{digits:0>64}");
    padded.parse::<B256>().map_err(|_| invalid())
}
