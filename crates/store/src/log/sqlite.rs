//! The log in a SQLite file: WAL, synchronous=FULL, group commit.
//!
//! One task writes. Upon a batch: take every batch that waits with it into one transaction, so
//! that all of them share one flush to the disk; answer each when the commit has returned. While a
//! commit runs, the next group gathers.
//!
//! Invariant: a batch that conflicts or fails touches no other batch of its group.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use primitives::B256;
use sqlx::{
    Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{Appended, Batch, Cursor, Entry, Log, Position, StreamHead};
use crate::{database::Database, error::Error};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS facts (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    stream TEXT NOT NULL,
    number INTEGER NOT NULL,
    fact BLOB NOT NULL,
    UNIQUE (stream, number)
) STRICT;
CREATE TABLE IF NOT EXISTS cursors (
    chain TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
";

/// Batches in one transaction.
const GROUP: usize = 256;
/// Batches that wait for the writer before their senders do.
const WAITING: usize = 1_024;
/// Connections that read.
const READERS: u32 = 4;

const APPEND: &str = "appending facts";

/// A log in one SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    database: Database,
    readers: SqlitePool,
    writer: mpsc::Sender<Waiting>,
    writing: Mutex<Option<JoinHandle<()>>>,
    last: watch::Receiver<Position>,
}

/// A batch and whoever waits for it.
struct Waiting {
    batch: Batch,
    done: oneshot::Sender<Result<Appended, Error>>,
}

impl SqliteLog {
    /// Open the log in the file at `path`, which is made (0600) if it is not there.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Path`] or [`Error::DiskFull`].
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let database = Database::open(path, SqliteSynchronous::Full, TABLES).await?;
        let mut connection = database.connect().await?;
        let last =
            last_position(&mut connection).await.map_err(database.failed("opening a log"))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_lazy_with(database.options().pragma("query_only", "ON"));
        let (writer, batches) = mpsc::channel(WAITING);
        let (reached, last) = watch::channel(last);
        let writing = Writer { database: database.clone(), connection: Some(connection) };
        let writing = tokio::spawn(write_groups(writing, batches, reached));
        Ok(Self { database, readers, writer, writing: Mutex::new(Some(writing)), last })
    }

    /// Finish what has been handed over and close the file. Dropping closes as well, without
    /// waiting.
    pub async fn close(self) {
        // The writer is the last to leave, because only it may tidy up the file.
        self.readers.close().await;
        drop(self.writer);
        if let Some(writing) = self.writing.lock().await.take() {
            // A writer that panicked holds nothing open any more.
            let _ = writing.await;
        }
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn append(&self, batch: Batch) -> Result<Appended, Error> {
        let down = || Error::Down { operation: APPEND };
        let (done, outcome) = oneshot::channel();
        self.writer.send(Waiting { batch, done }).await.map_err(|_| down())?;
        outcome.await.map_err(|_| down())?
    }

    async fn replay(&self, stream: &str, from: u64) -> Result<Vec<Entry>, Error> {
        let rows = sqlx::query(
            "SELECT position, stream, number, fact FROM facts
             WHERE stream = $1 AND number >= $2 ORDER BY number",
        )
        .bind(stream)
        .bind(signed(from))
        .fetch_all(&self.readers)
        .await;
        let rows = rows.map_err(self.database.failed("replaying a stream"))?;
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(self.database.failed("replaying"))
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamHead>, Error> {
        // A range over the index, because LIKE would read every name.
        let rows = sqlx::query(
            "SELECT stream, MAX(number) + 1 AS next FROM facts
             WHERE stream >= $1 AND substr(stream, 1, length($1)) = $1
             GROUP BY stream ORDER BY stream",
        )
        .bind(prefix)
        .fetch_all(&self.readers)
        .await;
        let rows = rows.map_err(self.database.failed("listing streams"))?;
        let head = |row: &SqliteRow| {
            Ok(StreamHead { stream: row.try_get("stream")?, next: unsigned(row.try_get("next")?) })
        };
        rows.iter().map(head).collect::<Result<_, _>>().map_err(self.database.failed("listing"))
    }

    async fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Entry>, Error> {
        let rows = sqlx::query(
            "SELECT position, stream, number, fact FROM facts
             WHERE position > $1 ORDER BY position LIMIT $2",
        )
        .bind(signed(after.0))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await;
        let rows = rows.map_err(self.database.failed("reading facts"))?;
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(self.database.failed("reading"))
    }

    async fn cursor(&self, chain: &str) -> Result<Option<Cursor>, Error> {
        let row = sqlx::query("SELECT number, hash FROM cursors WHERE chain = $1")
            .bind(chain)
            .fetch_optional(&self.readers)
            .await
            .map_err(self.database.failed("reading a cursor"))?;
        row.as_ref().map(cursor).transpose().map_err(self.database.failed("reading a cursor"))
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.last.clone()
    }
}

/// Write until nobody can hand over batches any more.
async fn write_groups(
    mut writer: Writer,
    mut batches: mpsc::Receiver<Waiting>,
    reached: watch::Sender<Position>,
) {
    let mut group = Vec::new();
    while batches.recv_many(&mut group, GROUP).await > 0 {
        let (batches, waiting): (Vec<_>, Vec<_>) =
            group.drain(..).map(|Waiting { batch, done }| (batch, done)).unzip();
        let outcomes = writer.write_group(&batches).await;
        for (outcome, done) in outcomes.into_iter().zip(waiting) {
            if let Ok(Appended::Stored { last }) = &outcome {
                reached.send_if_modified(|known| {
                    let later = *last > *known;
                    *known = (*known).max(*last);
                    later
                });
            }
            // Whoever no longer waits does not want to know.
            let _ = done.send(outcome);
        }
    }
    writer.close().await;
}

/// The connection that writes. After an error it is made anew, because SQLite ends a transaction
/// by itself upon some errors, a full disk among them, and the connection would not know it.
struct Writer {
    database: Database,
    connection: Option<SqliteConnection>,
}

impl Writer {
    /// Write all in one transaction. One bad batch must not fail its group, so after a failure
    /// each is written alone.
    async fn write_group(&mut self, batches: &[Batch]) -> Vec<Result<Appended, Error>> {
        match self.write(batches).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) if batches.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut outcomes = Vec::with_capacity(batches.len());
                for batch in batches {
                    let outcome = self.write(std::slice::from_ref(batch)).await;
                    let only = |mut one: Vec<_>| one.pop().ok_or(Error::Down { operation: APPEND });
                    outcomes.push(outcome.and_then(only));
                }
                outcomes
            }
        }
    }

    async fn write(&mut self, batches: &[Batch]) -> Result<Vec<Appended>, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        let outcomes =
            write(&mut connection, batches).await.map_err(self.database.failed(APPEND))?;
        self.connection = Some(connection);
        Ok(outcomes)
    }

    async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the log");
        }
    }
}

