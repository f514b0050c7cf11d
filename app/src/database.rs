//! The app's own database: its pool, and its schema.
//!
//! Whoever starts brings the schema up to date, one process at a time: a lock of the app's own is held around sqlx's migrations and the
//! queue's. What a newer version has added is left alone, so a roll-back still starts.

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::timeout;
use tracing::info;

use crate::config;
use crate::jobs::{self, QueueError};

/// The advisory lock that one migrating process holds; a number of the app's own.
pub const MIGRATION_LOCK: i64 = 0x6368_6174_2d61_7070;
/// Limit on all migrations together, once the lock is held.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(30);
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
/// Limit on one statement of a page or a job: what takes longer is a defect, and holds locks.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit on an idle transaction: its process hangs, and holds locks.
const IDLE_TRANSACTION_TIMEOUT: Duration = Duration::from_mins(1);

/// The schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database is away, or lets nobody in.
    #[error("the main database of `database-url` ({at}) cannot be reached")]
    Unreachable {
        /// Its host and port.
        at: String,
        /// What went wrong.
        source: sqlx::Error,
    },
    /// Its URL is none.
    #[error("`database-url` is no URL of a PostgreSQL database")]
    Url(#[source] sqlx::Error),
    /// Another process migrates for too long.
    #[error("another process holds the migrations' lock for more than {} s", .0.as_secs())]
    Locked(Duration),
    /// A migration of the app failed.
    #[error("the main database's schema cannot be brought up to date")]
    Migrations(#[from] MigrateError),
    /// One of the queue's failed.
    #[error("the queue's schema cannot be brought up to date")]
    Queue(#[from] QueueError),
    /// They took too long.
    #[error("the migrations took more than {} s", .0.as_secs())]
    TooSlow(Duration),
}

impl MigrationError {
    /// Whether it may pass by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Locked(_))
    }
}

/// The pool. Nothing is sent yet.
pub fn pool(settings: &config::Database) -> Result<PgPool, sqlx::Error> {
    let options = options(settings)?.options([
        ("statement_timeout", milliseconds(STATEMENT_TIMEOUT)),
        (
            "idle_in_transaction_session_timeout",
            milliseconds(IDLE_TRANSACTION_TIMEOUT),
        ),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(settings.connections_max.get())
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options))
}

fn options(settings: &config::Database) -> Result<PgConnectOptions, sqlx::Error> {
    // Slow statements are told by their metrics; their text would come with values of people's.
    Ok(PgConnectOptions::from_str(settings.url.expose_secret())?
        .application_name("chat-app")
        .disable_statement_logging())
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Brings the schema up to date: the app's tables, then the queue's.
pub async fn migrate(settings: &config::Database) -> Result<(), MigrationError> {
    let connecting = options(settings).map_err(MigrationError::Url)?;
    let unreachable = |source| MigrationError::Unreachable {
        at: format!("{}:{}", connecting.get_host(), connecting.get_port()),
        source,
    };
    let mut connection = timeout(settings.acquire_timeout, connecting.connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(unreachable)?;
    if !lock(&mut connection, settings.migration_lock_timeout)
        .await
        .map_err(unreachable)?
    {
        return Err(MigrationError::Locked(settings.migration_lock_timeout));
    }
    let migrating = timeout(MIGRATION_TIMEOUT, run(&mut connection, connecting.clone()));
    let outcome = migrating
        .await
        .unwrap_or(Err(MigrationError::TooSlow(MIGRATION_TIMEOUT)));
    // The lock goes with the connection.
    let _ = connection.close().await;
    outcome
}

/// Waits for the lock, and no longer than allowed; says whether it was had.
async fn lock(connection: &mut PgConnection, patience: Duration) -> sqlx::Result<bool> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(milliseconds(patience))
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

async fn run(
    connection: &mut PgConnection,
    options: PgConnectOptions,
) -> Result<(), MigrationError> {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_ignore_missing(true);
    migrations.run(&mut *connection).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options);
    let queued = jobs::migrate(&pool).await;
    pool.close().await;
    queued?;
    info!("The main database has this version's schema");
    Ok(())
}
