//! Executes transactions: one executor for building a block and for verifying one.
//!
//! Upon `begin`: the block's own calls run first (parent certificate, EIP-4788; parent hash,
//! EIP-2935). Upon `push` of a transaction: it is executed after those before it, or refused and
//! leaves no trace. Upon `finish`: credits are paid, requests collected (EIP-7685), and the changes
//! settled into a diff and a state root.
//!
//! In: an environment, the state after the parent, transactions with their senders, in order.
//! Out: receipts, sums, requests hash, diff, state root.
//!
//! Invariant: the outcome depends on the inputs alone. Whoever builds a block and whoever verifies
//! it run the same lines.
//!
//! Not here: which transactions are chosen (`pool`), what a header looks like (`seal`).

use std::sync::Arc;

use alloy_consensus::{
    Eip658Value, ReceiptEnvelope, Transaction as _, Typed2718, transaction::Recovered,
};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS, eip6110::DEPOSIT_REQUEST_TYPE,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7002::WITHDRAWAL_REQUEST_TYPE,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_TYPE,
    eip7685::Requests, eip7840::BlobParams,
};
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, b256};
use revm::{
    Context, Database, DatabaseRef, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    MainnetEvm, SystemCallCommitEvm,
    context::{
        BlockEnv, Cfg, CfgEnv, TxEnv,
        either::Either,
        result::{EVMError, ExecutionResult, InvalidTransaction},
    },
    database::{
        State as Overlay, StateBuilder, WrapDatabaseRef, states::bundle_state::BundleRetention,
    },
    database_interface::DatabaseCommitExt,
    handler::{MainnetContext, validation},
    primitives::hardfork::SpecId,
    state::EvmState,
};

use crate::{
    block::{Receipt, Transaction},
    diff::Diff,
    error::Error,
    state::{State, settle},
    store::Snapshot,
};

/// Topic of the deposit contract's only event (EIP-6110).
const DEPOSIT_EVENT: B256 =
    b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");

/// Byte offsets of the five fields in the data of a deposit event, with their lengths (EIP-6110).
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(192, 48), (288, 32), (352, 8), (416, 96), (544, 8)];

/// What a block tells its transactions, fixed before the first one runs.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) chain_id: u64,
    pub(crate) spec: SpecId,
    pub(crate) blobs: BlobParams,
    pub(crate) deposit_contract: Option<Address>,
    pub(crate) number: u64,
    pub(crate) timestamp: u64,
    pub(crate) beneficiary: Address,
    pub(crate) gas_limit: u64,
    pub(crate) base_fee: Option<u64>,
    pub(crate) difficulty: U256,
    /// PREVRANDAO since the merge.
    pub(crate) mix_hash: B256,
    pub(crate) parent_hash: B256,
    pub(crate) parent_beacon_root: Option<B256>,
    pub(crate) excess_blob_gas: Option<u64>,
}

impl Environment {
    /// As the EVM wants it.
    pub(crate) fn block_env(&self) -> BlockEnv {
        let mut block = BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee.unwrap_or(0),
            difficulty: self.difficulty,
            prevrandao: self.spec.is_enabled_in(SpecId::MERGE).then_some(self.mix_hash),
            blob_excess_gas_and_price: None,
            ..BlockEnv::default()
        };
        if let Some(excess) = self.excess_blob_gas {
            let fraction = u64::try_from(self.blobs.update_fraction).unwrap_or(u64::MAX);
            block.set_blob_excess_gas_and_price(excess, fraction);
        }
        block
    }

    /// The rules as the EVM wants them.
    pub(crate) fn cfg_env(&self) -> CfgEnv {
        let mut cfg = CfgEnv::new().with_chain_id(self.chain_id);
        cfg = cfg.with_spec_and_mainnet_gas_params(self.spec);
        cfg.max_blobs_per_tx = Some(self.blobs.max_blobs_per_tx);
        cfg.blob_base_fee_update_fraction = u64::try_from(self.blobs.update_fraction).ok();
        cfg
    }
}

/// Why a transaction cannot be in this block at this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It fits the rules, but not into the gas that is left.
    BlockFull,
    /// It breaks a rule.
    Invalid(InvalidTransaction),
}

/// What a block turned out to do.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) blob_gas_used: u64,
    pub(crate) logs_bloom: Bloom,
    /// `None` before Prague.
    pub(crate) requests_hash: Option<B256>,
    pub(crate) state_root: B256,
    pub(crate) diff: Diff,
}

type Overlaid = Overlay<WrapDatabaseRef<State>>;

/// A block in the making.
pub(crate) struct Executor {
    evm: MainnetEvm<MainnetContext<Overlaid>>,
    environment: Environment,
    snapshot: Arc<Snapshot>,
    parent_root: B256,
    receipts: Vec<Receipt>,
    gas_used: u64,
    blob_gas_used: u64,
}

