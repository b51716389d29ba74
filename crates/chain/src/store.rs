//! One redb file, or the same in memory, that holds the chain: blocks, indexes, state, history.
//!
//! Upon `commit` of a block: everything it brings is written in one transaction and is on the disk
//! when the call returns; a crash before that leaves the parent as the head. Upon a write after one
//! that failed: the file is opened again, so a disk that was full needs no restart.
//!
//! In: a sealed block and what it changed. Out: snapshots, each a consistent view as of one head.
//!
//! Invariant: header n, its body, receipts, indexes and state changes are all present, or none is.
//! For every changed value the one before is kept under (key, n), so the state after any block can
//! be read: it is the oldest value kept above that block, or else the latest one.
//!
//! Not here: what a transaction changes (`execute`), what the trie is (`trie`).

use std::{
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use alloy_consensus::{
    Eip658Value, Header, ReceiptEnvelope, Sealable, Sealed, transaction::Recovered,
};
use alloy_eips::{
    eip2718::{Decodable2718, Encodable2718},
    eip4895::Withdrawal,
};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use alloy_trie::{Nibbles, TrieAccount};
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, StorageError, TableDefinition, WriteTransaction, backends::InMemoryBackend,
};

use crate::{
    block::{Included, Receipt, SealedBlock, Transaction, hash_of},
    diff::Diff,
    error::Error,
};

/// Where a chain lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process; gone when the chain is closed.
    Memory,
    /// In one file, created if absent; locked while the chain is open.
    File(PathBuf),
}

/// Bytes of the file that redb may keep in memory.
const CACHE_BYTES: usize = 48 << 20;

/// Layout of the tables below; a file with another version is refused.
const VERSION: u64 = 1;

type Table<K> = TableDefinition<'static, K, &'static [u8]>;

const MARKS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("marks");
const HEADERS: Table<u64> = Table::new("headers");
const HASHES: TableDefinition<'static, u64, [u8; 32]> = TableDefinition::new("hashes");
const NUMBERS: TableDefinition<'static, [u8; 32], u64> = TableDefinition::new("numbers");
/// What a block has besides its header and transactions.
const BODIES: Table<u64> = Table::new("bodies");
/// (block, place) -> signed transaction.
const ENVELOPES: Table<(u64, u64)> = Table::new("envelopes");
/// (block, place) -> receipt.
const RECEIPTS: Table<(u64, u64)> = Table::new("receipts");
/// Transactions that were acknowledged and are in no block yet.
const WAITING: Table<[u8; 32]> = Table::new("waiting");
const TRANSACTIONS: TableDefinition<'static, [u8; 32], (u64, u64)> =
    TableDefinition::new("transactions");
/// (address, block): the contract at the address logged something in the block.
const LOGGED: TableDefinition<'static, [u8; 28], ()> = TableDefinition::new("logged");
const ACCOUNTS: Table<[u8; 20]> = Table::new("accounts");
const STORAGE: TableDefinition<'static, [u8; 52], [u8; 32]> = TableDefinition::new("storage");
const CODES: Table<[u8; 32]> = Table::new("codes");
/// (address, block) -> the account before the block; empty where there was none.
const ACCOUNT_HISTORY: Table<[u8; 28]> = Table::new("account history");
/// (address, slot, block) -> the slot before the block.
const STORAGE_HISTORY: TableDefinition<'static, [u8; 60], [u8; 32]> =
    TableDefinition::new("storage history");
/// Path, one nibble per byte -> node.
const ACCOUNT_NODES: Table<&'static [u8]> = Table::new("account nodes");
/// Hashed address, then path -> node.
const STORAGE_NODES: Table<&'static [u8]> = Table::new("storage nodes");

/// Opens the database, for the first time or again.
type Opening = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The open database.
pub(crate) struct Store {
    /// `None` only while it is being opened again.
    database: RwLock<Option<Database>>,
    /// `None` for one in memory, which would come back empty.
    opening: Option<Opening>,
}

/// A transaction that is in a block.
pub(crate) struct Mined {
    header: Sealed<Header>,
    transaction: Recovered<Transaction>,
    receipt: Receipt,
    index: u64,
    gas_used: u64,
    first_log: u64,
}