/// Write the batches in one transaction; each is stored whole or conflicts.
async fn write(
    connection: &mut SqliteConnection,
    batches: &[Batch],
) -> Result<Vec<Appended>, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut last = last_position(&mut transaction).await?;
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        outcomes.push(match conflict(&mut transaction, batch).await? {
            Some(conflict) => conflict,
            None => {
                last = insert(&mut transaction, batch).await?.unwrap_or(last);
                Appended::Stored { last }
            }
        });
    }
    transaction.commit().await?;
    Ok(outcomes)
}

/// The first stream whose next number is not the expected one.
async fn conflict(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<Option<Appended>, sqlx::Error> {
    let mut heads: BTreeMap<&str, u64> = BTreeMap::new();
    for append in &batch.appends {
        if !heads.contains_key(append.stream.as_str()) {
            let kept: Option<i64> =
                sqlx::query_scalar("SELECT MAX(number) + 1 FROM facts WHERE stream = $1")
                    .bind(&append.stream)
                    .fetch_one(&mut **transaction)
                    .await?;
            heads.insert(&append.stream, kept.map_or(0, unsigned));
        }
        let next = heads.entry(&append.stream).or_insert(0);
        if *next != append.expected_next {
            return Ok(Some(Appended::Conflict { stream: append.stream.clone(), next: *next }));
        }
        *next += append.facts.len() as u64;
    }
    Ok(None)
}

/// Insert the facts and the cursor; the position of the last fact, if there is one.
async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<Option<Position>, sqlx::Error> {
    let mut last = None;
    for append in &batch.appends {
        for (number, fact) in (append.expected_next..).zip(&append.facts) {
            let inserted =
                sqlx::query("INSERT INTO facts (stream, number, fact) VALUES ($1, $2, $3)")
                    .bind(&append.stream)
                    .bind(signed(number))
                    .bind(fact)
                    .execute(&mut **transaction)
                    .await?;
            last = Some(Position(unsigned(inserted.last_insert_rowid())));
        }
    }
    if let Some((chain, cursor)) = &batch.cursor {
        sqlx::query(
            "INSERT INTO cursors (chain, number, hash) VALUES ($1, $2, $3)
             ON CONFLICT (chain) DO UPDATE SET number = excluded.number, hash = excluded.hash",
        )
        .bind(chain)
        .bind(signed(cursor.number))
        .bind(cursor.hash.as_slice())
        .execute(&mut **transaction)
        .await?;
    }
    Ok(last)
}

async fn last_position(connection: &mut SqliteConnection) -> Result<Position, sqlx::Error> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT MAX(position) FROM facts").fetch_one(connection).await?;
    Ok(Position(last.map_or(0, unsigned)))
}

fn entry(row: &SqliteRow) -> Result<Entry, sqlx::Error> {
    Ok(Entry {
        position: Position(unsigned(row.try_get("position")?)),
        stream: row.try_get("stream")?,
        number: unsigned(row.try_get("number")?),
        fact: row.try_get("fact")?,
    })
}

fn cursor(row: &SqliteRow) -> Result<Cursor, sqlx::Error> {
    let hash: Vec<u8> = row.try_get("hash")?;
    let hash = B256::try_from(hash.as_slice()).map_err(|error| sqlx::Error::ColumnDecode {
        index: "hash".into(),
        source: error.into(),
    })?;
    Ok(Cursor { number: unsigned(row.try_get("number")?), hash })
}

/// SQLite counts to 2^63 - 1, which no log reaches.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Negative numbers are never written.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
