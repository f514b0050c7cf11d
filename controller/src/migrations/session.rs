//! A session on a tenant's database: it reads which migrations are applied and takes the migration
//! lock.
//!
//! Each query is one message and one round trip. After an error the caller must drop the session;
//! the server then releases the lock together with the connection.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::migrate::Migrate as _;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Either, Row as _};
use tokio::time::timeout;

use super::applied::{self, AppliedMigration};
use super::connect;
use super::error::{DatabaseConnectError, MigrationError};
use super::limits::{MAX_MIGRATIONS, MigrationLimits};
use super::response_filter::WireState;
use super::server_error::{Origin, ServerError};
use super::session_sql::{self, MIGRATIONS_TABLE};
use super::target::DatabaseTarget;

/// For the message that ends the session. Without it the server releases everything a little later.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A longer state is parsed on a blocking thread, in bytes.
const MAX_INLINE_PARSE_BYTES: usize = 16 * 1024;
const READING_VERSION: &str = "reading the schema version";

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
    wire: Arc<WireState>,
    limits: &'a MigrationLimits,
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        target: &DatabaseTarget,
        limits: &'a MigrationLimits,
    ) -> Result<Self, MigrationError> {
        let connected = connect::connect(target, limits).await?;
        Ok(Self {
            connection: connected.connection,
            wire: connected.wire,
            limits,
        })
    }

    pub(super) fn limits(&self) -> &'a MigrationLimits {
        self.limits
    }

    /// Whether the last message left a transaction open.
    pub(super) fn in_transaction(&self) -> bool {
        self.wire.in_transaction()
    }

    /// Sets a new session up.
    pub(super) async fn set_up(&mut self) -> Result<(), MigrationError> {
        let text = session_sql::set_up(self.limits);
        self.query(text, "setting up the session").await.map(drop)
    }

    /// Sets a new session up and reads which migrations are applied.
    pub(super) async fn set_up_and_read_state(&mut self) -> Result<DatabaseState, MigrationError> {
        let set_up = session_sql::set_up(self.limits);
        let text = format!("{set_up}{}", session_sql::read_state());
        self.state_from(text).await
    }

    /// Reads again which migrations are applied.
    pub(super) async fn read_state(&mut self) -> Result<DatabaseState, MigrationError> {
        self.state_from(session_sql::read_state()).await
    }

    async fn state_from(&mut self, text: String) -> Result<DatabaseState, MigrationError> {
        let rows = self.query(text, READING_VERSION).await?;
        parse_state(rows.last()).await
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
            "SELECT pg_try_advisory_lock({}); {}",
            session_sql::lock_id(&last_read.database),
            session_sql::read_state(),
        );
        let rows = self.query(text, "acquiring the migration lock").await?;
        let locked = rows.first().and_then(|row| row.try_get::<bool, _>(0).ok());
        let state = parse_state(rows.last()).await?;
        Ok((locked.unwrap_or_default(), state))
    }

    /// Creates sqlx's table, with sqlx's own statement.
    pub(super) async fn create_migrations_table(&mut self) -> Result<(), MigrationError> {
        const OPERATION: &str = "creating the table _sqlx_migrations";
        self.wire.start_request(false);
        let limit = self.limits.query_timeout;
        match timeout(
            limit,
            self.connection.ensure_migrations_table(MIGRATIONS_TABLE),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(sqlx::migrate::MigrateError::Execute(error))) => {
                Err(self.classify_error(error, OPERATION, ""))
            }
            Ok(Err(other)) => Err(MigrationError::Interrupted {
                operation: OPERATION.to_owned(),
                source: DatabaseConnectError::protocol(&other),
            }),
            Err(_) => Err(MigrationError::TimedOut {
                operation: OPERATION.to_owned(),
                limit,
            }),
        }
    }

    /// Counts the other clients of the database, and of the role on the compute.
    pub(super) async fn count_other_clients(&mut self) -> Result<i64, MigrationError> {
        let text = session_sql::count_other_clients();
        let rows = self.query(text, "counting other clients").await?;
        let count = rows.last().and_then(|row| row.try_get::<i64, _>(0).ok());
        // An answer of another form does not prove that there is none.
        Ok(count.unwrap_or(i64::MAX))
    }

    /// Runs one of the controller's own queries, with its own time limit, and returns its rows.
    pub(super) async fn query(
        &mut self,
        text: String,
        operation: &str,
    ) -> Result<Vec<PgRow>, MigrationError> {
        let limit = self.limits.query_timeout;
        self.query_within(limit, text, operation).await
    }

    pub(super) async fn query_within(
        &mut self,
        limit: Duration,
        text: String,
        operation: &str,
    ) -> Result<Vec<PgRow>, MigrationError> {
        self.wire.start_request(false);
        match timeout(
            limit,
            sqlx::raw_sql(AssertSqlSafe(text.as_str())).fetch_all(&mut self.connection),
        )
        .await
        {
            Ok(result) => result.map_err(|error| self.classify_error(error, operation, &text)),
            Err(_) => Err(MigrationError::TimedOut {
                operation: operation.to_owned(),
                limit,
            }),
        }
    }

    /// Runs the statements of one message, without their rows. The error contains the number of
    /// statements that succeeded.
    pub(super) async fn execute(&mut self, text: String) -> Result<(), (usize, sqlx::Error)> {
        self.wire.start_request(true);
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

    /// Classifies an error on the open connection. `sql` is what the server was running.
    pub(super) fn classify_error(
        &self,
        error: sqlx::Error,
        operation: &str,
        sql: &str,
    ) -> MigrationError {
        let operation = operation.to_owned();
        if let Some(violation) = self.wire.violation() {
            let violation = violation.to_string();
            return MigrationError::UnexpectedResponse {
                operation,
                violation,
            };
        }
        let source = match error {
            sqlx::Error::Database(error) => match error
                .try_downcast_ref::<PgDatabaseError>()
                .map(|error| (ServerError::new(error, Origin::Sql(sql)), error.severity()))
            {
                Some((server, severity)) if server.ended_session(severity) => {
                    DatabaseConnectError::Server(server)
                }
                Some((server, _)) => return MigrationError::Server { operation, server },
                None => DatabaseConnectError::protocol(&error),
            },
            sqlx::Error::Io(error) => DatabaseConnectError::Io(error),
            other => DatabaseConnectError::protocol(&other),
        };
        MigrationError::Interrupted { operation, source }
    }
}

