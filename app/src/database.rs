//! The main database: its connection pool and its schema.
//!
//! Each process migrates the schema when it starts. An advisory lock ensures that one process
//! migrates at a time. Migrations of a newer version are ignored, so an older version can start
//! after a rollback.

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::timeout;
use tracing::info;

use crate::config;

/// The key of the advisory lock: "chat-app" in ASCII.
pub const MIGRATION_LOCK: i64 = 0x6368_6174_2d61_7070;
/// Covers all migrations, without the wait for the lock.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(30);
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
/// Upper bound of a statement. A slower one is a bug and holds locks.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Upper bound of an idle transaction. Its process hangs and holds locks.
const IDLE_TRANSACTION_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("failed to connect to the main database at {at} (setting `database-url`)")]
    Unreachable {
        /// Host and port.
        at: String,
        source: sqlx::Error,
    },
    #[error("`database-url` must be the URL of a PostgreSQL database")]
    Url(#[source] sqlx::Error),
    #[error("another process has held the migration lock for more than {} s", .0.as_secs())]
    Locked(Duration),
    #[error("failed to migrate the main database")]
    Migrations(#[from] MigrateError),
    #[error("migrations did not finish within {} s", .0.as_secs())]
    TooSlow(Duration),
}

impl MigrationError {
    /// Whether a retry can succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Locked(_))
    }
}

/// Limit on acquiring a connection to the main database.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process waits for another one that migrates the main database.
const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// Creates the pool. It connects on first use.
pub fn pool(settings: &config::Database) -> Result<PgPool, sqlx::Error> {
    let options = options(settings)?.options([
        ("statement_timeout", milliseconds(STATEMENT_TIMEOUT)),
        (
            "idle_in_transaction_session_timeout",
            milliseconds(IDLE_TRANSACTION_TIMEOUT),
        ),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(settings.max_connections.get())
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options))
}

fn options(settings: &config::Database) -> Result<PgConnectOptions, sqlx::Error> {
    // Logged statements could contain user data. Metrics cover slow statements.
    Ok(PgConnectOptions::from_str(settings.url.expose_secret())?
        .application_name("chat-app")
        .disable_statement_logging())
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

pub async fn migrate(settings: &config::Database) -> Result<(), MigrationError> {
    migrate_within(settings, MIGRATION_LOCK_TIMEOUT).await
}

/// As [`migrate`], with this limit on waiting for another process that migrates.
pub async fn migrate_within(
    settings: &config::Database,
    lock_timeout: Duration,
) -> Result<(), MigrationError> {
    let connecting = options(settings).map_err(MigrationError::Url)?;
    let unreachable = |source| MigrationError::Unreachable {
        at: format!("{}:{}", connecting.get_host(), connecting.get_port()),
        source,
    };
    let mut connection = timeout(ACQUIRE_TIMEOUT, connecting.connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(unreachable)?;
    if !lock(&mut connection, lock_timeout)
        .await
        .map_err(unreachable)?
    {
        return Err(MigrationError::Locked(lock_timeout));
    }
    let migrating = timeout(MIGRATION_TIMEOUT, run(&mut connection));
    let outcome = migrating
        .await
        .unwrap_or(Err(MigrationError::TooSlow(MIGRATION_TIMEOUT)));
    // Closing the connection releases the lock.
    let _ = connection.close().await;
    outcome
}

/// Waits for the lock up to `wait`. Returns whether it was acquired.
async fn lock(connection: &mut PgConnection, wait: Duration) -> sqlx::Result<bool> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(milliseconds(wait))
        .execute(&mut *connection)
        .await?;
    let locked = sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await;
    match locked {
        Ok(_) => Ok(true),
        // lock_not_available
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Ok(false),
        Err(error) => Err(error),
    }
}

async fn run(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_ignore_missing(true);
    migrations.run(&mut *connection).await?;
    info!("main database migrated");
    Ok(())
}
