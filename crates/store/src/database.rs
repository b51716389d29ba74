//! SQLite files: how they are opened, and how their errors are named.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use primitives::Bytes;
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    error::Error,
    place::{private_file, private_folder, sync_folder},
};

/// One SQLite file in WAL mode, readable by its owner only.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    path: PathBuf,
    options: SqliteConnectOptions,
}

impl Database {
    /// Make the file with these tables if it is not there yet.
    pub(crate) async fn open(
        path: &Path,
        synchronous: SqliteSynchronous,
        tables: &'static str,
    ) -> Result<Self, Error> {
        let path = path.to_path_buf();
        prepare(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_secs(10));
        let database = Self { path, options };
        let mut connection = database.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(tables))
            .execute(&mut connection)
            .await
            .map_err(database.failed("making tables"))?;
        connection.close().await.map_err(database.failed("closing the database"))?;
        Ok(database)
    }

    pub(crate) async fn connect(&self) -> Result<SqliteConnection, Error> {
        SqliteConnection::connect_with(&self.options)
            .await
            .map_err(self.failed("opening the database"))
    }

    pub(crate) fn options(&self) -> SqliteConnectOptions {
        self.options.clone()
    }

    /// Name an error of this database.
    pub(crate) fn failed(
        &self,
        operation: &'static str,
    ) -> impl FnOnce(sqlx::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| name(operation, path, source)
    }
}

fn prepare(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    private_folder(folder).map_err(Error::path("making folder", folder, Bytes(4_096)))?;
    private_file(path).map_err(Error::path("making database", path, Bytes(4_096)))?;
    sync_folder(folder).map_err(Error::path("writing folder", folder, Bytes(4_096)))
}

/// SQLITE_FULL: the disk has no room.
const FULL: &str = "13";

fn name(operation: &'static str, path: PathBuf, source: sqlx::Error) -> Error {
    let full =
        matches!(&source, sqlx::Error::Database(error) if error.code().as_deref() == Some(FULL));
    if full {
        Error::DiskFull { path, need: Bytes(4_096) }
    } else {
        Error::Database { operation, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        for (synchronous, level) in [(SqliteSynchronous::Full, 2), (SqliteSynchronous::Normal, 1)] {
            let path = folder.path().join("test.db");
            let database = Database::open(&path, synchronous, "").await.unwrap();
            let mut connection = database.connect().await.unwrap();
            let mode: String =
                sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
            let set: i64 =
                sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut connection).await.unwrap();
            assert_eq!((mode.as_str(), set), ("wal", level));
        }
    }
}