impl Executor {
    /// Begins a block on top of the head of `snapshot`, whose state root is `parent_root`.
    pub(crate) fn begin(
        environment: Environment,
        snapshot: Arc<Snapshot>,
        parent_root: B256,
    ) -> Result<Self, Error> {
        let overlay =
            StateBuilder::new_with_database(WrapDatabaseRef(State::head(snapshot.clone())))
                .with_bundle_update()
                .build();
        let evm = Context::mainnet()
            .with_db(overlay)
            .with_block(environment.block_env())
            .with_cfg(environment.cfg_env())
            .build_mainnet();
        let mut executor = Self {
            evm,
            environment,
            snapshot,
            parent_root,
            receipts: Vec::new(),
            gas_used: 0,
            blob_gas_used: 0,
        };
        executor.open_block()?;
        Ok(executor)
    }

    fn open_block(&mut self) -> Result<(), Error> {
        let environment = &self.environment;
        let (spec, number) = (environment.spec, environment.number);
        let beacon_root = environment.parent_beacon_root.unwrap_or_default();
        let parent_hash = environment.parent_hash;
        if spec.is_enabled_in(SpecId::CANCUN) && number > 0 {
            self.system_call(BEACON_ROOTS_ADDRESS, beacon_root.into())?;
        }
        if spec.is_enabled_in(SpecId::PRAGUE) && number > 0 {
            self.system_call(HISTORY_STORAGE_ADDRESS, parent_hash.into())?;
        }
        Ok(())
    }

    /// Executes the next transaction, or says why it cannot be the next one.
    pub(crate) fn push(
        &mut self,
        transaction: &Recovered<Transaction>,
    ) -> Result<Result<(), Unfit>, Error> {
        let blob_gas = transaction.blob_gas_used().unwrap_or(0);
        let blob_room = self.environment.blobs.max_blob_gas_per_block() - self.blob_gas_used;
        if transaction.gas_limit() > self.environment.gas_limit - self.gas_used
            || blob_gas > blob_room
        {
            return Ok(Err(Unfit::BlockFull));
        }
        let result = match self.evm.transact_commit(transaction_env(transaction)) {
            Ok(result) => result,
            Err(EVMError::Transaction(invalid)) => return Ok(Err(Unfit::Invalid(invalid))),
            Err(error) => return Err(self.failed(&error)),
        };
        self.gas_used += result.tx_gas_used();
        self.blob_gas_used += blob_gas;
        let status = if self.environment.spec.is_enabled_in(SpecId::BYZANTIUM) {
            Eip658Value::Eip658(result.is_success())
        } else {
            Eip658Value::PostState(self.settle()?.1)
        };
        let receipt = alloy_consensus::Receipt {
            status,
            cumulative_gas_used: self.gas_used,
            logs: result.into_logs(),
        };
        self.receipts.push(Receipt::from_typed(transaction.tx_type(), receipt));
        Ok(Ok(()))
    }

    /// How many transactions are in the block so far.
    pub(crate) fn len(&self) -> usize {
        self.receipts.len()
    }

    /// Pays the credits (rewards, withdrawals; wei), collects the requests and settles the state.
    pub(crate) fn finish(mut self, credits: &[(Address, U256)]) -> Result<Executed, Error> {
        let requests_hash = self
            .environment
            .spec
            .is_enabled_in(SpecId::PRAGUE)
            .then(|| self.requests().map(|requests| requests.requests_hash()))
            .transpose()?;
        for (address, amount) in credits {
            self.credit(*address, *amount)?;
        }
        let (diff, state_root) = self.settle()?;
        let logs_bloom =
            self.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        Ok(Executed {
            receipts: self.receipts,
            gas_used: self.gas_used,
            blob_gas_used: self.blob_gas_used,
            logs_bloom,
            requests_hash,
            state_root,
            diff,
        })
    }

    /// The diff and state root of what was executed so far.
    fn settle(&mut self) -> Result<(Diff, B256), Error> {
        let overlay = &mut self.evm.ctx.journaled_state.database;
        overlay.merge_transitions(BundleRetention::PlainState);
        settle(&self.snapshot, self.parent_root, &overlay.bundle_state)
    }

