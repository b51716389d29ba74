//! One node's JSON-RPC methods with types: the few that are needed, and nothing of the contracts
//! but the decoding of reverts.

use std::sync::Arc;

use alloy_primitives::{Bytes, U64, U256};
use alloy_sol_types::SolCall;
use primitives::{Address, B256, UnixSeconds};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    abi,
    error::{Error, RpcError},
    refusal::{Reason, Refusal},
    rpc::Rpc,
    view::Head,
};

/// A tip for nodes that suggest none although their base fee is not zero: one gwei per gas.
const CUSTOMARY_TIP: u128 = 1_000_000_000;

/// Blocks whose fees a price rests on, and the part of their gas (per cent) that tipped at most
/// what a node without a suggestion of its own is tipped.
const LOOK_BACK: u64 = 10;
const PERCENTILE: u64 = 50;

/// The most a bumped price may be, in present prices: if so much is too little, it is not the
/// price that keeps a transaction out.
const CEILING: u128 = 10;

/// The JSON-RPC code of a revert that carries data.
const REVERTED: i64 = 3;

/// A node, asked through whatever leads to it. Clones share it.
#[derive(Clone)]
pub(crate) struct Node(Arc<dyn Rpc>);

/// A block, without its transactions.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Block {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    #[serde(default)]
    base_fee_per_gas: Option<U256>,
}

/// What became of a transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionReceipt {
    transaction_hash: B256,
    block_hash: B256,
    block_number: U64,
    status: U64,
    pub(crate) logs: Vec<Log>,
}

/// An event of a contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) transaction_hash: B256,
    block_number: U64,
}

/// What blocks of late asked for gas, and what was tipped.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    /// Of each block, and of the next one at last.
    base_fee_per_gas: Vec<U256>,
    #[serde(default)]
    reward: Option<Vec<Vec<U256>>>,
}

/// What a transaction pays per gas, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    /// At most, tip included.
    pub(crate) most: u128,
    /// Of which to whoever seals.
    pub(crate) tip: u128,
}

/// What came of handing a transaction to the node.
pub(crate) enum Handed {
    /// The node has it, now or from before.
    Taken,
    /// Its nonce was used already.
    NonceUsed,
    /// Another with its nonce waits and pays as much, or the node takes nothing so cheap.
    Underpriced,
    /// The account cannot pay for it; the node's words.
    Unpayable(String),
}

/// What nodes say of a transaction they have already (geth, Nethermind, Besu, anvil, OpenEthereum).
const KNOWN: [&str; 4] = ["already known", "alreadyknown", "known transaction", "already imported"];

/// What they say of a nonce that was used.
const NONCE_USED: [&str; 3] = ["nonce too low", "nonce is too low", "oldnonce"];

/// What they say of a price that is too low, for their pool or beside the one that waits.
const UNDERPRICED: [&str; 8] = [
    "underpriced",
    "replacementnotallowed",
    "feetoolow",
    "fee too low",
    "price is too low",
    "price too low",
    "less than block base fee",
    "below the minimum",
];

/// What they say of an account without coin.
const UNPAYABLE: [&str; 3] = ["insufficient funds", "insufficientfunds", "upfront cost exceeds"];

impl Node {
    pub(crate) fn new(rpc: Arc<dyn Rpc>) -> Self {
        Self(rpc)
    }