impl Mined {
    /// The transaction in its block.
    pub(crate) fn included(&self) -> Included<'_> {
        Included {
            header: &self.header,
            transaction: &self.transaction,
            receipt: &self.receipt,
            index: self.index,
            gas_used: self.gas_used,
            first_log: self.first_log,
        }
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

impl Store {
    /// Opens the file, or creates it; a memory store is always new.
    pub(crate) fn open(place: &Place) -> Result<Self, Error> {
        match place {
            Place::Memory => {
                let database = builder().create_with_backend(InMemoryBackend::new());
                Self::prepare(database.map_err(Error::store("open memory"))?, None)
            }
            Place::File(path) => {
                let path = path.clone();
                Self::opened_by(Box::new(move || builder().create(&path)))
            }
        }
    }

    /// Opens a database over a backend of the caller's choice, such as one that fails on purpose.
    #[cfg(test)]
    pub(crate) fn over(backend: impl redb::StorageBackend + Clone) -> Result<Self, Error> {
        Self::opened_by(Box::new(move || builder().create_with_backend(backend.clone())))
    }

    fn opened_by(opening: Opening) -> Result<Self, Error> {
        let database = opening().map_err(Error::store("open the file"))?;
        Self::prepare(database, Some(opening))
    }

    /// Creates what is missing, so that a snapshot finds every table.
    fn prepare(database: Database, opening: Option<Opening>) -> Result<Self, Error> {
        let store = Self { database: RwLock::new(Some(database)), opening };
        let writing = store.begin()?;
        let version = {
            let mut marks = writing.open_table(MARKS).map_err(Error::store("open the marks"))?;
            let found = marks.get("version").map_err(Error::store("read the version"))?;
            let found = found.map(|found| found.value());
            if found.is_none() {
                marks.insert("version", VERSION).map_err(Error::store("write the version"))?;
            }
            found.unwrap_or(VERSION)
        };
        if version != VERSION {
            return Err(Error::damaged(format!(
                "the file has layout {version}, this program knows layout {VERSION}"
            )));
        }
        Tables::open(&writing)?;
        writing.commit().map_err(Error::store("create the tables"))?;
        Ok(store)
    }

    fn begin(&self) -> Result<WriteTransaction, Error> {
        self.healed(|database| Ok(database.begin_write()?)).map_err(Error::store("begin writing"))
    }

    /// A view of the whole chain as of its head now; later blocks do not show in it.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        self.healed(|database| Snapshot::open(&database.begin_read()?))
            .map_err(Error::store("begin reading"))
    }

    /// Uses the database. After an I/O error (a full disk, say) redb refuses everything until it is
    /// opened again, which brings it back to the last commit: then that is done first.
    fn healed<T>(
        &self,
        act: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        match self.with(&act) {
            Err(redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
                self.reopen()?;
                self.with(&act)
            }
            done => done,
        }
    }

    fn with<T>(&self, act: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_or(Err(redb::Error::DatabaseClosed), act)
    }

    /// Lets go of the database and opens it again; if that fails, the next use tries once more.
    fn reopen(&self) -> Result<(), redb::Error> {
        let Some(opening) = &self.opening else { return Ok(()) };
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // First let go: the file is locked while it is open.
        *database = None;
        *database = Some(opening()?);
        Ok(())
    }

    /// Writes a block and what it changed; on return it is durable.
    pub(crate) fn commit(&self, block: &SealedBlock, diff: &Diff) -> Result<(), Error> {
        let writing = self.begin()?;
        {
            let mut tables = Tables::open(&writing)?;
            tables.write_block(block).map_err(Error::store("write a block"))?;
            tables
                .write_diff(block.header.number, diff)
                .map_err(Error::store("write the state"))?;
        }
        writing.commit().map_err(Error::store("commit a block"))
    }

    /// Writes transactions that are acknowledged before a block takes them.
    pub(crate) fn keep_waiting(&self, waiting: &[(B256, Vec<u8>)]) -> Result<(), Error> {
        self.change_waiting(|table| {
            waiting.iter().try_for_each(|(hash, envelope)| {
                table.insert(hash.0, envelope.as_slice()).map(|_| ())
            })
        })
    }

    /// Forgets transactions that no block will take.
    pub(crate) fn forget_waiting(&self, hashes: &[B256]) -> Result<(), Error> {
        self.change_waiting(|table| {
            hashes.iter().try_for_each(|hash| table.remove(hash.0).map(|_| ()))
        })
    }

