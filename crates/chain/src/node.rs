//! The chain as one process keeps it: store, pool, and the step from one block to the next.
//!
//! Upon a transaction: checked, then into the pool. Upon `seal`: ready transactions are executed on
//! the head, the block is written, the pool advances, subscribers hear of it. Upon `import`: a block
//! made elsewhere is executed by the same executor and written if its header comes out the same.
//!
//! Invariant: at most one block is made at a time. The store is written before the pool advances,
//! and the pool asks the store for nonces under its own lock: no transaction can become ready
//! between the two unseen.
//!
//! Not here: when to seal (`sealer`), the words of JSON-RPC (`rpc`).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_consensus::{
    Header, Sealable, Sealed, Transaction as _,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, U256};
use primitives::Clock;
use revm::context::result::InvalidTransaction;
use tokio::sync::broadcast;

use crate::{
    block::{BaseFee, Block, NewBlock, SealedBlock, Transaction, hash_of},
    diff::Diff,
    error::Error,
    execute::{Environment, Executor, Unfit, check, transaction_env},
    forks::Forks,
    genesis::{Config, genesis_block},
    pool::{Pool, Refusal},
    seal::{Choice, Rules, credits, environment, header},
    state::State,
    store::{Snapshot, Store},
};

/// Blocks that a subscriber may lag behind before it misses some.
const SUBSCRIBER_LAG: usize = 1_024;

/// Bytes that one transaction may have (as most Ethereum nodes have it).
const TRANSACTION_BYTES: usize = 128 * 1_024;

/// One chain in this process.
pub(crate) struct Node {
    pub(crate) rules: Rules,
    store: Store,
    pool: Mutex<Pool>,
    /// Held while a block is made.
    making: Mutex<()>,
    beneficiary: Address,
    pub(crate) clock: Arc<dyn Clock>,
    blocks: broadcast::Sender<NewBlock>,
}

/// What one call of `seal` did.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// The block, if there was anything to put into one.
    pub(crate) block: Option<NewBlock>,
    /// Transactions that turned out to be impossible and left the pool.
    pub(crate) dropped: HashMap<B256, Refusal>,
}

impl Node {
    /// Opens the store, writes the genesis block into an empty one, and refuses one of another
    /// chain.
    pub(crate) fn open(config: &Config, store: Store) -> Result<Self, Error> {
        let rules = Rules {
            chain_id: config.genesis.config.chain_id,
            forks: Forks::of(&config.genesis.config),
            base_fee: config.base_fee,
        };
        let (block, diff) = genesis_block(&config.genesis, &rules.forks, rules.base_fee)?;
        match store.snapshot()?.hash(0)? {
            None => store.commit(&block, &diff)?,
            Some(found) if found == block.header.hash() => {}
            Some(found) => {
                return Err(Error::OtherChain { found, wanted: block.header.hash() });
            }
        }
        let node = Self {
            rules,
            store,
            pool: Mutex::default(),
            making: Mutex::default(),
            beneficiary: config.beneficiary,
            clock: config.clock.clone(),
            blocks: broadcast::channel(SUBSCRIBER_LAG).0,
        };
        node.take_up()?;
        Ok(node)
    }

    /// Takes into the pool what was acknowledged before the last stop, and forgets what has become
    /// impossible since.
    fn take_up(&self) -> Result<(), Error> {
        let mut gone = Vec::new();
        for (hash, envelope) in self.snapshot()?.waiting()? {
            if let Err(refusal) = self.submit(&envelope)? {
                tracing::info!(%hash, %refusal, "a waiting transaction is dropped");
                gone.push(hash);
            }
        }
        if gone.is_empty() { Ok(()) } else { self.store.forget_waiting(&gone) }
    }

    /// Puts on the disk those of the given transactions that still wait.
    pub(crate) fn keep(&self, hashes: &[B256]) -> Result<(), Error> {
        let waiting: Vec<_> = {
            let pool = self.pool();
            let found = hashes.iter().filter_map(|hash| Some((*hash, pool.get(*hash)?)));
            found.map(|(hash, waiting)| (hash, waiting.encoded_2718())).collect()
        };
        if waiting.is_empty() { Ok(()) } else { self.store.keep_waiting(&waiting) }
    }

