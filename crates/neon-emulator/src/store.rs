//! What the emulator remembers: a database of its own in the PostgreSQL server under it.
//!
//! Nothing is kept in memory that a restart would miss. Every change is one transaction that holds the project's row, so
//! two calls about one project stand in line, and the second sees the lock that the first left. What a transaction needs it
//! reads itself: one that waited for a second connection could wait for itself.

mod branch;
mod create;
mod database;
mod endpoint;
mod operation;
mod overview;
mod project;
mod role;
mod usage;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, Postgres, Transaction};

pub(crate) use self::branch::{BranchRow, Deleted};
pub(crate) use self::create::{NewProject, Shape};
pub(crate) use self::database::DatabaseRow;
pub(crate) use self::endpoint::EndpointRow;
pub(crate) use self::operation::{OperationRow, Planned};
pub(crate) use self::overview::ProjectCounts;
pub(crate) use self::project::{ProjectQuery, ProjectRow};
pub(crate) use self::role::{RoleRow, Route};
pub(crate) use self::usage::{Used, UsedHour};

/// Connections for the state.
pub(crate) const CONTROL_CONNECTIONS_MAX: u32 = 24;
/// How long a call waits for one of them.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name in PostgreSQL, in bytes.
const NAMEDATA_MAX: usize = 63;
/// PostgreSQL's word for a database that is there already.
const DUPLICATE_DATABASE: &str = "42P04";

/// Why the state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// There is no such thing.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// An operation of the project is under way.
    #[error("project has a running operation")]
    Locked,
    /// PostgreSQL could not be reached. Nothing was done.
    #[error("PostgreSQL cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// PostgreSQL did not answer, or said no.
    #[error("the emulator's state could not be read or written")]
    Database(#[source] sqlx::Error),
    /// What was written there is not what this version reads.
    #[error("the emulator's state holds what it should not: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // It never came to a statement.
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Unavailable(error),
            error => Self::Database(error),
        }
    }
}

impl StoreError {
    /// For values that were checked before they were written.
    pub(crate) fn corrupt(error: impl std::fmt::Display) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Why the state could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URI is none of PostgreSQL's, or the server does not answer.
    #[error("cannot open the PostgreSQL server under the emulator")]
    Connect(#[from] sqlx::Error),
    /// The name of the database is not a plain one.
    #[error("{0:?} cannot be the name of the emulator's database: use up to 63 of a-z, 0-9 and _")]
    DatabaseName(String),
    /// The tables could not be brought to this version.
    #[error("cannot bring the emulator's own tables to this version")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

pub(crate) type Tx = Transaction<'static, Postgres>;

/// The state.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

/// Options for a database of the server under the emulator, quiet about statements because some hold passwords.
pub(crate) fn connect_options(uri: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(uri)?.disable_statement_logging())
}

impl Store {
    /// Opens the state in a database of this name, and makes what is missing of it.
    pub(crate) async fn open(uri: &str, database: &str) -> Result<Self, OpenError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if database.is_empty() || database.len() > NAMEDATA_MAX || !database.bytes().all(plain) {
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
        // Roles of projects live in the same server; this is none of their business.
        sqlx::query(AssertSqlSafe(format!(
            "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"
        )))
        .execute(&mut first)
        .await?;
        first.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONTROL_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.database(database))
            .await?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The name of the database that holds the state.
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

    /// A value that changes, if it was ever written.
    pub(crate) async fn read_meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Writes such a value.
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

    /// A value that was once chosen for good; `make` chooses it the first time.
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
