//! Runs one migration and records it in `_sqlx_migrations`.
//!
//! A migration that runs in a transaction is two messages: the first begins the transaction,
//! inserts the row as unfinished, and runs the file; the second marks the row as successful and
//! commits. An interruption therefore cannot leave the file without its row. The file
//! is the last part of the first message, so it cannot affect the statements of the second one.
//! Before the second message, the server must report that a transaction is still open, and the
//! message itself fails unless the same transaction inserted the row. So if a file ends its
//! transaction in a way that the static check does not detect, its row remains unfinished, and an
//! error is reported.
//!
//! The error of a statement is attributed to a line of the file: by the position that Postgres
//! reports or, as many errors have none, by the number of statements that succeeded before.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::error::{MigrationError, StatementError};
use super::leftovers::{self, EarlierRun, Preparation};
use super::server_error::{Origin, ServerError};
use super::session::Session;
use super::session_sql::{self, MIGRATIONS_TABLE};
use super::set::Migration;
use super::statements;

/// SQLSTATE that the second message raises if the row is not its transaction's.
const OTHER_TRANSACTION: &str = "TM001";

const CHECK_CONSTRAINTS: &str = "SET CONSTRAINTS ALL IMMEDIATE";
const COMMIT: &str = "COMMIT";

/// Runs `migration`, which must not have been applied yet, in a transaction. No other migration may
/// have run in the session.
pub(super) async fn execute_in_transaction(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let limit = session.limits().file_timeout;
    let run = async {
        run_file(session, migration).await?;
        if !session.in_transaction() {
            return Err(transaction_ended(migration));
        }
        commit(session, migration).await
    };
    within_file_timeout(limit, migration, run).await
}

/// Runs `migration` outside a transaction in `session`, in which no other migration may have run,
/// and records it through `control`. If the connection breaks before the row is written, the
/// statement runs again.
pub(super) async fn execute_without_transaction(
    control: &mut Session<'_>,
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let started = Instant::now();
    let limit = control.limits().file_timeout;
    let run = async {
        let earlier = earlier_run(control, migration).await?;
        match leftovers::prepare(session, migration, earlier).await? {
            Preparation::AlreadyDone => return Ok(()),
            Preparation::Run => record_start(control, migration).await?,
            // The statement will fail. Its start is not recorded, so that the next run does not mistake the
            // conflicting object for the result of this one.
            Preparation::Fails => {}
        }
        let settings = session_sql::file_settings(session.limits()).join("; ");
        session.query(settings, "setting up the session").await?;
        let result = session.execute(migration.sql().to_owned()).await;
        let prefix = MessagePrefix {
            chars: 0,
            statements: 0,
        };
        let Err((completed, error)) = result else {
            return Ok(());
        };
        let error = prefix.locate_error(session, migration, completed, error);
        if earlier == EarlierRun::Interrupted {
            return Err(with_recovery_hint(error, migration));
        }
        if error.is_from_server()
            && let Err(unrecorded) = record_failure(control, migration).await
        {
            // The next run takes this one for an interrupted one.
            warn!(error = %unrecorded, "failed to record the failure of a migration");
        }
        Err(error)
    };
    within_file_timeout(limit, migration, run).await?;
    let version = migration.version();
    let execution_time = started.elapsed().as_nanos().to_string();
    let text = format!(
        "DELETE FROM ONLY {MIGRATIONS_TABLE} WHERE version = {version} AND NOT success; {}",
        insert_row(migration, true, &execution_time),
    );
    let operation = format!("recording {}", migration.file_name());
    control.query(text, &operation).await.map(drop)
}

/// If an earlier, interrupted run may have caused this error by applying the statement, adds
/// instructions for recording the statement as applied.
fn with_recovery_hint(error: MigrationError, migration: &Migration) -> MigrationError {
    match error {
        MigrationError::Statement(statement) if statement.server.names_existence() => {
            MigrationError::Repeated {
                version: migration.version(),
                statement,
            }
        }
        other => other,
    }
}

