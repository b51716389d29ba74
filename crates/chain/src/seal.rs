//! How a block follows from its parent: its environment before it runs, its header after.
//!
//! In: the parent, the rules, what the proposer is free to choose. Out: the environment for the
//! executor; from its outcome the header.
//!
//! Invariant: building and verifying compose the header by the same function. A block is valid
//! exactly if the header composed from its parent, its own free fields and its execution has its
//! hash.
//!
//! Not here: when to seal (`sealer`), who may (a later consensus).

use std::time::Duration;

use alloy_consensus::{
    Header, Sealed,
    proofs::{
        calculate_ommers_root, calculate_receipt_root, calculate_transaction_root,
        calculate_withdrawals_root,
    },
};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};
use revm::primitives::hardfork::SpecId;

use crate::{
    block::{BaseFee, Transaction, excess_blob_gas},
    execute::{Environment, Executed},
    forks::Forks,
};

/// Wei in one coin.
const COIN: u128 = 1_000_000_000_000_000_000;

/// Wei in one gwei, the unit of withdrawals (EIP-4895).
const GWEI: u64 = 1_000_000_000;

/// When blocks are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// As soon as a transaction is ready, until none is; a transaction is answered when its block
    /// is on the disk.
    Instant,
    /// Every so often, if a transaction is ready.
    Interval(Duration),
    /// Only when asked ([`crate::Chain::seal`]).
    Manual,
}

/// What every block of one chain has in common.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) chain_id: u64,
    pub(crate) forks: Forks,
    pub(crate) base_fee: BaseFee,
}

/// What a proposer is free to choose for a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) timestamp: u64,
    pub(crate) beneficiary: Address,
    pub(crate) gas_limit: u64,
    pub(crate) difficulty: U256,
    pub(crate) mix_hash: B256,
    pub(crate) nonce: B64,
    pub(crate) extra_data: Bytes,
    pub(crate) parent_beacon_root: Option<B256>,
    pub(crate) ommers: Vec<Header>,
    pub(crate) withdrawals: Option<Vec<Withdrawal>>,
}

