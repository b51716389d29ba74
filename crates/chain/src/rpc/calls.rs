//! Messages that run beside the chain: calls, gas estimates, access lists.
//!
//! Invariant: an estimate is a gas limit with which the message was seen to succeed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256, keccak256, map::HashMap};
use alloy_rpc_types_eth::{
    AccessList, AccessListItem, BlockOverrides, TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    context::{
        BlockEnv, Cfg, CfgEnv, TxEnv,
        either::Either,
        result::{ExecutionResult, HaltReason, InvalidTransaction},
    },
    precompile::{PrecompileSpecId, Precompiles},
    state::AccountInfo,
};
use serde_json::{Value, json};

use crate::{
    error::Error,
    execute::{Called, Environment, call as execute},
    node::{Node, refusal_of},
    rpc::{
        moment::Moment,
        params::{Params, RpcError},
    },
    state::State,
};

/// Gas that a call may use when it names no limit.
const CALL_GAS: u64 = 100_000_000;

/// An estimate is at most 1/64 above the least limit that succeeds.
const TOLERANCE: u64 = 64;

pub(super) fn call(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let setting = Setting::of(node, params, Moment::of(node, params, 1)?)?;
    let output = setting.run(setting.message.clone())?;
    match output.result {
        ExecutionResult::Success { output, .. } => Ok(json!(output.into_data())),
        other => Err(failure(&other)),
    }
}

pub(super) fn estimate_gas(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let setting = Setting::of(node, params, Moment::of(node, params, 1)?.coming())?;
    let limit = setting.affordable()?;
    Ok(json!(U64::from(setting.least_gas(limit)?)))
}

pub(super) fn create_access_list(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let setting = Setting::of(node, params, Moment::of(node, params, 1)?.coming())?;
    let first = setting.run(setting.message.clone())?;
    let list = setting.accessed(&first);
    // What the list itself costs and saves shows only when the message runs with it.
    let mut message = setting.message.clone();
    message.access_list = list.clone();
    message.tx_type = message.tx_type.max(1);
    let second = setting.run(message)?;
    let mut answer = json!({
        "accessList": list,
        "gasUsed": U64::from(second.result.tx_gas_used()),
    });
    if !second.result.is_success() {
        answer["error"] = json!(failure(&second.result).message);
    }
    Ok(answer)
}

/// A message and everything it will see.
struct Setting {
    state: Overridden,
    environment: Environment,
    block: BlockEnv,
    cfg: CfgEnv,
    /// The gas limit that a transaction may name at most.
    most_gas: u64,
    message: TxEnv,
}

impl Setting {
    fn of(node: &Node, params: &Params, moment: Moment) -> Result<Self, RpcError> {
        let request: TransactionRequest = params.required(0, "transaction")?;
        let accounts: StateOverride = params.optional(2, "stateOverrides")?.unwrap_or_default();
        let overrides: BlockOverrides = params.optional(3, "blockOverrides")?.unwrap_or_default();
        let environment = moment.environment(node);
        let mut block = environment.block_env();
        override_block(&mut block, &overrides);
        let mut cfg = environment.cfg_env();
        let message = message(request, block.gas_limit)?;
        // A message that names no price pays none, whatever the base fee is.
        cfg.disable_base_fee = message.gas_price == 0;
        // The limit per transaction (EIP-7825) binds transactions, not calls.
        let most_gas = Cfg::tx_gas_limit_cap(&cfg);
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        let state = Overridden {
            state: moment.state(),
            codes: accounts
                .values()
                .filter_map(|account| account.code.clone())
                .map(|code| (keccak256(&code), code))
                .collect(),
            accounts,
            hashes: overrides.block_hash.unwrap_or_default(),
        };
        Ok(Self { state, environment, block, cfg, most_gas, message })
    }

    fn run(&self, message: TxEnv) -> Result<Called, RpcError> {
        self.attempt(message)?.map_err(|invalid| self.refused(&invalid))
    }

    fn refused(&self, invalid: &InvalidTransaction) -> RpcError {
        RpcError::failed(refusal_of(invalid, &self.environment).to_string())
    }