    /// Changes when the endpoint says that a block was sealed, if it says so.
    pub(crate) fn blocks(&self) -> Option<watch::Receiver<u64>> {
        self.0.blocks()
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, Error> {
        let id: U64 = self.ask("asking for the chain's id", "eth_chainId", json!([])).await?;
        Ok(id.to())
    }

    /// The block with this number or tag, if there is one.
    pub(crate) async fn block(&self, at: &str) -> Result<Option<Block>, Error> {
        let what = format!("asking for block {at}");
        self.ask(&what, "eth_getBlockByNumber", json!([at, false])).await
    }

    /// The block with this number.
    pub(crate) async fn block_at(&self, number: u64) -> Result<Option<Block>, Error> {
        self.block(&quantity(number)).await
    }

    /// Call a contract's view at a block.
    pub(crate) async fn view<C: SolCall>(
        &self,
        to: Address,
        call: C,
        at: &str,
    ) -> Result<C::Return, Error> {
        let what = format!("calling {} of {to}", C::SIGNATURE);
        let message = json!({ "to": to, "input": Bytes::from(call.abi_encode()) });
        let output: Bytes = self.ask(&what, "eth_call", json!([message, at])).await?;
        let read = C::abi_decode_returns(&output);
        read.map_err(|error| Error::Answer { operation: what, why: error.to_string() })
    }

    /// The gas a call would use in the next block, or why it would revert.
    pub(crate) async fn simulate(
        &self,
        from: Address,
        to: Address,
        value: U256,
        input: &Bytes,
    ) -> Result<Result<u64, Refusal>, Error> {
        let message = json!({ "from": from, "to": to, "value": value, "input": input });
        let answer = self.0.request("eth_estimateGas", json!([message])).await;
        let what = format!("simulating a call on {to}");
        match answer {
            Ok(gas) => Ok(Ok(read::<U64>(&what, gas)?.to())),
            Err(error) => match reverted(&error) {
                Some(refusal) => Ok(Err(refusal)),
                None => Err(Error::Rpc { operation: what, source: error }),
            },
        }
    }

    /// The next nonce of an account at a block tag.
    pub(crate) async fn nonce(&self, account: Address, at: &str) -> Result<u64, Error> {
        let what = format!("asking for the nonce of {account}");
        let nonce: U64 = self.ask(&what, "eth_getTransactionCount", json!([account, at])).await?;
        Ok(nonce.to())
    }

    /// An account's native coin, in wei.
    pub(crate) async fn native(&self, account: Address, at: &str) -> Result<u128, Error> {
        let what = format!("asking for the native balance of {account}");
        let wei: U256 = self.ask(&what, "eth_getBalance", json!([account, at])).await?;
        Ok(wei.saturating_to())
    }

    /// A price with which a transaction gets into one of the next blocks: twice the next base fee,
    /// so that it survives six full blocks (EIP-1559), and the tip the node suggests, or that was
    /// customary of late.
    pub(crate) async fn price(&self) -> Result<Price, Error> {
        let what = "asking what gas costs";
        let past = json!([quantity(LOOK_BACK), "latest", [PERCENTILE]]);
        let (history, tip) = tokio::join!(
            self.optional::<FeeHistory>(what, "eth_feeHistory", past),
            self.optional::<U256>(what, "eth_maxPriorityFeePerGas", json!([])),
        );
        let (history, tip) = (history?, tip?);
        let next = history.as_ref().and_then(|history| history.base_fee_per_gas.last()).copied();
        let base: u128 = match next {
            Some(base) => base,
            None => {
                let why = || "no latest block".to_owned();
                let missing = || Error::Answer { operation: what.into(), why: why() };
                self.block("latest")
                    .await?
                    .ok_or_else(missing)?
                    .base_fee_per_gas
                    .unwrap_or_default()
            }
        }
        .saturating_to();
        let customary = || history.as_ref().and_then(FeeHistory::customary_tip);
        let tip: u128 = match tip.or_else(customary) {
            Some(tip) => tip.saturating_to(),
            None if base == 0 => 0,
            None => CUSTOMARY_TIP,
        };
        Ok(Price { most: base.saturating_mul(2).saturating_add(tip), tip })
    }

    /// Hand over a signed transaction.
    pub(crate) async fn hand(&self, raw: &Bytes) -> Result<Handed, Error> {
        let Err(source) = self.0.request("eth_sendRawTransaction", json!([raw])).await else {
            return Ok(Handed::Taken);
        };
        let says = |dialects: &[&str]| dialects.iter().any(|words| source.says(words));
        if says(&KNOWN) {
            Ok(Handed::Taken)
        } else if says(&NONCE_USED) {
            Ok(Handed::NonceUsed)
        } else if says(&UNDERPRICED) {
            Ok(Handed::Underpriced)
        } else if says(&UNPAYABLE) {
            Ok(Handed::Unpayable(source.to_string()))
        } else {
            Err(Error::Rpc { operation: "sending a transaction".into(), source })
        }
    }

    /// What became of a transaction, if it was sealed.
    pub(crate) async fn receipt(&self, tx: B256) -> Result<Option<TransactionReceipt>, Error> {
        let what = format!("asking for the receipt of {tx}");
        self.ask(&what, "eth_getTransactionReceipt", json!([tx])).await
    }

    /// The events of a contract with such topics, from block to block inclusive: for each place the
    /// topics that fit there.
    pub(crate) async fn logs(
        &self,
        contract: Address,
        topics: &[&[B256]],
        (from, to): (u64, u64),
    ) -> Result<Vec<Log>, Error> {
        let what = format!("asking for the events of {contract} from block {from} to {to}");
        let filter = json!({
            "address": contract,
            "topics": topics,
            "fromBlock": quantity(from),
            "toBlock": quantity(to),
        });
        self.ask(&what, "eth_getLogs", json!([filter])).await
    }

    /// As [`Self::ask`]; `None` where the node does not know the method or has no answer.
    async fn optional<T: DeserializeOwned>(
        &self,
        what: &str,
        method: &str,
        params: Value,
    ) -> Result<Option<T>, Error> {
        match self.ask::<Option<T>>(what, method, params).await {
            Err(Error::Rpc { source, .. }) if !source.is_passing() => Ok(None),
            answer => answer,
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        method: &str,
        params: Value,
    ) -> Result<T, Error> {
        let answer = self.0.request(method, params).await;
        read(what, answer.map_err(|source| Error::Rpc { operation: what.to_owned(), source })?)
    }
}

impl Block {
    pub(crate) fn head(&self) -> Head {
        let time = UnixSeconds(self.timestamp.to());
        Head { number: self.number.to(), hash: self.hash, time }
    }

    pub(crate) fn parent(&self) -> B256 {
        self.parent_hash
    }
}

impl TransactionReceipt {
    pub(crate) fn tx(&self) -> B256 {
        self.transaction_hash
    }

    pub(crate) fn block(&self) -> u64 {
        self.block_number.to()
    }

    pub(crate) fn block_hash(&self) -> B256 {
        self.block_hash
    }

    pub(crate) fn succeeded(&self) -> bool {
        !self.status.is_zero()
    }
}

impl Log {
    pub(crate) fn block(&self) -> u64 {
        self.block_number.to()
    }
}

impl Price {
    /// The least price that nodes take in place of this one (a tenth more), or the present one if
    /// that is more; free stays free, and beyond many times the present price nothing is gained.
    pub(crate) fn bumped(self, present: Self) -> Self {
        let more = |paid: u128| paid.saturating_add(paid.div_ceil(8));
        let tip = more(self.tip).max(present.tip);
        let bumped = Self { most: more(self.most).max(present.most).max(tip), tip };
        let ceiling = present.most.saturating_mul(CEILING);
        if bumped.most > ceiling { self } else { bumped }
    }
}

impl FeeHistory {
    /// The median of what the blocks' own medians tipped.
    fn customary_tip(&self) -> Option<U256> {
        let rewards = self.reward.as_ref()?.iter();
        let mut tips: Vec<_> = rewards.filter_map(|block| block.first().copied()).collect();
        tips.sort_unstable();
        tips.get(tips.len() / 2).copied()
    }
}

/// A number as JSON-RPC writes it.
pub(crate) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn read<T: DeserializeOwned>(what: &str, answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer)
        .map_err(|error| Error::Answer { operation: what.to_owned(), why: error.to_string() })
}

/// The refusal in a node's answer, if the answer says that a call reverts.
fn reverted(error: &RpcError) -> Option<Refusal> {
    let RpcError::Refused { code, message, data, .. } = error else { return None };
    let data: Option<Bytes> = data.as_deref().and_then(|data| data.parse().ok());
    match data {
        Some(data) if !data.is_empty() => Some(abi::refusal(&data)),
        _ if *code == REVERTED || message.contains("revert") => {
            Some(Refusal { reason: Reason::Other, error: message.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