/// Parses the result of [`session_sql::read_state`].
async fn parse_state(row: Option<&PgRow>) -> Result<DatabaseState, MigrationError> {
    let invalid = |problem| MigrationError::InvalidMigrationsTable { problem };
    let (database, state) = row
        .and_then(|row| {
            let database = row.try_get::<String, _>(0).ok()?;
            Some((database, row.try_get::<String, _>(1).ok()?))
        })
        .ok_or_else(|| invalid(session_sql::OTHER_FORMAT))?;
    if let Some(problem) = state.strip_prefix("invalid ") {
        return Err(invalid(session_sql::problem(problem)));
    }
    let Some(rows) = state.strip_prefix("rows ") else {
        return Ok(DatabaseState {
            database,
            applied: Vec::new(),
            has_table: false,
        });
    };
    let applied = if rows.len() > MAX_INLINE_PARSE_BYTES {
        let rows = rows.to_owned();
        tokio::task::spawn_blocking(move || applied::parse(&rows))
            .await
            .unwrap_or_default()
    } else {
        applied::parse(rows)
    };
    let applied = applied.ok_or_else(|| invalid(session_sql::INVALID_ROW))?;
    if applied.len() > MAX_MIGRATIONS {
        return Err(invalid(session_sql::TOO_MANY_ROWS));
    }
    Ok(DatabaseState {
        database,
        applied,
        has_table: true,
    })
}
