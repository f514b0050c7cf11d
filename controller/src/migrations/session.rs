//! A session on a tenant's database: it reads which migrations are applied and takes the migration
//! lock.
//!
//! Each query is one message and one round trip. After an error the caller must drop the session;
//! the server then releases the lock together with the connection.

use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::migrate::Migrate as _;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Either, Row as _};
use tokio::time::timeout;

use super::applied::{self, AppliedMigration};
use super::connect;
use super::error::{DatabaseConnectError, MigrationError};
use super::limits::MigrationLimits;
use super::server_error::ServerError;
use super::target::DatabaseTarget;

/// sqlx's table, in the schema that [`preamble`] selects.
pub(super) const MIGRATIONS_TABLE: &str = "public._sqlx_migrations";
/// For the message that ends the session. Without it the server releases everything a little later.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of statements in [`preamble`].
pub(super) const PREAMBLE_STATEMENTS: usize = 8;

/// Reads the applied migrations in one round trip, whether or not the table exists. A query that
/// names a missing table would fail, so a `DO` block checks first and returns its result in a
/// session setting.
const READ_STATE: &str = "\
DO $state$ BEGIN
    IF to_regclass('public._sqlx_migrations') IS NULL THEN
        PERFORM set_config('tenant_controller.applied', 'none', false);
    ELSE
        PERFORM set_config('tenant_controller.applied', 'rows ' || coalesce((
            SELECT string_agg(version || ':' || success::int || ':' || encode(checksum, 'hex'), ',' ORDER BY version)
            FROM public._sqlx_migrations), ''), false);
    END IF;
END $state$;
SELECT current_database()::text, current_setting('tenant_controller.applied')";

pub(super) struct DatabaseState {
    /// The name as the server reports it, which may differ from the requested one behind a proxy.
    /// The lock's key depends on it.
    database: String,
    pub(super) applied: Vec<AppliedMigration>,
    /// Whether the table of applied migrations exists.
    pub(super) has_table: bool,
}

impl DatabaseState {
    /// The highest version that was applied successfully.
    pub(super) fn current_version(&self) -> Option<i64> {
        let succeeded = self.applied.iter().filter(|row| row.success);
        succeeded.map(|row| row.version).max()
    }
}

pub(super) struct Session<'a> {
    connection: PgConnection,
    limits: &'a MigrationLimits,
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        target: &DatabaseTarget,
        limits: &'a MigrationLimits,
    ) -> Result<Self, MigrationError> {
        let connection = connect::connect(target, limits).await?;
        Ok(Self { connection, limits })
    }

    pub(super) fn limits(&self) -> &'a MigrationLimits {
        self.limits
    }

    /// Sets the session up and reads which migrations are applied.
    pub(super) async fn read_state(&mut self) -> Result<DatabaseState, MigrationError> {
        let text = format!("{}{READ_STATE}", preamble(self.limits));
        let rows = self.query(text, "reading the schema version").await?;
        rows.last()
            .and_then(parse_state)
            .ok_or(MigrationError::InvalidMigrationsTable)
    }

    /// Tries to take sqlx's advisory lock, and reads the applied migrations again. While this
    /// session holds the lock they cannot change. Returns whether the lock was taken.
    ///
    /// Unlike sqlx, this does not wait for the lock in the server: a waiting session has a
    /// snapshot, and `CREATE INDEX CONCURRENTLY` in the session that holds the lock waits for all
    /// older snapshots, so that both would wait for each other.
    pub(super) async fn try_lock(
        &mut self,
        last_read: &DatabaseState,
    ) -> Result<(bool, DatabaseState), MigrationError> {
        let text = format!(
            "SELECT pg_try_advisory_lock({}); {READ_STATE}",
            lock_id(&last_read.database)
        );
        let rows = self.query(text, "acquiring the migration lock").await?;
        let locked = rows.first().and_then(|row| row.try_get::<bool, _>(0).ok());
        let state = rows.last().and_then(parse_state);
        locked
            .zip(state)
            .ok_or(MigrationError::InvalidMigrationsTable)
    }

    /// Creates sqlx's table, with sqlx's own statement.
    pub(super) async fn create_migrations_table(&mut self) -> Result<(), MigrationError> {
        const OPERATION: &str = "creating the table _sqlx_migrations";
        let limit = self.limits.query_timeout;
        match timeout(
            limit,
            self.connection.ensure_migrations_table(MIGRATIONS_TABLE),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(sqlx::migrate::MigrateError::Execute(error))) => {
                Err(classify_error(error, OPERATION))
            }
            Ok(Err(other)) => Err(MigrationError::Interrupted {
                operation: OPERATION.to_owned(),
                source: DatabaseConnectError::Protocol(other.to_string()),
            }),
            Err(_) => Err(MigrationError::TimedOut {
                operation: OPERATION.to_owned(),
                limit,
            }),
        }
    }

    /// Runs one of the controller's own queries and returns its rows.
    pub(super) async fn query(
        &mut self,
        text: String,
        operation: &str,
    ) -> Result<Vec<PgRow>, MigrationError> {
        let limit = self.limits.query_timeout;
        match timeout(
            limit,
            sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut self.connection),
        )
        .await
        {
            Ok(result) => result.map_err(|error| classify_error(error, operation)),
            Err(_) => Err(MigrationError::TimedOut {
                operation: operation.to_owned(),
                limit,
            }),
        }
    }

    /// Runs the statements of one message. The error contains the number of statements that
    /// succeeded.
    pub(super) async fn execute(&mut self, text: String) -> Result<(), (usize, sqlx::Error)> {
        let mut completed = 0;
        let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut self.connection);
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(_))) => completed += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err((completed, error)),
            }
        }
    }

    /// Ends the session, which releases the lock.
    pub(super) async fn close(self) {
        // An error can be ignored: the server also releases the lock when the connection breaks.
        let _ = timeout(CLOSE_TIMEOUT, self.connection.close()).await;
    }
}

