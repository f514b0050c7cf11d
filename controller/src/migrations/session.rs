//! One session on a tenant's database: what it has, and the lock on migrating it.
//!
//! Every text sent here is one message and one round trip. An error ends the session: whoever gets one drops it, and the server frees the
//! lock with the connection.

use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::migrate::Migrate as _;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Either, Row as _};
use tokio::time::timeout;

use super::applied::{self, AppliedMigration};
use super::connect;
use super::error::{ConnectError, MigrationError};
use super::limits::MigrationLimits;
use super::server_error::ServerError;
use super::target::DatabaseTarget;

/// sqlx's table, in the schema to which every session is set.
pub(super) const TABLE: &str = "public._sqlx_migrations";
/// How long the farewell may take; the server frees everything without it, only later.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Statements in [`preamble`].
pub(super) const PREAMBLE_STATEMENTS: usize = 8;

/// A table that may not be there cannot be named in a query, and an error would cost the connection. So a block looks
/// first, and hands its finding over in a setting of the session: one round trip for a database old or new.
const STATE: &str = "\
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

/// What a database says of itself.
pub(super) struct State {
    /// Its name for itself, which a proxy may have changed on the way; the lock hangs on it.
    database: String,
    /// The migrations it has.
    pub(super) applied: Vec<AppliedMigration>,
    /// Whether sqlx's table is there.
    pub(super) has_table: bool,
}

impl State {
    /// The highest version that went through.
    pub(super) fn reached(&self) -> Option<i64> {
        let done = self.applied.iter().filter(|row| row.success);
        done.map(|row| row.version).max()
    }
}

/// An open session.
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

    /// Sets the session up and asks what the database has.
    pub(super) async fn state(&mut self) -> Result<State, MigrationError> {
        let text = format!("{}{STATE}", preamble(self.limits));
        let rows = self.query(text, "reading the schema's version").await?;
        rows.last()
            .and_then(read_state)
            .ok_or(MigrationError::ForeignTable)
    }

    /// Tries to take sqlx's lock on migrating this database, and asks again what it has, now that it cannot change any
    /// more if the lock is ours.
    ///
    /// It asks instead of waiting in the server, as sqlx does: a session that waits there has a snapshot, and `CREATE INDEX CONCURRENTLY`
    /// in the session that holds the lock waits for all older snapshots. Each would wait for the other.
    pub(super) async fn try_lock(&mut self, seen: &State) -> Result<(bool, State), MigrationError> {
        let text = format!(
            "SELECT pg_try_advisory_lock({}); {STATE}",
            lock_id(&seen.database)
        );
        let rows = self.query(text, "taking the lock on migrations").await?;
        let locked = rows.first().and_then(|row| row.try_get::<bool, _>(0).ok());
        let state = rows.last().and_then(read_state);
        locked.zip(state).ok_or(MigrationError::ForeignTable)
    }

    /// Makes sqlx's table, by sqlx's own statement.
    pub(super) async fn make_table(&mut self) -> Result<(), MigrationError> {
        const DOING: &str = "making the table _sqlx_migrations";
        let limit = self.limits.query_timeout;
        match timeout(limit, self.connection.ensure_migrations_table(TABLE)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(sqlx::migrate::MigrateError::Execute(error))) => Err(failure(error, DOING)),
            Ok(Err(other)) => Err(MigrationError::Interrupted {
                doing: DOING.to_owned(),
                source: ConnectError::Protocol(other.to_string()),
            }),
            Err(_) => Err(MigrationError::TimedOut {
                doing: DOING.to_owned(),
                limit,
            }),
        }
    }

    /// Sends one message of the controller's own and returns its rows.
    pub(super) async fn query(
        &mut self,
        text: String,
        doing: &str,
    ) -> Result<Vec<PgRow>, MigrationError> {
        let limit = self.limits.query_timeout;
        match timeout(
            limit,
            sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut self.connection),
        )
        .await
        {
            Ok(result) => result.map_err(|error| failure(error, doing)),
            Err(_) => Err(MigrationError::TimedOut {
                doing: doing.to_owned(),
                limit,
            }),
        }
    }

    /// Sends one message and counts the statements of it that went through.
    pub(super) async fn run(&mut self, text: String) -> Result<(), (usize, sqlx::Error)> {
        let mut completed = 0;
        let mut answers = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut self.connection);
        loop {
            match answers.try_next().await {
                Ok(Some(Either::Left(_))) => completed += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err((completed, error)),
            }
        }
    }

    /// Says farewell, which frees the lock.
    pub(super) async fn close(self) {
        // Nothing depends on it: a connection that is cut frees the same.
        let _ = timeout(CLOSE_TIMEOUT, self.connection.close()).await;
    }
}

/// What every message of migrations begins with, so that none depends on what an earlier one set: a run that was cut off and begun
/// anew meets the same session.
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

/// What an error on an open connection means, where it is not a migration's own.
pub(super) fn failure(error: sqlx::Error, doing: &str) -> MigrationError {
    let doing = doing.to_owned();
    let source = match error {
        sqlx::Error::Database(error) => match error
            .try_downcast_ref::<PgDatabaseError>()
            .map(ServerError::new)
        {
            Some(server) if server.ends_the_session() => ConnectError::Server(server),
            Some(server) => return MigrationError::Server { doing, server },
            None => ConnectError::Protocol(error.to_string()),
        },
        sqlx::Error::Io(error) => ConnectError::Io(error),
        other => ConnectError::Protocol(other.to_string()),
    };
    MigrationError::Interrupted { doing, source }
}

fn read_state(row: &PgRow) -> Option<State> {
    let database = row.try_get::<String, _>(0).ok()?;
    let found = row.try_get::<String, _>(1).ok()?;
    let rows = match found.strip_prefix("rows ") {
        Some(rows) => Some(applied::parse(rows)?),
        None if found == "none" => None,
        None => return None,
    };
    Some(State {
        database,
        has_table: rows.is_some(),
        applied: rows.unwrap_or_default(),
    })
}

/// The key of the advisory lock under which sqlx migrates a database of that name.
fn lock_id(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(crc32(database.as_bytes()))
}

/// CRC-32 as in IEEE 802.3.
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
    fn the_checksum_is_the_one_of_ethernet() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn the_preamble_has_as_many_statements_as_it_says() {
        let found = statements::split(&preamble(&MigrationLimits::default())).expect("well formed");
        assert_eq!(found.len(), PREAMBLE_STATEMENTS);
    }
}