    fn attempt(&self, message: TxEnv) -> Result<Result<Called, InvalidTransaction>, RpcError> {
        Ok(execute(&self.state, self.block.clone(), self.cfg.clone(), message)?)
    }

    /// The gas limit that the sender can pay for, at most the message's own.
    fn affordable(&self) -> Result<u64, RpcError> {
        let limit = self.message.gas_limit.min(self.block.gas_limit).min(self.most_gas);
        if self.message.gas_price == 0 {
            return Ok(limit);
        }
        let account = self.state.basic_ref(self.message.caller)?.unwrap_or_default();
        let left = account.balance.checked_sub(self.message.value).ok_or_else(|| {
            RpcError::failed(format!(
                "insufficient funds for gas * price + value: balance {}, value {}",
                account.balance, self.message.value
            ))
        })?;
        Ok(limit.min((left / U256::from(self.message.gas_price)).saturating_to()))
    }

    /// A gas limit with which the message succeeds, close to the least one.
    fn least_gas(&self, limit: u64) -> Result<u64, RpcError> {
        let with = |gas_limit: u64| TxEnv { gas_limit, ..self.message.clone() };
        let too_little = || RpcError::failed(format!("gas required exceeds allowance ({limit})"));
        let whole = match self.attempt(with(limit))? {
            Ok(whole) => whole,
            Err(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            ) => return Err(too_little()),
            Err(invalid) => return Err(self.refused(&invalid)),
        };
        let spent = match &whole.result {
            ExecutionResult::Success { gas, .. } => gas.total_gas_spent(),
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
                return Err(too_little());
            }
            other => return Err(failure(other)),
        };
        let succeeds = |gas_limit: u64| -> Result<bool, RpcError> {
            let called = self.attempt(with(gas_limit))?;
            // Less than the message costs before it runs is refused: too little as well.
            Ok(called.is_ok_and(|called| called.result.is_success()))
        };
        let mut high = limit;
        let mut low = whole.result.tx_gas_used().saturating_sub(1);
        // All that was spent before refunds, and what EIP-150 holds back: usually enough.
        let guess = spent.saturating_add(spent / 63).saturating_add(1).min(limit);
        for candidate in [low + 1, guess] {
            if candidate > low && candidate < high {
                if succeeds(candidate)? {
                    high = candidate;
                } else {
                    low = candidate;
                }
            }
        }
        while high - low > high / TOLERANCE && high - low > 1 {
            let middle = low + (high - low) / 2;
            if succeeds(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }

    /// The accounts and slots that are worth naming in advance.
    fn accessed(&self, called: &Called) -> AccessList {
        let spec = PrecompileSpecId::from_spec_id(self.environment.spec);
        let precompiles = Precompiles::new(spec);
        let target = match self.message.kind {
            TxKind::Call(to) => to,
            TxKind::Create => self.message.caller.create(self.message.nonce),
        };
        // These are warm from the start: only their slots are worth a place.
        let warm = |address: &Address| {
            *address == self.message.caller
                || *address == target
                || *address == self.block.beneficiary
                || precompiles.contains(address)
        };
        let touched: BTreeMap<_, _> = called.touched.iter().collect();
        let items = touched.into_iter().filter_map(|(address, account)| {
            let mut storage_keys: Vec<B256> =
                account.storage.keys().map(|slot| B256::from(*slot)).collect();
            storage_keys.sort_unstable();
            (!storage_keys.is_empty() || !warm(address))
                .then_some(AccessListItem { address: *address, storage_keys })
        });
        AccessList(items.collect())
    }
}

fn failure(result: &ExecutionResult) -> RpcError {
    match result {
        ExecutionResult::Revert { output, .. } => RpcError::reverted(output),
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
            RpcError::failed("out of gas")
        }
        ExecutionResult::Halt { reason, .. } => RpcError::failed(format!("{reason:?}")),
        ExecutionResult::Success { .. } => RpcError::failed("no failure"),
    }
}