async fn within_file_timeout(
    limit: Duration,
    migration: &Migration,
    run: impl Future<Output = Result<(), MigrationError>>,
) -> Result<(), MigrationError> {
    let operation = operation(migration);
    timeout(limit, run)
        .await
        .unwrap_or(Err(MigrationError::TimedOut { operation, limit }))
}

fn operation(migration: &Migration) -> String {
    format!("applying {}", migration.file_name())
}

fn transaction_ended(migration: &Migration) -> MigrationError {
    MigrationError::TransactionEnded {
        file: migration.file_name().to_owned(),
    }
}

async fn run_file(session: &mut Session<'_>, migration: &Migration) -> Result<(), MigrationError> {
    let mut statements = vec![
        "BEGIN".to_owned(),
        delete_start(migration),
        insert_row(migration, false, "0"),
    ];
    statements.extend(session_sql::file_settings(session.limits()));
    let text = format!("{};", statements.join(";"));
    let prefix = MessagePrefix {
        chars: text.chars().count(),
        statements: statements.len(),
    };
    let result = session.execute(text + migration.sql()).await;
    result.map_err(|(completed, error)| prefix.locate_error(session, migration, completed, error))
}

/// Marks the row as successful and commits, with settings that the file cannot have changed.
async fn commit(session: &mut Session<'_>, migration: &Migration) -> Result<(), MigrationError> {
    let limits = session.limits();
    let version = migration.version();
    let statements = [
        format!(
            "SET LOCAL statement_timeout = {}",
            limits.statement_timeout.as_millis()
        ),
        format!(
            "SET LOCAL lock_timeout = {}",
            limits.table_lock_timeout.as_millis()
        ),
        // No timeout applies to the checks of deferred constraints in COMMIT itself.
        CHECK_CONSTRAINTS.to_owned(),
        "SET LOCAL SESSION AUTHORIZATION DEFAULT".to_owned(),
        "SET LOCAL ROLE NONE".to_owned(),
        "SET LOCAL search_path = pg_catalog, pg_temp".to_owned(),
        format!(
            "DO $record$ BEGIN \
                UPDATE ONLY {MIGRATIONS_TABLE} SET success = true, execution_time = \
                    (extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000000000)::bigint \
                WHERE version = {version} AND NOT success AND xmin = pg_current_xact_id()::xid; \
                IF NOT FOUND THEN \
                    RAISE EXCEPTION USING ERRCODE = '{OTHER_TRANSACTION}', MESSAGE = 'other transaction'; \
                END IF; \
            END $record$"
        ),
        COMMIT.to_owned(),
    ];
    let limit = limits.statement_timeout + limits.query_timeout;
    let operation = format!("recording {}", migration.file_name());
    let result = timeout(limit, session.execute(statements.join("; "))).await;
    let Err((completed, error)) =
        result.map_err(|_| MigrationError::TimedOut { operation, limit })?
    else {
        return Ok(());
    };
    let checks_constraints = statements
        .get(completed)
        .is_some_and(|statement| statement == CHECK_CONSTRAINTS || statement == COMMIT);
    match server_error(&error, "") {
        Some((server, _)) if server.code == OTHER_TRANSACTION => Err(transaction_ended(migration)),
        Some((server, _)) if checks_constraints => {
            let file = migration.file_name().to_owned();
            let line = None;
            Err(MigrationError::Statement(Box::new(StatementError {
                file,
                line,
                server,
            })))
        }
        _ => {
            let operation = format!("recording {}", migration.file_name());
            Err(session.classify_error(error, &operation, ""))
        }
    }
}

/// Finds out what an earlier run of a migration outside a transaction can have left behind.
async fn earlier_run(
    control: &mut Session<'_>,
    migration: &Migration,
) -> Result<EarlierRun, MigrationError> {
    let text = format!(
        "SELECT checksum = decode('{}', 'hex') FROM ONLY {MIGRATIONS_TABLE} WHERE version = {}",
        hex::encode(migration.checksum()),
        migration.version(),
    );
    let operation = format!("checking whether {} was started", migration.file_name());
    let rows = control.query(text, &operation).await?;
    let is_same_file = rows.first().map(|row| row.try_get::<bool, _>(0));
    Ok(match is_same_file {
        None => EarlierRun::None,
        Some(Ok(true)) => EarlierRun::Interrupted,
        Some(Ok(false) | Err(_)) => EarlierRun::Failed,
    })
}