/// Resets the session at the start of every message, so that no migration depends on settings of an
/// earlier one: a run that is repeated after an interruption has the same settings as the first.
pub(super) fn preamble(limits: &MigrationLimits) -> String {
    format!(
        "RESET ALL; RESET ROLE; \
         SET search_path = public; \
         SET default_transaction_isolation = 'read committed'; \
         SET client_min_messages = warning; \
         SET lock_timeout = {}; \
         SET statement_timeout = {}; \
         SET client_connection_check_interval = '1s'; ",
        limits.table_lock_timeout.as_millis(),
        limits.statement_timeout.as_millis(),
    )
}

/// Classifies an error on an open connection that no statement of a migration caused.
pub(super) fn classify_error(error: sqlx::Error, operation: &str) -> MigrationError {
    let operation = operation.to_owned();
    let source = match error {
        sqlx::Error::Database(error) => match error
            .try_downcast_ref::<PgDatabaseError>()
            .map(ServerError::new)
        {
            Some(server) if server.terminates_session() => DatabaseConnectError::Server(server),
            Some(server) => return MigrationError::Server { operation, server },
            None => DatabaseConnectError::Protocol(error.to_string()),
        },
        sqlx::Error::Io(error) => DatabaseConnectError::Io(error),
        other => DatabaseConnectError::Protocol(other.to_string()),
    };
    MigrationError::Interrupted { operation, source }
}

fn parse_state(row: &PgRow) -> Option<DatabaseState> {
    let database = row.try_get::<String, _>(0).ok()?;
    let applied = row.try_get::<String, _>(1).ok()?;
    let rows = match applied.strip_prefix("rows ") {
        Some(rows) => Some(applied::parse(rows)?),
        None if applied == "none" => None,
        None => return None,
    };
    Some(DatabaseState {
        database,
        has_table: rows.is_some(),
        applied: rows.unwrap_or_default(),
    })
}

/// The key of the advisory lock that sqlx takes to migrate a database of this name.
fn lock_id(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(crc32(database.as_bytes()))
}

/// CRC-32 of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let low_bit = crc & 1;
            (crc >> 1) ^ (0xedb8_8320 * low_bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::statements;

    #[test]
    fn crc32_matches_the_check_value_of_ieee_802_3() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn the_preamble_has_the_declared_number_of_statements() {
        let statements = statements::split(&preamble(&MigrationLimits::default()))
            .expect("the preamble is valid SQL");
        assert_eq!(statements.len(), PREAMBLE_STATEMENTS);
    }
}