fn message(request: TransactionRequest, block_gas_limit: u64) -> Result<TxEnv, RpcError> {
    if request.gas_price.is_some()
        && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
    {
        return Err(RpcError::invalid(
            "invalid argument 0 (transaction): both gasPrice and (maxFeePerGas or \
             maxPriorityFeePerGas) specified",
        ));
    }
    let input = request.input.try_into_unique_input().map_err(|_| {
        RpcError::invalid("invalid argument 0 (transaction): data and input differ")
    })?;
    let tip = request.max_priority_fee_per_gas;
    let price = request.gas_price.or(request.max_fee_per_gas).or(tip).unwrap_or(0);
    let authorizations = request.authorization_list.unwrap_or_default();
    let blobs = request.blob_versioned_hashes.unwrap_or_default();
    let dynamic = request.max_fee_per_gas.is_some() || tip.is_some();
    let tx_type = match () {
        () if !authorizations.is_empty() => 4,
        () if !blobs.is_empty() => 3,
        () if dynamic => 2,
        () if request.access_list.is_some() => 1,
        () => 0,
    };
    Ok(TxEnv {
        tx_type,
        caller: request.from.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(CALL_GAS).min(block_gas_limit),
        gas_price: price,
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: input.unwrap_or_default(),
        nonce: request.nonce.unwrap_or(0),
        chain_id: None,
        access_list: request.access_list.unwrap_or_default(),
        gas_priority_fee: (tx_type >= 2).then(|| tip.unwrap_or(0)),
        blob_hashes: blobs,
        max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or(0),
        authorization_list: authorizations.into_iter().map(Either::Left).collect(),
    })
}

fn override_block(block: &mut BlockEnv, overrides: &BlockOverrides) {
    if let Some(number) = overrides.number {
        block.number = number;
    }
    if let Some(difficulty) = overrides.difficulty {
        block.difficulty = difficulty;
    }
    if let Some(time) = overrides.time {
        block.timestamp = U256::from(time);
    }
    if let Some(gas_limit) = overrides.gas_limit {
        block.gas_limit = gas_limit;
    }
    if let Some(coinbase) = overrides.coinbase {
        block.beneficiary = coinbase;
    }
    if let Some(random) = overrides.random {
        block.prevrandao = Some(random);
    }
    if let Some(base_fee) = overrides.base_fee {
        block.basefee = base_fee.saturating_to();
    }
}

/// A state in which some accounts are other than they are.
struct Overridden {
    state: State,
    accounts: StateOverride,
    codes: HashMap<B256, Bytes>,
    hashes: BTreeMap<u64, B256>,
}

impl Overridden {
    fn of(&self, address: Address) -> Option<&AccountOverride> {
        self.accounts.get(&address)
    }
}

impl DatabaseRef for Overridden {
    type Error = Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Error> {
        let found = self.state.basic_ref(address)?;
        let Some(changed) = self.of(address) else { return Ok(found) };
        let mut info = found.unwrap_or(AccountInfo { code: None, ..AccountInfo::default() });
        info.balance = changed.balance.unwrap_or(info.balance);
        info.nonce = changed.nonce.unwrap_or(info.nonce);
        if let Some(code) = &changed.code {
            info.code_hash = keccak256(code);
        }
        Ok(Some(info))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Error> {
        match self.codes.get(&hash) {
            Some(code) => Bytecode::new_raw_checked(code.clone())
                .map_err(|error| Error::damaged(format!("code of an override: {error}"))),
            None => self.state.code_by_hash_ref(hash),
        }
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Error> {
        let key = B256::from(slot);
        let Some(changed) = self.of(address) else { return self.state.storage_ref(address, slot) };
        if let Some(whole) = &changed.state {
            return Ok(whole.get(&key).map_or(U256::ZERO, |value| (*value).into()));
        }
        match changed.state_diff.as_ref().and_then(|diff| diff.get(&key)) {
            Some(value) => Ok((*value).into()),
            None => self.state.storage_ref(address, slot),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Error> {
        match self.hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => self.state.block_hash_ref(number),
        }
    }
}
