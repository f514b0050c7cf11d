//! The emulator's state, in a database of its own on the PostgreSQL server.
//!
//! No state that a restart needs is kept in memory. Every change is one transaction that locks the
//! project's row, so concurrent changes of a project are serialized, and the second sees the
//! operation lock that the first one set. A transaction reads everything it needs through its own
//! connection: waiting for a second connection could deadlock.

mod branch;
mod create;
mod database;
mod endpoint;
mod operation;
mod overview;
mod project;
mod role;
mod snapshot;
mod usage;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, Postgres, Transaction};

pub(crate) use self::branch::{BranchRow, DeletedBranches, DeletionMethod};
pub(crate) use self::create::{NewProject, ProjectSpec};
pub(crate) use self::database::{DatabaseRow, GarbageKind};
pub(crate) use self::endpoint::{EndpointKind, EndpointRow};
pub(crate) use self::operation::{OperationRow, PlannedOperation};
pub(crate) use self::overview::ProjectCounts;
pub(crate) use self::project::{ProjectQuery, ProjectRow};
pub(crate) use self::role::{EndpointRoute, RoleRow};
pub(crate) use self::snapshot::SnapshotRow;
pub(crate) use self::usage::{HourlyUsage, Usage};

/// Size of the connection pool for the state database.
pub(crate) const MAX_STATE_CONNECTIONS: u32 = 24;
/// How long a call waits for a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of a PostgreSQL name, in bytes.
const MAX_NAME_BYTES: usize = 63;
/// The SQLSTATE for a database that already exists.
const DUPLICATE_DATABASE: &str = "42P04";

/// Why the state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("the project has a running operation")]
    Locked,
    /// PostgreSQL is not available. Nothing was changed.
    #[error("PostgreSQL is not available")]
    Unavailable(#[source] sqlx::Error),
    #[error("failed to query the emulator's state")]
    Database(#[source] sqlx::Error),
    #[error("invalid data in the emulator's state: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // No statement was executed.
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Unavailable(error),
            error => Self::Database(error),
        }
    }
}

impl StoreError {
    /// For values that were validated before they were stored.
    pub(crate) fn corrupt(error: impl std::fmt::Display) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Why the state could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URI is invalid, or the server does not respond.
    #[error("failed to connect to the PostgreSQL server")]
    Connect(#[from] sqlx::Error),
    #[error(
        "the name of the state database must consist of 1 to 63 of the characters a-z, 0-9 and _ (got {0:?})"
    )]
    DatabaseName(String),
    #[error("failed to migrate the state database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

pub(crate) type Tx = Transaction<'static, Postgres>;

/// Access to the state. Clones share the connection pool.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

/// Connection options without statement logging, because some statements contain passwords.
pub(crate) fn connect_options(uri: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(uri)?.disable_statement_logging())
}

impl Store {
    /// Opens the state in a database of this name, which is created if it does not exist.
    pub(crate) async fn open(uri: &str, database: &str) -> Result<Self, OpenError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if database.is_empty() || database.len() > MAX_NAME_BYTES || !database.bytes().all(plain) {
            return Err(OpenError::DatabaseName(database.to_owned()));
        }
        let options = connect_options(uri)?;
        let mut first = options.connect().await?;
        let created = sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {database}")))
            .execute(&mut first)
            .await;
        match created {
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(DUPLICATE_DATABASE) => {}
            other => {
                other?;
            }
        }
        // Roles of projects exist in the same server and must not have access to the state.
        sqlx::query(AssertSqlSafe(format!(
            "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"
        )))
        .execute(&mut first)
        .await?;
        first.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(MAX_STATE_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.database(database))
            .await?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The name of the state database.
    pub(crate) fn name(&self) -> String {
        let options = self.pool.connect_options();
        options.get_database().unwrap_or_default().to_owned()
    }

    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.pool.begin().await.map_err(StoreError::Unavailable)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Reads a value from the `meta` table.
    pub(crate) async fn read_meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Reads all values of the `meta` table whose keys start with `prefix`, by the rest of the key.
    pub(crate) async fn read_meta_with_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT substr(key, length($1) + 1), value FROM meta WHERE starts_with(key, $1)",
        )
        .bind(prefix)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Writes a value to the `meta` table.
    pub(crate) async fn write_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2",
        )
        .bind(key)
        .bind(value)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Reads a value from the `meta` table that never changes; `make` creates it on the first call.
    pub(crate) async fn meta(
        &self,
        key: &str,
        make: impl FnOnce() -> String,
    ) -> Result<String, StoreError> {
        let read = "SELECT value FROM meta WHERE key = $1";
        if let Some(value) = sqlx::query_scalar(read)
            .bind(key)
            .fetch_optional(&self.pool)
            .await?
        {
            return Ok(value);
        }
        sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(key)
            .bind(make())
            .execute(&self.pool)
            .await?;
        Ok(sqlx::query_scalar(read)
            .bind(key)
            .fetch_one(&self.pool)
            .await?)
    }
}