/// Records that a migration outside a transaction has started, so that the next run knows what an
/// interruption can have left behind.
async fn record_start(
    control: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let text = format!(
        "{} ON CONFLICT (version) DO UPDATE \
         SET checksum = excluded.checksum, execution_time = excluded.execution_time WHERE NOT _sqlx_migrations.success",
        insert_row(migration, false, &session_sql::STARTED.to_string())
    );
    let operation = format!("recording the start of {}", migration.file_name());
    control.query(text, &operation).await.map(drop)
}

/// Records that the server has rejected the statement, which therefore did not take effect. Without
/// the checksum of a file, the row says only that there was a run.
async fn record_failure(
    control: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let text = format!(
        "UPDATE ONLY {MIGRATIONS_TABLE} SET checksum = '' \
         WHERE version = {} AND NOT success AND execution_time = {}",
        migration.version(),
        session_sql::STARTED,
    );
    let operation = format!("recording the failure of {}", migration.file_name());
    control.query(text, &operation).await.map(drop)
}

/// The statement that removes what [`record_start`] wrote for an earlier content of the file.
fn delete_start(migration: &Migration) -> String {
    format!(
        "DELETE FROM ONLY {MIGRATIONS_TABLE} WHERE version = {} AND NOT success AND execution_time = {}",
        migration.version(),
        session_sql::STARTED,
    )
}

/// The statement that records a migration in sqlx's format. `execution_time` is in nanoseconds.
fn insert_row(migration: &Migration, success: bool, execution_time: &str) -> String {
    format!(
        "INSERT INTO {MIGRATIONS_TABLE} (version, description, installed_on, success, checksum, execution_time) \
         VALUES ({}, '{}', now(), {success}, decode('{}', 'hex'), {execution_time})",
        migration.version(),
        migration.description().replace('\'', "''"),
        hex::encode(migration.checksum()),
    )
}

/// What precedes the file in its message.
struct MessagePrefix {
    chars: usize,
    statements: usize,
}

impl MessagePrefix {
    /// Attributes an error that occurred after `completed` statements of the message to a line of
    /// the file.
    fn locate_error(
        &self,
        session: &Session<'_>,
        migration: &Migration,
        completed: usize,
        error: sqlx::Error,
    ) -> MigrationError {
        let statements = migration.statements();
        let operation = operation(migration);
        let Some((server, position)) = server_error(&error, migration.sql()) else {
            return session.classify_error(error, &operation, migration.sql());
        };
        let at_position = position
            .and_then(|position| position.checked_sub(self.chars))
            .filter(|position| *position > 0)
            .map(|position| statements::line_of(migration.sql(), position));
        let failed_statement = completed
            .checked_sub(self.statements)
            .and_then(|index| statements.get(index));
        // Postgres parses the whole message before it runs any of it, so a syntax error precedes
        // the first statement.
        let Some(line) = at_position.or_else(|| failed_statement.map(|statement| statement.line))
        else {
            return MigrationError::Server { operation, server };
        };
        MigrationError::Statement(Box::new(StatementError {
            file: migration.file_name().to_owned(),
            line: Some(line),
            server,
        }))
    }
}

/// The server's error and its position in the message. `None` if the error is not the server's, or
/// ended the session.
fn server_error(error: &sqlx::Error, sql: &str) -> Option<(ServerError, Option<usize>)> {
    let error = error
        .as_database_error()?
        .try_downcast_ref::<PgDatabaseError>()?;
    let position = match error.position() {
        Some(PgErrorPosition::Original(position)) => Some(position),
        // Positions in the body of a function are not positions in the file.
        _ => None,
    };
    let server = ServerError::new(error, Origin::Sql(sql));
    (!server.ended_session(error.severity())).then_some((server, position))
}
