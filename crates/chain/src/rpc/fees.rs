//! What gas costs, and what it did cost.

use alloy_consensus::Transaction as _;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::U256;
use alloy_rpc_types_eth::FeeHistory;
use serde_json::{Value, json};

use crate::{
    block::{BaseFee, SealedBlock, excess_blob_gas},
    error::Error,
    node::Node,
    rpc::{
        moment::Moment,
        params::{Params, RpcError},
    },
};

/// Blocks whose tips a suggestion rests on.
const LOOK_BACK: u64 = 20;

/// Blocks that one fee history may cover.
const HISTORY: u64 = 1_024;

/// Part of the gas (per cent) whose payers tipped at most the suggestion.
const SUGGESTED_PERCENTILE: u64 = 60;

pub(super) fn gas_price(node: &Node) -> Result<Value, RpcError> {
    Ok(json!(U256::from(next_base_fee(node)?) + U256::from(suggested_tip(node)?)))
}

pub(super) fn max_priority_fee(node: &Node) -> Result<Value, RpcError> {
    Ok(json!(U256::from(suggested_tip(node)?)))
}

pub(super) fn base_fee(node: &Node) -> Result<Value, RpcError> {
    Ok(json!(U256::from(next_base_fee(node)?)))
}

pub(super) fn blob_base_fee(node: &Node) -> Result<Value, RpcError> {
    let next = node.next_environment(&Moment::head(node)?.header);
    let fee = next.excess_blob_gas.map_or(0, |excess| next.blobs.calc_blob_fee(excess));
    Ok(json!(U256::from(fee)))
}

pub(super) fn history(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let count: U256 = params.required(0, "blockCount")?;
    let newest: BlockNumberOrTag = params.required(1, "newestBlock")?;
    let percentiles: Vec<serde_json::Number> =
        params.optional(2, "rewardPercentiles")?.unwrap_or_default();
    let percentiles = percentiles
        .iter()
        .map(|percentile| {
            ten_thousandths(percentile).ok_or_else(|| {
                RpcError::invalid(format!(
                    "invalid argument 2 (rewardPercentiles): {percentile} is not in 0..=100"
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if percentiles.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(RpcError::invalid("invalid argument 2 (rewardPercentiles): not ascending"));
    }
    let moment = Moment::find(node, BlockId::Number(newest))?.ok_or_else(RpcError::no_block)?;
    let newest = moment.header.number;
    let count = count.saturating_to::<u64>().min(HISTORY).min(newest + 1);
    if count == 0 {
        return Ok(json!(FeeHistory { oldest_block: 0, ..FeeHistory::default() }));
    }
    let oldest = newest + 1 - count;

    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        let block = moment.snapshot.block(number)?;
        let block = block.ok_or_else(|| Error::damaged(format!("block {number} is missing")))?;
        let header = &block.header;
        let blobs = node.rules.forks.blobs(header.timestamp);
        history.base_fee_per_gas.push(u128::from(header.base_fee_per_gas.unwrap_or(0)));
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        history.base_fee_per_blob_gas.push(header.blob_fee(blobs).unwrap_or(0));
        history
            .blob_gas_used_ratio
            .push(ratio(header.blob_gas_used.unwrap_or(0), blobs.max_blob_gas_per_block()));
        rewards.push(tips_at(&block, &percentiles));
    }
    // One more: the block after the newest, by the rules that will bind then.
    let after = moment.header.number + 1;
    let time = match moment.snapshot.header(after)? {
        Some(header) => header.timestamp,
        None => node.next_environment(&moment.header).timestamp,
    };
    let spec = node.rules.forks.spec(after, time);
    let blobs = node.rules.forks.blobs(time);
    let next_fee = node.rules.base_fee.after(&moment.header, spec).unwrap_or(0);
    history.base_fee_per_gas.push(u128::from(next_fee));
    let excess = excess_blob_gas(&moment.header, spec, blobs);
    history.base_fee_per_blob_gas.push(excess.map_or(0, |excess| blobs.calc_blob_fee(excess)));
    if !percentiles.is_empty() {
        history.reward = Some(rewards);
    }
    Ok(json!(history))
}

fn next_base_fee(node: &Node) -> Result<u64, Error> {
    Ok(node.next_environment(&Moment::head(node)?.header).base_fee.unwrap_or(0))
}

/// Wei per gas. Where the base fee is fixed nobody has to outbid anybody, and what others chose to
/// tip must not price newcomers out: the suggestion is zero.
fn suggested_tip(node: &Node) -> Result<u128, Error> {
    if matches!(node.rules.base_fee, BaseFee::Fixed(_)) {
        return Ok(0);
    }
    let head = Moment::head(node)?;
    let newest = head.header.number;
    let mut tips = Vec::new();
    for number in newest.saturating_sub(LOOK_BACK - 1)..=newest {
        if let Some(block) = head.snapshot.block(number)? {
            tips.extend(block_tips(&block).map(|(tip, _)| tip));
        }
    }
    tips.sort_unstable();
    let place = tips.len() * usize::try_from(SUGGESTED_PERCENTILE).unwrap_or(0) / 100;
    Ok(tips.get(place).copied().unwrap_or(0))
}

/// The tip (wei per gas) and gas of each transaction.
fn block_tips(block: &SealedBlock) -> impl Iterator<Item = (u128, u64)> + '_ {
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    block.included().map(move |included| {
        let tip = included.transaction.effective_tip_per_gas(base_fee).unwrap_or(0);
        (tip, included.gas_used)
    })
}

/// For each percentile of the gas (in ten thousandths of a per cent): the tip paid there.
fn tips_at(block: &SealedBlock, percentiles: &[u64]) -> Vec<u128> {
    let mut tips: Vec<_> = block_tips(block).collect();
    tips.sort_unstable();
    percentiles
        .iter()
        .map(|percentile| {
            let wanted =
                u128::from(block.header.gas_used) * u128::from(*percentile) / u128::from(WHOLE);
            let mut sum = 0u128;
            tips.iter()
                .find(|(_, gas)| {
                    sum += u128::from(*gas);
                    sum >= wanted
                })
                .map_or(0, |(tip, _)| *tip)
        })
        .collect()
}

/// 100 per cent in ten thousandths of a per cent.
const WHOLE: u64 = 1_000_000;

/// A JSON number of per cent as a whole number of ten thousandths; `None` outside 0..=100.
fn ten_thousandths(percent: &serde_json::Number) -> Option<u64> {
    let text = percent.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = format!("{fraction:0<4}");
    let value =
        whole.parse::<u64>().ok()?.checked_mul(10_000)? + fraction.get(..4)?.parse::<u64>().ok()?;
    (value <= WHOLE).then_some(value)
}

/// The part of a limit that was used, as the protocol wants it: a JSON float, for display only.
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}