    /// A view of the chain as of its head now.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        self.store.snapshot().map(Arc::new)
    }

    /// The waiting transactions.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        // Every change of the pool leaves it consistent, also one that a panic cut short.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<NewBlock> {
        self.blocks.subscribe()
    }

    /// What a transaction would see if a block were begun now on the head of `snapshot`.
    pub(crate) fn next_environment(&self, head: &Sealed<Header>) -> Environment {
        let choice = Choice::alone(head, self.clock.now().0, self.beneficiary);
        environment(&self.rules, head, &choice)
    }

    /// Checks a raw transaction and takes it into the pool. Returns its hash and whether it is
    /// ready.
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<Result<(B256, bool), Refusal>, Error> {
        let transaction = match decode(raw) {
            Ok(transaction) => transaction,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let head = self.snapshot()?;
        let head = head.head()?.ok_or_else(|| Error::damaged("there is no head"))?;
        if let Err(refusal) = self.admissible(&transaction, &self.next_environment(&head)) {
            return Ok(Err(refusal));
        }
        let hash = hash_of(&transaction);
        let mut pool = self.pool();
        // Under the lock of the pool: see the invariant of this module.
        let snapshot = self.snapshot()?;
        if snapshot.locate(hash)?.is_some() {
            return Ok(Err(Refusal::Known));
        }
        let account = State::head(snapshot).account(transaction.signer())?.unwrap_or_default();
        let cost = cost_of(&transaction);
        if account.balance < cost && transaction.nonce() >= account.nonce {
            let balance = account.balance;
            return Ok(Err(Refusal::InsufficientFunds { balance, cost }));
        }
        Ok(pool.insert(transaction, account.nonce).map(|ready| (hash, ready)))
    }

    fn admissible(
        &self,
        transaction: &Recovered<Transaction>,
        environment: &Environment,
    ) -> Result<(), Refusal> {
        match check(environment, transaction_env(transaction)) {
            // Under a base fee that moves it may be paid later.
            Err(InvalidTransaction::GasPriceLessThanBasefee)
                if matches!(self.rules.base_fee, BaseFee::ByLoad(_)) =>
            {
                Ok(())
            }
            Err(invalid) => Err(refusal_of(&invalid, environment)),
            Ok(()) => Ok(()),
        }
    }

    /// Seals one block of what is ready; an empty one only if `also_empty`.
    pub(crate) fn seal(&self, also_empty: bool) -> Result<Round, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot()?;
        let parent = snapshot.head()?.ok_or_else(|| Error::damaged("there is no head"))?;
        let choice = Choice::alone(&parent, self.clock.now().0, self.beneficiary);
        let environment = environment(&self.rules, &parent, &choice);
        let ready = self.pool().ready(environment.base_fee.unwrap_or(0));
        if ready.is_empty() && !also_empty {
            return Ok(Round::default());
        }

        let mut executor = Executor::begin(environment.clone(), snapshot, parent.state_root)?;
        let mut included = Vec::new();
        let mut dropped = HashMap::new();
        let mut passed_over = HashSet::new();
        for transaction in ready {
            if passed_over.contains(&transaction.signer()) {
                continue;
            }
            match executor.push(&transaction)? {
                Ok(()) => included.push(Recovered::clone(&transaction)),
                Err(Unfit::BlockFull) if executor.len() > 0 => {
                    passed_over.insert(transaction.signer());
                }
                Err(Unfit::BlockFull) => {
                    let refusal = Refusal::Unfit("exceeds block gas limit".into());
                    dropped.insert(hash_of(&transaction), refusal);
                    passed_over.insert(transaction.signer());
                }
                Err(Unfit::Invalid(invalid)) => {
                    dropped.insert(hash_of(&transaction), refusal_of(&invalid, &environment));
                    passed_over.insert(transaction.signer());
                }
            }
        }
        if !dropped.is_empty() {
            let hashes: Vec<_> = dropped.keys().copied().collect();
            self.store.forget_waiting(&hashes)?;
            let mut pool = self.pool();
            hashes.iter().for_each(|hash| pool.remove(*hash));
        }
        if included.is_empty() && !also_empty {
            return Ok(Round { block: None, dropped });
        }
        let credits = credits(&environment, &choice);
        let executed = executor.finish(&credits)?;
        let transactions: Vec<_> =
            included.iter().map(|transaction| transaction.inner().clone()).collect();
        let header = header(&environment, &choice, &transactions, &executed);
        let block = SealedBlock {
            header: header.seal_slow(),
            transactions: included,
            receipts: executed.receipts,
            ommers: choice.ommers,
            withdrawals: choice.withdrawals,
        };
        let block = self.adopt(block, &executed.diff)?;
        Ok(Round { block: Some(block), dropped })
    }

    /// Executes a block made elsewhere and makes it the head.
    ///
    /// # Errors
    /// [`Error::InvalidBlock`] if it does not follow from the head by the rules.
    pub(crate) fn import(&self, block: Block) -> Result<NewBlock, Error> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let number = block.header.number;
        let invalid = |reason: String| Error::InvalidBlock { number, reason };
        let snapshot = self.snapshot()?;
        let parent = snapshot.head()?.ok_or_else(|| Error::damaged("there is no head"))?;
        follows(&parent, &block.header).map_err(invalid)?;
        gas_limit_follows(&parent, &block.header).map_err(invalid)?;

        let withdrawals = block.body.withdrawals.map(|withdrawals| withdrawals.0);
        let choice = Choice::of(&block.header, block.body.ommers, withdrawals);
        let environment = environment(&self.rules, &parent, &choice);
        let mut executor = Executor::begin(environment.clone(), snapshot, parent.state_root)?;
        let mut included = Vec::with_capacity(block.body.transactions.len());
        for (index, transaction) in block.body.transactions.iter().enumerate() {
            let recovered = transaction
                .clone()
                .try_into_recovered()
                .map_err(|error| invalid(format!("transaction {index}: {error}")))?;
            match executor.push(&recovered)? {
                Ok(()) => included.push(recovered),
                Err(Unfit::BlockFull) => {
                    return Err(invalid(format!("transaction {index} exceeds the gas limit")));
                }
                Err(Unfit::Invalid(error)) => {
                    return Err(invalid(format!("transaction {index}: {error}")));
                }
            }
        }
        let credits = credits(&environment, &choice);
        let executed = executor.finish(&credits)?;
        let composed = header(&environment, &choice, &block.body.transactions, &executed);
        if composed != block.header {
            return Err(invalid(first_difference(&composed, &block.header)));
        }
        let block = SealedBlock {
            header: composed.seal_slow(),
            transactions: included,
            receipts: executed.receipts,
            ommers: choice.ommers,
            withdrawals: choice.withdrawals,
        };
        self.adopt(block, &executed.diff)
    }

    /// Writes a block, then lets everyone know.
    fn adopt(&self, block: SealedBlock, diff: &Diff) -> Result<NewBlock, Error> {
        self.store.commit(&block, diff)?;
        let nonces = diff.accounts.iter().map(|(address, change)| {
            (*address, change.after.as_ref().map_or(0, |account| account.nonce))
        });
        self.pool().advance(nonces);
        let block = Arc::new(block);
        tracing::debug!(
            number = block.header.number,
            transactions = block.transactions.len(),
            nodes = diff.nodes_touched(),
            "block"
        );
        // An error says that nobody listens.
        let _ = self.blocks.send(block.clone());
        Ok(block)
    }
}