    fn change_waiting(
        &self,
        change: impl FnOnce(&mut Open<'_, [u8; 32]>) -> Result<(), StorageError>,
    ) -> Result<(), Error> {
        let writing = self.begin()?;
        {
            let table = writing.open_table(WAITING);
            let mut table = table.map_err(Error::store("open the waiting transactions"))?;
            change(&mut table).map_err(Error::store("write the waiting transactions"))?;
        }
        writing.commit().map_err(Error::store("commit the waiting transactions"))
    }
}

type Open<'t, K> = redb::Table<'t, K, &'static [u8]>;

/// Every table, open for writing.
struct Tables<'t> {
    headers: Open<'t, u64>,
    hashes: redb::Table<'t, u64, [u8; 32]>,
    numbers: redb::Table<'t, [u8; 32], u64>,
    bodies: Open<'t, u64>,
    envelopes: Open<'t, (u64, u64)>,
    receipts: Open<'t, (u64, u64)>,
    waiting: Open<'t, [u8; 32]>,
    transactions: redb::Table<'t, [u8; 32], (u64, u64)>,
    logged: redb::Table<'t, [u8; 28], ()>,
    accounts: Open<'t, [u8; 20]>,
    storage: redb::Table<'t, [u8; 52], [u8; 32]>,
    codes: Open<'t, [u8; 32]>,
    account_history: Open<'t, [u8; 28]>,
    storage_history: redb::Table<'t, [u8; 60], [u8; 32]>,
    account_nodes: Open<'t, &'static [u8]>,
    storage_nodes: Open<'t, &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn open(writing: &'t WriteTransaction) -> Result<Self, Error> {
        let cannot = Error::store("open a table for writing");
        (|| {
            Ok(Self {
                headers: writing.open_table(HEADERS)?,
                hashes: writing.open_table(HASHES)?,
                numbers: writing.open_table(NUMBERS)?,
                bodies: writing.open_table(BODIES)?,
                envelopes: writing.open_table(ENVELOPES)?,
                receipts: writing.open_table(RECEIPTS)?,
                waiting: writing.open_table(WAITING)?,
                transactions: writing.open_table(TRANSACTIONS)?,
                logged: writing.open_table(LOGGED)?,
                accounts: writing.open_table(ACCOUNTS)?,
                storage: writing.open_table(STORAGE)?,
                codes: writing.open_table(CODES)?,
                account_history: writing.open_table(ACCOUNT_HISTORY)?,
                storage_history: writing.open_table(STORAGE_HISTORY)?,
                account_nodes: writing.open_table(ACCOUNT_NODES)?,
                storage_nodes: writing.open_table(STORAGE_NODES)?,
            })
        })()
        .map_err(|error: redb::TableError| cannot(error))
    }

    fn write_block(&mut self, block: &SealedBlock) -> Result<(), StorageError> {
        let number = block.header.number;
        let hash = block.header.hash();
        let mut buffer = Vec::new();

        block.header.inner().encode(&mut buffer);
        self.headers.insert(number, buffer.as_slice())?;
        self.hashes.insert(number, hash.0)?;
        self.numbers.insert(hash.0, number)?;

        buffer.clear();
        StoredBody::of(block).encode(&mut buffer);
        self.bodies.insert(number, buffer.as_slice())?;

        for included in block.included() {
            let place = (number, included.index);
            let hash = hash_of(included.transaction).0;
            self.transactions.insert(hash, place)?;
            self.waiting.remove(hash)?;
            buffer.clear();
            StoredTransaction::of(included.transaction).encode(&mut buffer);
            self.envelopes.insert(place, buffer.as_slice())?;
            buffer.clear();
            StoredReceipt::of(&included).encode(&mut buffer);
            self.receipts.insert(place, buffer.as_slice())?;
        }
        for log in block.receipts.iter().flat_map(ReceiptEnvelope::logs) {
            self.logged.insert(at_block(log.address, number), ())?;
        }
        Ok(())
    }

    fn write_diff(&mut self, number: u64, diff: &Diff) -> Result<(), StorageError> {
        let mut buffer = Vec::new();
        for (address, change) in &diff.accounts {
            buffer.clear();
            if let Some(before) = &change.before {
                before.encode(&mut buffer);
            }
            self.account_history.insert(at_block(*address, number), buffer.as_slice())?;
            match &change.after {
                Some(after) => {
                    buffer.clear();
                    after.encode(&mut buffer);
                    self.accounts.insert(address.into_array(), buffer.as_slice())?;
                }
                None => {
                    self.accounts.remove(address.into_array())?;
                }
            }
        }
        for ((address, slot), change) in &diff.storage {
            let before = change.before.to_be_bytes();
            self.storage_history.insert(slot_at_block(*address, *slot, number), before)?;
            if change.after.is_zero() {
                self.storage.remove(slot_key(*address, *slot))?;
            } else {
                self.storage.insert(slot_key(*address, *slot), change.after.to_be_bytes())?;
            }
        }
        for (hash, code) in &diff.codes {
            self.codes.insert(hash.0, code.as_ref())?;
        }
        for (path, node) in &diff.account_nodes {
            write_node(&mut self.account_nodes, &path.to_vec(), node.as_deref())?;
        }
        for (owner, nodes) in &diff.storage_nodes {
            for (path, node) in nodes {
                write_node(&mut self.storage_nodes, &node_key(*owner, path), node.as_deref())?;
            }
        }
        Ok(())
    }
}

