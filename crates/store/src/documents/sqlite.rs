//! Documents in a SQLite file.

use std::path::Path;

use async_trait::async_trait;
use primitives::UnixSeconds;
use sqlx::{
    Row as _, SqliteExecutor, SqlitePool,
    sqlite::{SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{Document, Documents, Stored};
use crate::{database::Database, error::Error, log::Position};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS documents (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    json BLOB NOT NULL,
    expires INTEGER,
    UNIQUE (kind, id)
) STRICT;
CREATE INDEX IF NOT EXISTS documents_by_change ON documents (kind, position);
CREATE INDEX IF NOT EXISTS documents_by_end ON documents (expires) WHERE expires IS NOT NULL;
";

const CONNECTIONS: u32 = 4;

/// What a loss of power may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was acknowledged.
    Full,
    /// The last few changes: for tables that are rebuilt from elsewhere. The file stays sound.
    Rebuilt,
}

/// Documents in one SQLite file.
#[derive(Debug)]
pub struct SqliteDocuments {
    database: Database,
    pool: SqlitePool,
}

impl SqliteDocuments {
    /// Open the file at `path`, which is made (0600) if it is not there.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Path`] or [`Error::DiskFull`].
    pub async fn open(path: &Path, durability: Durability) -> Result<Self, Error> {
        let synchronous = match durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Rebuilt => SqliteSynchronous::Normal,
        };
        let database = Database::open(path, synchronous, TABLES).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy_with(database.options());
        Ok(Self { database, pool })
    }

    /// Close the file.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl Documents for SqliteDocuments {
    async fn put(
        &self,
        kind: &str,
        id: &str,
        json: &[u8],
        expires: Option<UnixSeconds>,
    ) -> Result<Position, Error> {
        insert(&self.pool, kind, id, json, expires)
            .await
            .map_err(self.database.failed("keeping a document"))
    }

    async fn put_new(
        &self,
        kind: &str,
        id: &str,
        json: &[u8],
        expires: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> Result<Stored, Error> {
        // Three statements that each stand alone instead of one transaction: a full disk would end
        // a transaction without the pooled connection knowing it. Whoever comes between them is
        // simply first.
        let failed = || self.database.failed("keeping a new document");
        loop {
            forget_expired(&self.pool, kind, id, now).await.map_err(failed())?;
            let inserted = insert_new(&self.pool, kind, id, json, expires).await;
            if let Some(position) = inserted.map_err(failed())? {
                return Ok(Stored::New(position));
            }
            if let Some(before) = find(&self.pool, kind, id, now).await.map_err(failed())? {
                return Ok(Stored::Before(before));
            }
            // It was removed just now, so there is room again.
        }
    }

    async fn get(&self, kind: &str, id: &str, now: UnixSeconds) -> Result<Option<Document>, Error> {
        find(&self.pool, kind, id, now).await.map_err(self.database.failed("reading a document"))
    }

    async fn list(
        &self,
        kind: &str,
        after: Position,
        limit: usize,
        now: UnixSeconds,
    ) -> Result<Vec<Document>, Error> {
        let rows = sqlx::query(
            "SELECT position, kind, id, json, expires FROM documents
             WHERE kind = $1 AND position > $2 AND (expires IS NULL OR expires > $3)
             ORDER BY position LIMIT $4",
        )
        .bind(kind)
        .bind(signed(after.0))
        .bind(signed(now.0))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await;
        let documents = rows.and_then(|rows| rows.iter().map(document).collect());
        documents.map_err(self.database.failed("listing documents"))
    }

    async fn remove(&self, kind: &str, id: &str) -> Result<bool, Error> {
        let removed = sqlx::query("DELETE FROM documents WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(self.database.failed("forgetting a document"))?;
        Ok(removed.rows_affected() > 0)
    }

    async fn expire(&self, now: UnixSeconds) -> Result<u64, Error> {
        let removed = sqlx::query("DELETE FROM documents WHERE expires <= $1")
            .bind(signed(now.0))
            .execute(&self.pool)
            .await
            .map_err(self.database.failed("forgetting expired documents"))?;
        Ok(removed.rows_affected())
    }
}

/// Replacing gives the document a new position, which is how feeds learn of the change.
async fn insert(
    on: impl SqliteExecutor<'_>,
    kind: &str,
    id: &str,
    json: &[u8],
    expires: Option<UnixSeconds>,
) -> Result<Position, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT OR REPLACE INTO documents (kind, id, json, expires) VALUES ($1, $2, $3, $4)",
    )
    .bind(kind)
    .bind(id)
    .bind(json)
    .bind(expires.map(|moment| signed(moment.0)))
    .execute(on)
    .await?;
    Ok(Position(unsigned(inserted.last_insert_rowid())))
}

/// Insert unless there is one.
async fn insert_new(
    on: impl SqliteExecutor<'_>,
    kind: &str,
    id: &str,
    json: &[u8],
    expires: Option<UnixSeconds>,
) -> Result<Option<Position>, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO documents (kind, id, json, expires) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, id) DO NOTHING",
    )
    .bind(kind)
    .bind(id)
    .bind(json)
    .bind(expires.map(|moment| signed(moment.0)))
    .execute(on)
    .await?;
    let new = inserted.rows_affected() > 0;
    Ok(new.then(|| Position(unsigned(inserted.last_insert_rowid()))))
}

async fn forget_expired(
    on: impl SqliteExecutor<'_>,
    kind: &str,
    id: &str,
    now: UnixSeconds,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM documents WHERE kind = $1 AND id = $2 AND expires <= $3")
        .bind(kind)
        .bind(id)
        .bind(signed(now.0))
        .execute(on)
        .await
        .map(drop)
}

async fn find(
    on: impl SqliteExecutor<'_>,
    kind: &str,
    id: &str,
    now: UnixSeconds,
) -> Result<Option<Document>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT position, kind, id, json, expires FROM documents
         WHERE kind = $1 AND id = $2 AND (expires IS NULL OR expires > $3)",
    )
    .bind(kind)
    .bind(id)
    .bind(signed(now.0))
    .fetch_optional(on)
    .await?;
    row.as_ref().map(document).transpose()
}

fn document(row: &SqliteRow) -> Result<Document, sqlx::Error> {
    let expires: Option<i64> = row.try_get("expires")?;
    Ok(Document {
        kind: row.try_get("kind")?,
        id: row.try_get("id")?,
        json: row.try_get("json")?,
        expires: expires.map(|moment| UnixSeconds(unsigned(moment))),
        position: Position(unsigned(row.try_get("position")?)),
    })
}

/// SQLite counts to 2^63 - 1; what is beyond is the end of time.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Negative numbers are never written.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