fn decode(raw: &[u8]) -> Result<Recovered<Transaction>, Refusal> {
    if raw.len() > TRANSACTION_BYTES {
        return Err(Refusal::Unfit(format!("oversized data: more than {TRANSACTION_BYTES} bytes")));
    }
    // Blob transactions travel with their blobs, in a wrapping of their own: type 3 is enough.
    if raw.first() == Some(&3) {
        return Err(Refusal::Blob);
    }
    let mut rest = raw;
    let transaction = Transaction::decode_2718(&mut rest)
        .map_err(|error| Refusal::Undecodable(error.to_string()))?;
    if !rest.is_empty() {
        return Err(Refusal::Undecodable(format!("{} bytes too many", rest.len())));
    }
    transaction.try_into_recovered().map_err(|error| Refusal::BadSignature(error.to_string()))
}

/// The most a transaction may take from its sender, in wei.
fn cost_of(transaction: &Transaction) -> U256 {
    let gas = U256::from(transaction.gas_limit());
    gas.saturating_mul(U256::from(transaction.max_fee_per_gas()))
        .saturating_add(transaction.value())
}

/// Puts the EVM's refusal into the words that wallets and libraries look for.
pub(crate) fn refusal_of(invalid: &InvalidTransaction, environment: &Environment) -> Refusal {
    use InvalidTransaction as I;
    match invalid {
        I::NonceTooLow { tx, state } => Refusal::NonceTooLow { next: *state, given: *tx },
        I::LackOfFundForMaxFee { fee, balance } => {
            Refusal::InsufficientFunds { balance: **balance, cost: **fee }
        }
        I::NonceTooHigh { tx, state } => {
            Refusal::Unfit(format!("nonce too high: next nonce {state}, tx nonce {tx}"))
        }
        I::GasPriceLessThanBasefee => Refusal::Unfit(format!(
            "max fee per gas less than block base fee: base fee {}",
            environment.base_fee.unwrap_or(0)
        )),
        I::PriorityFeeGreaterThanMaxFee => {
            Refusal::Unfit("max priority fee per gas higher than max fee per gas".into())
        }
        I::CallerGasLimitMoreThanBlock => {
            Refusal::Unfit(format!("exceeds block gas limit of {}", environment.gas_limit))
        }
        I::CallGasCostMoreThanGasLimit { initial_gas, gas_limit }
        | I::GasFloorMoreThanGasLimit { gas_floor: initial_gas, gas_limit } => Refusal::Unfit(
            format!("intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}"),
        ),
        I::InvalidChainId => {
            Refusal::Unfit(format!("invalid chain id: this chain is {}", environment.chain_id))
        }
        I::RejectCallerWithCode => Refusal::Unfit("sender not an eoa".into()),
        other => Refusal::Unfit(other.to_string()),
    }
}