fn write_node(
    table: &mut Open<'_, &'static [u8]>,
    key: &[u8],
    node: Option<&[u8]>,
) -> Result<(), StorageError> {
    match node {
        Some(rlp) => table.insert(key, rlp)?,
        None => table.remove(key)?,
    };
    Ok(())
}

type Shut<K> = ReadOnlyTable<K, &'static [u8]>;

/// The chain as of one head, however long it is held.
pub(crate) struct Snapshot {
    headers: Shut<u64>,
    hashes: ReadOnlyTable<u64, [u8; 32]>,
    numbers: ReadOnlyTable<[u8; 32], u64>,
    bodies: Shut<u64>,
    envelopes: Shut<(u64, u64)>,
    receipts: Shut<(u64, u64)>,
    waiting: Shut<[u8; 32]>,
    transactions: ReadOnlyTable<[u8; 32], (u64, u64)>,
    logged: ReadOnlyTable<[u8; 28], ()>,
    accounts: Shut<[u8; 20]>,
    storage: ReadOnlyTable<[u8; 52], [u8; 32]>,
    codes: Shut<[u8; 32]>,
    account_history: Shut<[u8; 28]>,
    storage_history: ReadOnlyTable<[u8; 60], [u8; 32]>,
    account_nodes: Shut<&'static [u8]>,
    storage_nodes: Shut<&'static [u8]>,
}

