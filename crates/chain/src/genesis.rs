//! The first block of a chain and what a chain is configured to be.
//!
//! In: a genesis file or a few allocations. Out: the genesis block, its state and the rules.
//!
//! Invariant: the genesis hash follows from the `Genesis` and the base fee alone, so that two nodes
//! with the same descriptor have the same chain.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, Sealable};
use alloy_eips::{eip2935, eip4788, eip7685::EMPTY_REQUESTS_HASH};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, Bloom, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH as EMPTY_TRIE, TrieAccount};
use primitives::Clock;
use revm::primitives::hardfork::SpecId;

use crate::{
    block::{BaseFee, SealedBlock},
    diff::{Change, Diff},
    error::Error,
    forks::Forks,
    seal::Sealing,
    store::Place,
    trie::Trie,
};

/// Gas that fits into one block of a local network: about 9,500 plain transfers.
const LOCAL_GAS_LIMIT: u64 = 200_000_000;

/// What a chain is, where it lives and how it seals.
#[derive(Clone)]
pub struct Config {
    /// Chain id, rules and first accounts.
    pub genesis: Genesis,
    /// Memory or a file.
    pub place: Place,
    /// When blocks are sealed.
    pub sealing: Sealing,
    /// How the base fee moves.
    pub base_fee: BaseFee,
    /// Who receives the tips of the blocks sealed here.
    pub beneficiary: Address,
    /// Where block time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// A local network: Prague rules from the first block, base fee zero, sealed instantly, in
    /// memory, with the given accounts.
    pub fn local(
        chain_id: u64,
        allocations: impl IntoIterator<Item = (Address, GenesisAccount)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            genesis: local_genesis(chain_id, allocations),
            place: Place::Memory,
            sealing: Sealing::Instant,
            base_fee: BaseFee::Fixed(0),
            beneficiary: Address::ZERO,
            clock,
        }
    }
}

/// A genesis under Prague rules: the given accounts and the two system contracts those rules write
/// to (block hashes, EIP-2935; roots of parent certificates, EIP-4788).
pub fn local_genesis(
    chain_id: u64,
    allocations: impl IntoIterator<Item = (Address, GenesisAccount)>,
) -> Genesis {
    let contract = |code: &alloy_primitives::Bytes| {
        GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code.clone()))
    };
    let mut alloc = BTreeMap::from([
        (eip2935::HISTORY_STORAGE_ADDRESS, contract(&eip2935::HISTORY_STORAGE_CODE)),
        (eip4788::BEACON_ROOTS_ADDRESS, contract(&eip4788::BEACON_ROOTS_CODE)),
    ]);
    alloc.extend(allocations);
    let config = ChainConfig {
        chain_id,
        homestead_block: Some(0),
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        byzantium_block: Some(0),
        constantinople_block: Some(0),
        petersburg_block: Some(0),
        istanbul_block: Some(0),
        muir_glacier_block: Some(0),
        berlin_block: Some(0),
        london_block: Some(0),
        arrow_glacier_block: Some(0),
        gray_glacier_block: Some(0),
        merge_netsplit_block: Some(0),
        shanghai_time: Some(0),
        cancun_time: Some(0),
        prague_time: Some(0),
        terminal_total_difficulty: Some(U256::ZERO),
        terminal_total_difficulty_passed: true,
        ..ChainConfig::default()
    };
    Genesis { config, gas_limit: LOCAL_GAS_LIMIT, alloc, ..Genesis::default() }
}

/// The genesis block and the state it begins with.
pub(crate) fn genesis_block(
    genesis: &Genesis,
    forks: &Forks,
    base_fee: BaseFee,
) -> Result<(SealedBlock, Diff), Error> {
    let (diff, state_root) = genesis_state(&genesis.alloc)?;
    let spec = forks.spec(0, genesis.timestamp);
    let since = |fork: SpecId| spec.is_enabled_in(fork);
    let header = Header {
        parent_hash: B256::ZERO,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: genesis.coinbase,
        state_root,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        logs_bloom: Bloom::ZERO,
        difficulty: genesis.difficulty,
        number: 0,
        gas_limit: genesis.gas_limit,
        gas_used: 0,
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: B64::from(genesis.nonce),
        base_fee_per_gas: since(SpecId::LONDON).then(|| base_fee.initial()),
        withdrawals_root: since(SpecId::SHANGHAI).then_some(EMPTY_ROOT_HASH),
        blob_gas_used: since(SpecId::CANCUN).then(|| genesis.blob_gas_used.unwrap_or(0)),
        excess_blob_gas: since(SpecId::CANCUN).then(|| genesis.excess_blob_gas.unwrap_or(0)),
        parent_beacon_block_root: since(SpecId::CANCUN).then_some(B256::ZERO),
        requests_hash: since(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    };
    let block = SealedBlock {
        withdrawals: header.withdrawals_root.map(|_| Vec::new()),
        header: header.seal_slow(),
        transactions: Vec::new(),
        receipts: Vec::new(),
        ommers: Vec::new(),
    };
    Ok((block, diff))
}

fn genesis_state(alloc: &BTreeMap<Address, GenesisAccount>) -> Result<(Diff, B256), Error> {
    let nothing = |_: &_| Ok(None);
    let mut diff = Diff::default();
    let mut accounts = Trie::new(EMPTY_TRIE, &nothing);
    for (address, given) in alloc {
        let mut storage = Trie::new(EMPTY_TRIE, &nothing);
        for (slot, value) in given.storage_slots().filter(|(_, value)| !value.is_zero()) {
            storage.set(keccak256(slot), alloy_rlp::encode_fixed_size(&value).to_vec())?;
            let change = Change { before: U256::ZERO, after: value };
            diff.storage.insert((*address, slot.into()), change);
        }
        let (storage_root, nodes) = storage.commit();
        if !nodes.is_empty() {
            diff.storage_nodes.insert(keccak256(address), nodes);
        }
        let code_hash = given.code_hash().unwrap_or(KECCAK256_EMPTY);
        if let Some(code) = given.non_empty_code() {
            diff.codes.insert(code_hash, code.clone());
        }
        let account = TrieAccount {
            nonce: given.nonce.unwrap_or(0),
            balance: given.balance,
            storage_root,
            code_hash,
        };
        accounts.set(keccak256(address), alloy_rlp::encode(account))?;
        diff.accounts.insert(*address, Change { before: None, after: Some(account) });
    }
    let (root, nodes) = accounts.commit();
    diff.account_nodes = nodes;
    Ok((diff, root))
}