impl Choice {
    /// The block after `parent`, sealed by this node alone at time `now` (seconds).
    ///
    /// Block time never runs backwards: it is the later of the parent's and ours. PREVRANDAO is the
    /// hash of the parent's hash: fixed and public, fit for no lottery.
    pub(crate) fn alone(parent: &Sealed<Header>, now: u64, beneficiary: Address) -> Self {
        Self {
            timestamp: now.max(parent.timestamp),
            beneficiary,
            gas_limit: parent.gas_limit,
            mix_hash: keccak256(parent.hash()),
            parent_beacon_root: Some(B256::ZERO),
            withdrawals: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// What the proposer of a given block chose.
    pub(crate) fn of(
        header: &Header,
        ommers: Vec<Header>,
        withdrawals: Option<Vec<Withdrawal>>,
    ) -> Self {
        Self {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            difficulty: header.difficulty,
            mix_hash: header.mix_hash,
            nonce: header.nonce,
            extra_data: header.extra_data.clone(),
            parent_beacon_root: header.parent_beacon_block_root,
            ommers,
            withdrawals,
        }
    }
}

/// What the transactions of the block after `parent` will see.
pub(crate) fn environment(rules: &Rules, parent: &Sealed<Header>, choice: &Choice) -> Environment {
    let number = parent.number + 1;
    let spec = rules.forks.spec(number, choice.timestamp);
    let blobs = rules.forks.blobs(choice.timestamp);
    Environment {
        chain_id: rules.chain_id,
        spec,
        blobs,
        deposit_contract: rules.forks.deposit_contract(),
        number,
        timestamp: choice.timestamp,
        beneficiary: choice.beneficiary,
        gas_limit: choice.gas_limit,
        base_fee: rules.base_fee.after(parent, spec),
        difficulty: choice.difficulty,
        mix_hash: choice.mix_hash,
        parent_hash: parent.hash(),
        parent_beacon_root: choice.parent_beacon_root,
        excess_blob_gas: excess_blob_gas(parent, spec, blobs),
    }
}

/// The environment in which the block with this header ran.
pub(crate) fn environment_of(rules: &Rules, header: &Header) -> Environment {
    Environment {
        chain_id: rules.chain_id,
        spec: rules.forks.spec(header.number, header.timestamp),
        blobs: rules.forks.blobs(header.timestamp),
        deposit_contract: rules.forks.deposit_contract(),
        number: header.number,
        timestamp: header.timestamp,
        beneficiary: header.beneficiary,
        gas_limit: header.gas_limit,
        base_fee: header.base_fee_per_gas,
        difficulty: header.difficulty,
        mix_hash: header.mix_hash,
        parent_hash: header.parent_hash,
        parent_beacon_root: header.parent_beacon_block_root,
        excess_blob_gas: header.excess_blob_gas,
    }
}

/// Wei that the block pays out besides fees: rewards of proof of work (Yellow Paper 11.3, EIP-649,
/// EIP-1234), withdrawals since Shanghai (EIP-4895).
pub(crate) fn credits(environment: &Environment, choice: &Choice) -> Vec<(Address, U256)> {
    let withdrawals =
        choice.withdrawals.iter().flatten().map(|withdrawal| {
            (withdrawal.address, U256::from(withdrawal.amount) * U256::from(GWEI))
        });
    if environment.spec.is_enabled_in(SpecId::MERGE) {
        return withdrawals.collect();
    }
    let coins = if environment.spec.is_enabled_in(SpecId::PETERSBURG) {
        2
    } else if environment.spec.is_enabled_in(SpecId::BYZANTIUM) {
        3
    } else {
        5
    };
    let reward = U256::from(COIN) * U256::from(coins);
    let ommers = U256::from(choice.ommers.len());
    let of_ommers = choice.ommers.iter().map(|ommer| {
        let age = U256::from(environment.number.saturating_sub(ommer.number).min(8));
        (ommer.beneficiary, reward * (U256::from(8) - age) / U256::from(8))
    });
    of_ommers
        .chain([(environment.beneficiary, reward + reward * ommers / U256::from(32))])
        .collect()
}

/// The header of a block that ran in `environment` with this outcome.
pub(crate) fn header(
    environment: &Environment,
    choice: &Choice,
    transactions: &[Transaction],
    executed: &Executed,
) -> Header {
    let since = |fork: SpecId| environment.spec.is_enabled_in(fork);
    let withdrawals = choice.withdrawals.as_deref().unwrap_or_default();
    Header {
        parent_hash: environment.parent_hash,
        ommers_hash: calculate_ommers_root(&choice.ommers),
        beneficiary: environment.beneficiary,
        state_root: executed.state_root,
        transactions_root: calculate_transaction_root(transactions),
        receipts_root: calculate_receipt_root(&executed.receipts),
        logs_bloom: executed.logs_bloom,
        difficulty: environment.difficulty,
        number: environment.number,
        gas_limit: environment.gas_limit,
        gas_used: executed.gas_used,
        timestamp: environment.timestamp,
        extra_data: choice.extra_data.clone(),
        mix_hash: environment.mix_hash,
        nonce: choice.nonce,
        base_fee_per_gas: environment.base_fee,
        withdrawals_root: since(SpecId::SHANGHAI).then(|| calculate_withdrawals_root(withdrawals)),
        blob_gas_used: since(SpecId::CANCUN).then_some(executed.blob_gas_used),
        excess_blob_gas: environment.excess_blob_gas,
        parent_beacon_block_root: since(SpecId::CANCUN)
            .then(|| environment.parent_beacon_root.unwrap_or_default()),
        requests_hash: executed.requests_hash,
        ..Header::default()
    }
}
