//! What blocks, their transactions and receipts are, and how a header follows from its parent.
//!
//! In: a parent header and the rules. Out: fees and limits of the next header; roots over bodies.
//!
//! Invariant: every formula here is the one of the Ethereum rules in force, so that a header built
//! here and a header verified here cannot differ.
//!
//! Not here: execution (`execute`), where blocks are kept (`store`).

use std::sync::Arc;

use alloy_consensus::{
    EthereumTxEnvelope, Header, ReceiptEnvelope, Sealed, Transaction as _, TxEip4844,
    transaction::Recovered,
};
use alloy_eips::{eip1559::BaseFeeParams, eip7840::BlobParams};
use alloy_primitives::{Address, B256, Log};
use revm::primitives::hardfork::SpecId;

/// A signed transaction of any kind the chain knows (EIP-2718).
pub type Transaction = EthereumTxEnvelope<TxEip4844>;

/// A block as it travels: header, transactions, ommers, withdrawals.
pub type Block = alloy_consensus::Block<Transaction>;

/// A receipt with its bloom, as the receipts root commits to it.
pub type Receipt = ReceiptEnvelope<Log>;

/// Everything that is kept of one block, besides the state it changed.
#[derive(Clone, Debug)]
pub struct SealedBlock {
    /// The header and its hash.
    pub header: Sealed<Header>,
    /// The transactions with their recovered senders, in order.
    pub transactions: Vec<Recovered<Transaction>>,
    /// One receipt per transaction.
    pub receipts: Vec<Receipt>,
    /// Headers of ommers (only on chains that once had proof of work).
    pub ommers: Vec<Header>,
    /// Withdrawals (EIP-4895), `None` before Shanghai.
    pub withdrawals: Option<Vec<alloy_eips::eip4895::Withdrawal>>,
}

/// A transaction in its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Included<'a> {
    pub(crate) header: &'a Sealed<Header>,
    pub(crate) transaction: &'a Recovered<Transaction>,
    pub(crate) receipt: &'a Receipt,
    /// Its place in the block.
    pub(crate) index: u64,
    /// Gas that it used alone.
    pub(crate) gas_used: u64,
    /// The place of its first log among all logs of the block.
    pub(crate) first_log: u64,
}

impl SealedBlock {
    /// The transactions with all that is known of them, in order.
    pub(crate) fn included(&self) -> impl Iterator<Item = Included<'_>> {
        let (mut gas_before, mut first_log) = (0, 0);
        let pairs = (0u64..).zip(self.transactions.iter().zip(&self.receipts));
        pairs.map(move |(index, (transaction, receipt))| {
            let included = Included {
                header: &self.header,
                transaction,
                receipt,
                index,
                gas_used: receipt.cumulative_gas_used().saturating_sub(gas_before),
                first_log,
            };
            gas_before = receipt.cumulative_gas_used();
            first_log += receipt.logs().len() as u64;
            included
        })
    }
}

/// How the base fee of a network moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFee {
    /// Always this many wei per gas; zero lets newcomers act without native coin.
    Fixed(u64),
    /// By load, as EIP-1559 says, from this many wei per gas in the genesis block.
    ByLoad(u64),
}

impl BaseFee {
    /// Wei per gas in the genesis block.
    pub const fn initial(self) -> u64 {
        match self {
            Self::Fixed(fee) | Self::ByLoad(fee) => fee,
        }
    }

    /// Wei per gas in the block after `parent`; `None` before London.
    pub(crate) fn after(self, parent: &Header, spec: SpecId) -> Option<u64> {
        if !spec.is_enabled_in(SpecId::LONDON) {
            return None;
        }
        match self {
            Self::Fixed(fee) => Some(fee),
            // The first block under London starts at the initial fee of EIP-1559.
            Self::ByLoad(_) => Some(
                parent
                    .next_block_base_fee(BaseFeeParams::ethereum())
                    .unwrap_or(alloy_eips::eip1559::INITIAL_BASE_FEE),
            ),
        }
    }
}

/// Excess blob gas of the block after `parent` (EIP-4844, EIP-7918); `None` before Cancun.
pub(crate) fn excess_blob_gas(parent: &Header, spec: SpecId, blobs: BlobParams) -> Option<u64> {
    if !spec.is_enabled_in(SpecId::CANCUN) {
        return None;
    }
    let excess = parent.excess_blob_gas.unwrap_or(0);
    let used = parent.blob_gas_used.unwrap_or(0);
    let base_fee = parent.base_fee_per_gas.unwrap_or(0);
    Some(blobs.next_block_excess_blob_gas_osaka(excess, used, base_fee))
}

/// The hash of a transaction, computed once.
pub(crate) fn hash_of(transaction: &Transaction) -> B256 {
    *transaction.tx_hash()
}

/// The address of the contract that a transaction creates, where it creates one.
pub(crate) fn created_contract(transaction: &Recovered<Transaction>) -> Option<Address> {
    transaction.is_create().then(|| transaction.signer().create(transaction.nonce()))
}

/// A block that subscribers hear of.
pub type NewBlock = Arc<SealedBlock>;