impl Snapshot {
    fn open(reading: &ReadTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            headers: reading.open_table(HEADERS)?,
            hashes: reading.open_table(HASHES)?,
            numbers: reading.open_table(NUMBERS)?,
            bodies: reading.open_table(BODIES)?,
            envelopes: reading.open_table(ENVELOPES)?,
            receipts: reading.open_table(RECEIPTS)?,
            waiting: reading.open_table(WAITING)?,
            transactions: reading.open_table(TRANSACTIONS)?,
            logged: reading.open_table(LOGGED)?,
            accounts: reading.open_table(ACCOUNTS)?,
            storage: reading.open_table(STORAGE)?,
            codes: reading.open_table(CODES)?,
            account_history: reading.open_table(ACCOUNT_HISTORY)?,
            storage_history: reading.open_table(STORAGE_HISTORY)?,
            account_nodes: reading.open_table(ACCOUNT_NODES)?,
            storage_nodes: reading.open_table(STORAGE_NODES)?,
        })
    }

    /// The newest header; `None` before the genesis block is written.
    pub(crate) fn head(&self) -> Result<Option<Sealed<Header>>, Error> {
        let last = self.headers.last().map_err(Error::store("read the head"))?;
        last.map(|(number, _)| self.sealed_header(number.value())).transpose()
    }

    /// The header at a height that is known to exist.
    fn sealed_header(&self, number: u64) -> Result<Sealed<Header>, Error> {
        self.header(number)?.ok_or_else(|| Error::damaged(format!("header {number} is missing")))
    }

    /// The header at a height.
    pub(crate) fn header(&self, number: u64) -> Result<Option<Sealed<Header>>, Error> {
        let cannot = "read a header";
        let Some(rlp) = self.headers.get(number).map_err(Error::store(cannot))? else {
            return Ok(None);
        };
        let header: Header = decode(rlp.value(), "header", number)?;
        Ok(Some(match self.hash(number)? {
            Some(hash) => header.seal_unchecked(hash),
            None => header.seal_slow(),
        }))
    }

    /// The hash of the block at a height.
    pub(crate) fn hash(&self, number: u64) -> Result<Option<B256>, Error> {
        let hash = self.hashes.get(number).map_err(Error::store("read a block hash"))?;
        Ok(hash.map(|hash| B256::from(hash.value())))
    }

    /// The height of the block with this hash.
    pub(crate) fn number(&self, hash: B256) -> Result<Option<u64>, Error> {
        let number = self.numbers.get(hash.0).map_err(Error::store("look up a block hash"))?;
        Ok(number.map(|number| number.value()))
    }

    /// The block at a height, with everything that is kept of it.
    pub(crate) fn block(&self, number: u64) -> Result<Option<SealedBlock>, Error> {
        let Some(header) = self.header(number)? else { return Ok(None) };
        let rlp = self.bodies.get(number).map_err(Error::store("read a body"))?;
        let rlp = rlp.ok_or_else(|| Error::damaged(format!("body {number} is missing")))?;
        let body: StoredBody = decode(rlp.value(), "body", number)?;
        let all = (number, 0)..=(number, u64::MAX);
        let cannot = Error::store("read the transactions of a block");
        let envelopes = self.envelopes.range(all.clone()).map_err(&cannot)?;
        let stored = self.receipts.range(all).map_err(&cannot)?;
        let mut transactions = Vec::new();
        let mut receipts = Vec::new();
        for (envelope, receipt) in envelopes.zip(stored) {
            let (envelope, receipt) = (envelope.map_err(&cannot)?.1, receipt.map_err(&cannot)?.1);
            let transaction = read_transaction(envelope.value(), number)?;
            let receipt: StoredReceipt = decode(receipt.value(), "receipt of block", number)?;
            receipts.push(receipt.receipt(transaction.inner()));
            transactions.push(transaction);
        }
        let withdrawals = header.withdrawals_root.map(|_| body.withdrawals);
        Ok(Some(SealedBlock { header, transactions, receipts, ommers: body.ommers, withdrawals }))
    }

    /// A transaction with its header and receipt, found by its hash without reading its block.
    pub(crate) fn mined(&self, hash: B256) -> Result<Option<Mined>, Error> {
        let Some(place @ (number, index)) = self.locate(hash)? else { return Ok(None) };
        let header = self.sealed_header(number)?;
        let cannot = Error::store("read a transaction");
        let missing = || Error::damaged(format!("transaction {hash} is not where it should be"));
        let envelope = self.envelopes.get(place).map_err(&cannot)?.ok_or_else(missing)?;
        let transaction = read_transaction(envelope.value(), number)?;
        let receipt = self.receipts.get(place).map_err(&cannot)?.ok_or_else(missing)?;
        let stored: StoredReceipt = decode(receipt.value(), "receipt of transaction", hash)?;
        let (gas_used, first_log) = (stored.gas_used, stored.first_log);
        let receipt = stored.receipt(transaction.inner());
        Ok(Some(Mined { header, transaction, receipt, index, gas_used, first_log }))
    }

    /// The acknowledged transactions that are in no block yet, as they were sent.
    pub(crate) fn waiting(&self) -> Result<Vec<(B256, Vec<u8>)>, Error> {
        let cannot = Error::store("read the waiting transactions");
        self.waiting
            .range::<[u8; 32]>(..)
            .map_err(&cannot)?
            .map(|entry| {
                let (hash, envelope) = entry.map_err(&cannot)?;
                Ok((B256::from(hash.value()), envelope.value().to_vec()))
            })
            .collect()
    }

    /// The block and the place in it of a transaction.
    pub(crate) fn locate(&self, hash: B256) -> Result<Option<(u64, u64)>, Error> {
        let found = self.transactions.get(hash.0).map_err(Error::store("look up a transaction"))?;
        Ok(found.map(|found| found.value()))
    }

    /// The blocks from `first` to `last` in which `address` logged something, ascending.
    pub(crate) fn logged(
        &self,
        address: Address,
        first: u64,
        last: u64,
    ) -> Result<Vec<u64>, Error> {
        let cannot = Error::store("read the log index");
        let range = at_block(address, first)..=at_block(address, last);
        self.logged
            .range(range)
            .map_err(&cannot)?
            .map(|entry| {
                let (key, _) = entry.map_err(&cannot)?;
                let key = key.value();
                let mut number = [0; 8];
                number.copy_from_slice(&key[20..]);
                Ok(u64::from_be_bytes(number))
            })
            .collect()
    }

    /// The account after block `height`, or after the newest block for `None`.
    pub(crate) fn account(
        &self,
        address: Address,
        height: Option<u64>,
    ) -> Result<Option<TrieAccount>, Error> {
        let cannot = Error::store("read an account");
        let read = |rlp: &[u8]| decode(rlp, "account", address);
        if let Some(height) = height {
            let later = at_block(address, height.saturating_add(1))..=at_block(address, u64::MAX);
            if let Some(entry) = self.account_history.range(later).map_err(&cannot)?.next() {
                let (_, before) = entry.map_err(&cannot)?;
                let before = before.value();
                return if before.is_empty() { Ok(None) } else { read(before).map(Some) };
            }
        }
        let latest = self.accounts.get(address.into_array()).map_err(&cannot)?;
        latest.map(|rlp| read(rlp.value())).transpose()
    }

    /// The storage slot after block `height`, or after the newest block for `None`.
    pub(crate) fn slot(
        &self,
        address: Address,
        slot: U256,
        height: Option<u64>,
    ) -> Result<U256, Error> {
        let cannot = Error::store("read a storage slot");
        if let Some(height) = height {
            let later = slot_at_block(address, slot, height.saturating_add(1))
                ..=slot_at_block(address, slot, u64::MAX);
            if let Some(entry) = self.storage_history.range(later).map_err(&cannot)?.next() {
                let (_, before) = entry.map_err(&cannot)?;
                return Ok(U256::from_be_bytes(before.value()));
            }
        }
        let latest = self.storage.get(slot_key(address, slot)).map_err(&cannot)?;
        Ok(latest.map_or(U256::ZERO, |value| U256::from_be_bytes(value.value())))
    }

    /// Every slot an account holds now. Linear in their number: only for accounts that vanish.
    pub(crate) fn slots(&self, address: Address) -> Result<Vec<(U256, U256)>, Error> {
        let cannot = Error::store("read the storage of an account");
        let range = slot_key(address, U256::ZERO)..=slot_key(address, U256::MAX);
        self.storage
            .range(range)
            .map_err(&cannot)?
            .map(|entry| {
                let (key, value) = entry.map_err(&cannot)?;
                let key = key.value();
                Ok((U256::from_be_slice(&key[20..]), U256::from_be_bytes(value.value())))
            })
            .collect()
    }

    /// Every account there is now. Linear: for audits and tests.
    #[cfg(test)]
    pub(crate) fn accounts(&self) -> Result<Vec<(Address, TrieAccount)>, Error> {
        let cannot = Error::store("read all accounts");
        self.accounts
            .range::<[u8; 20]>(..)
            .map_err(&cannot)?
            .map(|entry| {
                let (key, value) = entry.map_err(&cannot)?;
                let address = Address::from(key.value());
                Ok((address, decode(value.value(), "account", address)?))
            })
            .collect()
    }

    /// Code by its hash.
    pub(crate) fn code(&self, hash: B256) -> Result<Option<Bytes>, Error> {
        let code = self.codes.get(hash.0).map_err(Error::store("read code"))?;
        Ok(code.map(|code| Bytes::copy_from_slice(code.value())))
    }

    /// The node of the account trie under a path.
    pub(crate) fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, Error> {
        let node = self.account_nodes.get(path.to_vec().as_slice());
        let node = node.map_err(Error::store("read an account trie node"))?;
        Ok(node.map(|node| node.value().to_vec()))
    }

    /// The node of the storage trie of the account with this hashed address, under a path.
    pub(crate) fn storage_node(
        &self,
        owner: B256,
        path: &Nibbles,
    ) -> Result<Option<Vec<u8>>, Error> {
        let node = self.storage_nodes.get(node_key(owner, path).as_slice());
        let node = node.map_err(Error::store("read a storage trie node"))?;
        Ok(node.map(|node| node.value().to_vec()))
    }

    /// The paths of all nodes of one storage trie. Linear: only for accounts that vanish.
    pub(crate) fn storage_paths(&self, owner: B256) -> Result<Vec<Nibbles>, Error> {
        let cannot = Error::store("read the paths of a storage trie");
        let first = owner.as_slice();
        // No nibble is above 15, so this key is above every path of this owner.
        let last = [first, &[16]].concat();
        self.storage_nodes
            .range(first..last.as_slice())
            .map_err(&cannot)?
            .map(|entry| {
                let (key, _) = entry.map_err(&cannot)?;
                Ok(Nibbles::from_nibbles(&key.value()[32..]))
            })
            .collect()
    }
}

