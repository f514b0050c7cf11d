//! Runs one migration and records it in `_sqlx_migrations`.
//!
//! A migration that runs in a transaction is one message: session settings, `BEGIN`, the file, its
//! row, `COMMIT`. An interruption therefore cannot leave the file without its row, and a file takes
//! one round trip. The error of a statement is attributed to a line of the file: by the position
//! that Postgres reports or, as many errors have none, by the number of statements that succeeded
//! before.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use tokio::time::{Instant, timeout};

use super::error::{MigrationError, StatementError};
use super::invalid_index;
use super::server_error::ServerError;
use super::session::{self, MIGRATIONS_TABLE, PREAMBLE_STATEMENTS, Session};
use super::set::Migration;
use super::statements;

/// Runs `migration`, which must not have been applied yet.
pub(super) async fn execute(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let limit = session.limits().file_timeout;
    let result = if migration.no_transaction() {
        timeout(limit, execute_without_transaction(session, migration)).await
    } else {
        timeout(limit, execute_in_transaction(session, migration)).await
    };
    result.unwrap_or_else(|_| {
        Err(MigrationError::TimedOut {
            operation: operation(migration),
            limit,
        })
    })
}

fn operation(migration: &Migration) -> String {
    format!("applying {}", migration.file_name())
}

async fn execute_in_transaction(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let prefix = format!("{}BEGIN;", session::preamble(session.limits()));
    // sqlx records the execution time in a second query afterwards; here the row contains it from
    // the start.
    let execution_time =
        "(extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000000000)::bigint";
    let insert = insert_row(migration, execution_time);
    // The line break ends a comment on the last line of the file.
    let text = format!("{prefix}{}\n;{insert};COMMIT", migration.sql());
    let prefix = MessagePrefix {
        chars: prefix.chars().count(),
        statements: PREAMBLE_STATEMENTS + 1,
    };
    let result = session.execute(text).await;
    result.map_err(|(completed, error)| prefix.locate_error(migration, completed, error))
}

/// Outside a transaction, a statement must be the only one in its message. If the connection breaks
/// before the row is written, the statement runs again.
async fn execute_without_transaction(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let preamble = session::preamble(session.limits());
    session.query(preamble, "setting up the session").await?;
    invalid_index::drop_invalid_index(session, migration).await?;
    let started = Instant::now();
    let result = session.execute(migration.sql().to_owned()).await;
    let prefix = MessagePrefix {
        chars: 0,
        statements: 0,
    };
    result.map_err(|(completed, error)| prefix.locate_error(migration, completed, error))?;
    // Some tools record such a migration as started before they run it; this replaces that row.
    let text = format!(
        "DELETE FROM {MIGRATIONS_TABLE} WHERE version = {} AND NOT success; {}",
        migration.version(),
        insert_row(migration, &started.elapsed().as_nanos().to_string()),
    );
    session
        .query(text, &format!("recording {}", migration.file_name()))
        .await?;
    Ok(())
}

/// The statement that records a migration in sqlx's format. `execution_time` is an SQL expression,
/// in nanoseconds.
fn insert_row(migration: &Migration, execution_time: &str) -> String {
    format!(
        "INSERT INTO {MIGRATIONS_TABLE} (version, description, success, checksum, execution_time) \
         VALUES ({}, '{}', true, '\\x{}', {execution_time})",
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
        migration: &Migration,
        completed: usize,
        error: sqlx::Error,
    ) -> MigrationError {
        let statements = migration.statements();
        let Some((server, position)) = server_error(&error) else {
            return session::classify_error(error, &operation(migration));
        };
        let at_position = position
            .and_then(|position| position.checked_sub(self.chars))
            .filter(|position| *position > 0)
            .map(|position| statements::line_of(migration.sql(), position));
        let failed_index = completed.checked_sub(self.statements);
        let line = match (at_position, failed_index) {
            // Postgres parses the whole message before it runs any of it, so a syntax error
            // precedes the first statement.
            (Some(line), failed_index)
                if failed_index.is_none_or(|index| index < statements.len()) =>
            {
                Some(line)
            }
            (_, Some(index)) if index < statements.len() => {
                statements.get(index).map(|statement| statement.line)
            }
            // The file is followed by its row and the commit, which checks deferred constraints.
            (_, Some(index)) if index == statements.len() + 1 => None,
            (_, Some(_)) => {
                let operation = format!("recording {}", migration.file_name());
                return MigrationError::Server { operation, server };
            }
            (_, None) => {
                return MigrationError::Server {
                    operation: operation(migration),
                    server,
                };
            }
        };
        let file = migration.file_name().to_owned();
        MigrationError::Statement(Box::new(StatementError { file, line, server }))
    }
}

/// The server's error and its position in the message. `None` if the error is not the server's, or
/// ended the session.
fn server_error(error: &sqlx::Error) -> Option<(ServerError, Option<usize>)> {
    let error = error
        .as_database_error()?
        .try_downcast_ref::<PgDatabaseError>()?;
    let position = match error.position() {
        Some(PgErrorPosition::Original(position)) => Some(position),
        // Positions in the body of a function are not positions in the file.
        _ => None,
    };
    let server = ServerError::new(error);
    (!server.terminates_session()).then_some((server, position))
}