/// Whether a header can come after its parent, as far as the two alone tell.
fn follows(parent: &Sealed<Header>, header: &Header) -> Result<(), String> {
    if header.number != parent.number + 1 {
        return Err(format!("the head is {}", parent.number));
    }
    if header.parent_hash != parent.hash() {
        return Err(format!("its parent is {}, the head {}", header.parent_hash, parent.hash()));
    }
    if header.timestamp < parent.timestamp {
        return Err(format!("its time {} is before its parent's", header.timestamp));
    }
    if header.extra_data.len() > 32 {
        return Err(format!("{} bytes of extra data", header.extra_data.len()));
    }
    Ok(())
}

/// A gas limit moves by less than a 1,024th of the parent's and not below 5,000 (Yellow Paper 4.4.4);
/// with the first base fee the limit, a target until then, doubles (EIP-1559).
fn gas_limit_follows(parent: &Header, header: &Header) -> Result<(), String> {
    let doubled = parent.base_fee_per_gas.is_none() && header.base_fee_per_gas.is_some();
    let before = parent.gas_limit.saturating_mul(if doubled { 2 } else { 1 });
    let step = header.gas_limit.abs_diff(before);
    if step > 0 && step >= before / 1_024 || header.gas_limit < 5_000 {
        return Err(format!("its gas limit is {} after {before}", header.gas_limit));
    }
    Ok(())
}

/// Names the first field in which two headers differ, those that explain most first.
fn first_difference(ours: &Header, theirs: &Header) -> String {
    let fields: [(&str, String, String); 10] = [
        ("gas used", ours.gas_used.to_string(), theirs.gas_used.to_string()),
        ("receipts root", ours.receipts_root.to_string(), theirs.receipts_root.to_string()),
        ("state root", ours.state_root.to_string(), theirs.state_root.to_string()),
        (
            "base fee",
            format!("{:?}", ours.base_fee_per_gas),
            format!("{:?}", theirs.base_fee_per_gas),
        ),
        (
            "transactions root",
            ours.transactions_root.to_string(),
            theirs.transactions_root.to_string(),
        ),
        (
            "requests hash",
            format!("{:?}", ours.requests_hash),
            format!("{:?}", theirs.requests_hash),
        ),
        (
            "blob gas used",
            format!("{:?}", ours.blob_gas_used),
            format!("{:?}", theirs.blob_gas_used),
        ),
        (
            "excess blob gas",
            format!("{:?}", ours.excess_blob_gas),
            format!("{:?}", theirs.excess_blob_gas),
        ),
        ("ommers hash", ours.ommers_hash.to_string(), theirs.ommers_hash.to_string()),
        ("header", format!("{ours:?}"), format!("{theirs:?}")),
    ];
    fields
        .into_iter()
        .find(|(_, ours, theirs)| ours != theirs)
        .map(|(name, ours, theirs)| format!("{name} is {theirs}, execution gives {ours}"))
        .unwrap_or_default()
}