    /// Calls a system contract as the protocol does, outside of any transaction. Where no contract
    /// is deployed nothing happens.
    fn system_call(&mut self, contract: Address, input: Bytes) -> Result<Option<Bytes>, Error> {
        let overlay = &mut self.evm.ctx.journaled_state.database;
        let account = overlay.basic(contract).map_err(|error| Error::Execution {
            number: self.environment.number,
            reason: format!("system contract {contract}: {error}"),
        })?;
        if account.is_none_or(|account| account.is_empty_code_hash()) {
            return Ok(None);
        }
        match self.evm.system_call_commit(contract, input) {
            Ok(ExecutionResult::Success { output, .. }) => Ok(Some(output.into_data())),
            Ok(other) => Err(Error::Execution {
                number: self.environment.number,
                reason: format!("system contract {contract}: {other}"),
            }),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Requests of this block to the consensus layer (EIP-6110, EIP-7002, EIP-7251).
    fn requests(&mut self) -> Result<Requests, Error> {
        let mut requests = Requests::default();
        let deposits: Vec<u8> = self
            .environment
            .deposit_contract
            .into_iter()
            .flat_map(|contract| self.receipts.iter().flat_map(move |r| deposits(r, contract)))
            .collect();
        if !deposits.is_empty() {
            requests.push_request_with_type(DEPOSIT_REQUEST_TYPE, deposits);
        }
        for (kind, contract) in [
            (WITHDRAWAL_REQUEST_TYPE, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
            (CONSOLIDATION_REQUEST_TYPE, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
        ] {
            if let Some(output) = self.system_call(contract, Bytes::new())?
                && !output.is_empty()
            {
                requests.push_request_with_type(kind, output);
            }
        }
        Ok(requests)
    }

    fn credit(&mut self, address: Address, amount: U256) -> Result<(), Error> {
        let amount = u128::try_from(amount).map_err(|_| Error::Execution {
            number: self.environment.number,
            reason: format!("a credit of {amount} wei to {address}"),
        })?;
        let overlay = &mut self.evm.ctx.journaled_state.database;
        overlay.increment_balances([(address, amount)]).map_err(|error| Error::Execution {
            number: self.environment.number,
            reason: format!("a credit to {address}: {error}"),
        })
    }

    fn failed(&self, error: &impl std::fmt::Display) -> Error {
        Error::Execution { number: self.environment.number, reason: error.to_string() }
    }
}

/// The deposits that one receipt announces, in the layout of EIP-6110.
fn deposits(receipt: &Receipt, contract: Address) -> Vec<u8> {
    ReceiptEnvelope::logs(receipt)
        .iter()
        .filter(|log| log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT))
        .flat_map(|log| {
            DEPOSIT_FIELDS.iter().flat_map(|(offset, length)| {
                log.data.data.get(*offset..offset + length).unwrap_or_default().iter().copied()
            })
        })
        .collect()
}

/// A transaction as the EVM wants it.
pub(crate) fn transaction_env(transaction: &Recovered<Transaction>) -> TxEnv {
    TxEnv {
        tx_type: transaction.ty(),
        caller: transaction.signer(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        blob_hashes: transaction.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas().unwrap_or(0),
        authorization_list: transaction
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .cloned()
            .map(Either::Left)
            .collect(),
    }
}

/// Checks what can be checked of a transaction before its turn comes: kind, chain id, fees, sizes,
/// gas limits. Nonce and balance are not looked at.
pub(crate) fn check(environment: &Environment, message: TxEnv) -> Result<(), InvalidTransaction> {
    let cfg = environment.cfg_env();
    let cap = Cfg::tx_gas_limit_cap(&cfg);
    validation::validate_initial_tx_gas(&message, environment.spec, false, false, cap, None)?;
    let context =
        Context::mainnet().with_block(environment.block_env()).with_cfg(cfg).with_tx(message);
    validation::validate_tx_env(context, environment.spec)
}

/// What a message did that was executed beside the chain.
pub(crate) struct Called {
    pub(crate) result: ExecutionResult,
    /// Every account and slot it looked at.
    pub(crate) touched: EvmState,
}

/// Runs one message without a block around it and keeps nothing of it.
pub(crate) fn call<D: DatabaseRef<Error = Error>>(
    state: D,
    block: BlockEnv,
    mut cfg: CfgEnv,
    message: TxEnv,
) -> Result<Result<Called, InvalidTransaction>, Error> {
    // A message is not signed: it may come from a contract, and its nonce does not count.
    cfg.disable_eip3607 = true;
    cfg.disable_nonce_check = true;
    cfg.tx_chain_id_check = false;
    let number = block.number.saturating_to();
    let mut evm = Context::mainnet()
        .with_db(WrapDatabaseRef(state))
        .with_block(block)
        .with_cfg(cfg)
        .build_mainnet();
    match evm.transact(message) {
        Ok(outcome) => Ok(Ok(Called { result: outcome.result, touched: outcome.state })),
        Err(EVMError::Transaction(invalid)) => Ok(Err(invalid)),
        Err(error) => Err(Error::Execution { number, reason: error.to_string() }),
    }
}
