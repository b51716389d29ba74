//! Which Ethereum rules bind at which block.
//!
//! In: the `config` of a genesis file. Out: the rules for a (number, timestamp).
//!
//! Invariant: rules only ever become newer along a chain.
//!
//! Not here: what the rules do (`execute`), what the fee of the next block is (`block`).

use alloy_eips::{eip7594, eip7840, eip7840::BlobParams};
use alloy_genesis::ChainConfig;
use alloy_primitives::Address;
use revm::primitives::hardfork::SpecId;

/// The schedule of rules of one chain.
#[derive(Clone, Debug)]
pub struct Forks {
    /// Activations by block number, oldest rules first.
    by_number: Vec<(u64, SpecId)>,
    /// Activations by timestamp (seconds), oldest rules first.
    by_time: Vec<(u64, SpecId)>,
    /// Blob limits by timestamp, oldest first.
    blobs: Vec<(u64, BlobParams)>,
    /// The deposit contract of EIP-6110, where the chain has one.
    deposit_contract: Option<Address>,
}

impl Forks {
    /// Reads the schedule of a genesis file. Blob limits default to those of mainnet.
    pub fn of(config: &ChainConfig) -> Self {
        let merge = match (config.merge_netsplit_block, config.terminal_total_difficulty_passed) {
            (Some(number), _) => Some(number),
            (None, true) => Some(0),
            (None, false) => None,
        };
        let by_number = [
            (Some(0), SpecId::FRONTIER),
            (config.homestead_block, SpecId::HOMESTEAD),
            (config.eip150_block, SpecId::TANGERINE),
            (config.eip158_block, SpecId::SPURIOUS_DRAGON),
            (config.byzantium_block, SpecId::BYZANTIUM),
            // Constantinople without its EIP-1283, which Petersburg took back.
            (config.constantinople_block, SpecId::PETERSBURG),
            (config.petersburg_block, SpecId::PETERSBURG),
            (config.istanbul_block, SpecId::ISTANBUL),
            (config.berlin_block, SpecId::BERLIN),
            (config.london_block, SpecId::LONDON),
            (merge, SpecId::MERGE),
        ];
        let by_time = [
            (config.shanghai_time, SpecId::SHANGHAI),
            (config.cancun_time, SpecId::CANCUN),
            (config.prague_time, SpecId::PRAGUE),
            (config.osaka_time, SpecId::OSAKA),
        ];
        Self {
            by_number: by_number.into_iter().filter_map(|(at, spec)| Some((at?, spec))).collect(),
            by_time: by_time.into_iter().filter_map(|(at, spec)| Some((at?, spec))).collect(),
            blobs: blob_schedule(config),
            deposit_contract: config.deposit_contract_address,
        }
    }

    /// The rules that bind in the block `number` with the given `timestamp` (seconds).
    pub fn spec(&self, number: u64, timestamp: u64) -> SpecId {
        let last = |schedule: &[(u64, SpecId)], now: u64| {
            schedule.iter().rev().find(|(at, _)| *at <= now).map(|(_, spec)| *spec)
        };
        // A fork by time binds only once every fork by number does.
        let by_number = last(&self.by_number, number).unwrap_or(SpecId::FRONTIER);
        match last(&self.by_time, timestamp) {
            Some(spec) if by_number.is_enabled_in(SpecId::MERGE) => spec,
            _ => by_number,
        }
    }

    /// The blob limits that bind at `timestamp`.
    pub fn blobs(&self, timestamp: u64) -> BlobParams {
        self.blobs
            .iter()
            .rev()
            .find(|(at, _)| *at <= timestamp)
            .map_or_else(BlobParams::cancun, |(_, params)| *params)
    }

    /// The deposit contract whose logs become requests (EIP-6110).
    pub fn deposit_contract(&self) -> Option<Address> {
        self.deposit_contract
    }
}

fn blob_schedule(config: &ChainConfig) -> Vec<(u64, BlobParams)> {
    let given = |name: &str| config.blob_schedule.get(name).copied();
    let since_osaka = |params: BlobParams| {
        params
            .with_blob_base_cost(eip7840::BLOB_BASE_COST)
            .with_max_blobs_per_tx(eip7594::MAX_BLOBS_PER_TX_FUSAKA)
    };
    [
        (config.cancun_time, given("cancun").unwrap_or_else(BlobParams::cancun)),
        (config.prague_time, given("prague").unwrap_or_else(BlobParams::prague)),
        (config.osaka_time, given("osaka").map_or_else(BlobParams::osaka, since_osaka)),
        (config.bpo1_time, given("bpo1").map_or_else(BlobParams::bpo1, since_osaka)),
        (config.bpo2_time, given("bpo2").map_or_else(BlobParams::bpo2, since_osaka)),
    ]
    .into_iter()
    .filter_map(|(at, params)| Some((at?, params)))
    .collect()
}