fn at_block(address: Address, number: u64) -> [u8; 28] {
    let mut key = [0; 28];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&number.to_be_bytes());
    key
}

fn slot_key(address: Address, slot: U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

fn slot_at_block(address: Address, slot: U256, number: u64) -> [u8; 60] {
    let mut key = [0; 60];
    key[..52].copy_from_slice(&slot_key(address, slot));
    key[52..].copy_from_slice(&number.to_be_bytes());
    key
}

fn node_key(owner: B256, path: &Nibbles) -> Vec<u8> {
    let mut key = owner.to_vec();
    key.extend(path.iter());
    key
}

fn decode<T: Decodable>(
    mut rlp: &[u8],
    what: &str,
    which: impl std::fmt::Display,
) -> Result<T, Error> {
    T::decode(&mut rlp).map_err(|error| Error::damaged(format!("{what} {which}: {error}")))
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredTransaction {
    sender: Address,
    envelope: Bytes,
}

impl StoredTransaction {
    fn of(transaction: &Recovered<Transaction>) -> Self {
        let envelope = transaction.encoded_2718().into();
        Self { sender: transaction.signer(), envelope }
    }
}

fn read_transaction(rlp: &[u8], number: u64) -> Result<Recovered<Transaction>, Error> {
    let stored: StoredTransaction = decode(rlp, "a transaction of block", number)?;
    Transaction::decode_2718(&mut stored.envelope.as_ref())
        .map(|transaction| Recovered::new_unchecked(transaction, stored.sender))
        .map_err(|error| Error::damaged(format!("a transaction of block {number}: {error}")))
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredBody {
    ommers: Vec<Header>,
    withdrawals: Vec<Withdrawal>,
}

impl StoredBody {
    fn of(block: &SealedBlock) -> Self {
        let withdrawals = block.withdrawals.clone().unwrap_or_default();
        Self { ommers: block.ommers.clone(), withdrawals }
    }
}

/// A receipt without what follows from its transaction and its logs.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    /// One byte of status, or the state root that receipts carried before Byzantium.
    outcome: Bytes,
    cumulative_gas_used: u64,
    /// By this transaction alone.
    gas_used: u64,
    /// The place of its first log among all of the block.
    first_log: u64,
    logs: Vec<Log>,
}

impl StoredReceipt {
    fn of(included: &Included<'_>) -> Self {
        let receipt = match included.receipt {
            ReceiptEnvelope::Legacy(inner)
            | ReceiptEnvelope::Eip2930(inner)
            | ReceiptEnvelope::Eip1559(inner)
            | ReceiptEnvelope::Eip4844(inner)
            | ReceiptEnvelope::Eip7702(inner) => &inner.receipt,
        };
        let outcome = match receipt.status {
            Eip658Value::Eip658(success) => Bytes::from(vec![u8::from(success)]),
            Eip658Value::PostState(root) => Bytes::from(root.0),
        };
        Self {
            outcome,
            cumulative_gas_used: receipt.cumulative_gas_used,
            gas_used: included.gas_used,
            first_log: included.first_log,
            logs: receipt.logs.clone(),
        }
    }

    fn receipt(self, transaction: &Transaction) -> Receipt {
        let status = match self.outcome.len() {
            32 => Eip658Value::PostState(B256::from_slice(&self.outcome)),
            _ => Eip658Value::Eip658(self.outcome.first() == Some(&1)),
        };
        let receipt = alloy_consensus::Receipt {
            status,
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs,
        };
        Receipt::from_typed(transaction.tx_type(), receipt)
    }
}

#[cfg(test)]
mod tests;
