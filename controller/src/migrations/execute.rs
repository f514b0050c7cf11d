//! Runs one migration and records it.
//!
//! In a transaction, all of it is one message: session settings, `BEGIN`, the file, its row, `COMMIT`. So there is no moment at which
//! a cut could leave one without the other, and a file costs one round trip. What a statement fails with is traced back to the file's
//! line: by the position that Postgres names or, for the many errors without one, by counting what went through before.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use tokio::time::{Instant, timeout};

use super::error::{MigrationError, StatementError};
use super::invalid_index;
use super::server_error::ServerError;
use super::session::{self, PREAMBLE_STATEMENTS, Session, TABLE};
use super::set::{Migration, hex};
use super::statements;

/// Applies `migration`, which the database lacks.
pub(super) async fn apply(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let limit = session.limits().file_timeout;
    let outcome = if migration.no_transaction() {
        timeout(limit, apply_bare(session, migration)).await
    } else {
        timeout(limit, apply_in_transaction(session, migration)).await
    };
    outcome.unwrap_or_else(|_| {
        Err(MigrationError::TimedOut {
            doing: doing(migration),
            limit,
        })
    })
}

fn doing(migration: &Migration) -> String {
    format!("applying {}", migration.file_name())
}

async fn apply_in_transaction(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let before = format!("{}BEGIN;", session::preamble(session.limits()));
    // sqlx notes the time in a query of its own afterwards; here the row is right from the start.
    let time =
        "(extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000000000)::bigint";
    let row = insert(migration, time);
    // The line end closes a comment on the file's last line.
    let text = format!("{before}{}\n;{row};COMMIT", migration.sql());
    let sent = Sent {
        before_chars: before.chars().count(),
        before_statements: PREAMBLE_STATEMENTS + 1,
    };
    let outcome = session.run(text).await;
    outcome.map_err(|(completed, error)| sent.failure(migration, completed, error))
}

/// Outside a transaction a statement has to be alone in its message. If we are cut off before the row is written, it runs
/// again.
async fn apply_bare(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let preamble = session::preamble(session.limits());
    session.query(preamble, "setting the session up").await?;
    invalid_index::drop_leftover(session, migration).await?;
    let started = Instant::now();
    let outcome = session.run(migration.sql().to_owned()).await;
    let sent = Sent {
        before_chars: 0,
        before_statements: 0,
    };
    outcome.map_err(|(completed, error)| sent.failure(migration, completed, error))?;
    // Some tools mark such a migration as begun before they run it; that row gives way.
    let text = format!(
        "DELETE FROM {TABLE} WHERE version = {} AND NOT success; {}",
        migration.version(),
        insert(migration, &started.elapsed().as_nanos().to_string()),
    );
    session
        .query(text, &format!("recording {}", migration.file_name()))
        .await?;
    Ok(())
}

/// The statement that records a migration, as sqlx records it.
fn insert(migration: &Migration, time_ns: &str) -> String {
    format!(
        "INSERT INTO {TABLE} (version, description, success, checksum, execution_time) \
         VALUES ({}, '{}', true, '\\x{}', {time_ns})",
        migration.version(),
        migration.description().replace('\'', "''"),
        hex(migration.checksum()),
    )
}

/// What stood before the file in the message.
struct Sent {
    before_chars: usize,
    before_statements: usize,
}

impl Sent {
    /// What an error means that came after `completed` statements of the message.
    fn failure(
        &self,
        migration: &Migration,
        completed: usize,
        error: sqlx::Error,
    ) -> MigrationError {
        let statements = migration.statements();
        let Some((server, position)) = server_error(&error) else {
            return session::failure(error, &doing(migration));
        };
        let at_position = position
            .and_then(|position| position.checked_sub(self.before_chars))
            .filter(|position| *position > 0)
            .map(|position| statements::line_of(migration.sql(), position));
        let failing = completed.checked_sub(self.before_statements);
        let line = match (at_position, failing) {
            // Postgres reads all of a message before it runs any of it, so an error of syntax comes before the first statement.
            (Some(line), failing) if failing.is_none_or(|index| index < statements.len()) => {
                Some(line)
            }
            (_, Some(index)) if index < statements.len() => {
                statements.get(index).map(|statement| statement.line)
            }
            // After the file stand its row and the commit, where deferred constraints are checked.
            (_, Some(index)) if index == statements.len() + 1 => None,
            (_, Some(_)) => {
                let doing = format!("recording {}", migration.file_name());
                return MigrationError::Server { doing, server };
            }
            (_, None) => {
                return MigrationError::Server {
                    doing: doing(migration),
                    server,
                };
            }
        };
        let file = migration.file_name().to_owned();
        MigrationError::Statement(Box::new(StatementError { file, line, server }))
    }
}

/// What the server said, and where, if it was the server and it did not end the session.
fn server_error(error: &sqlx::Error) -> Option<(ServerError, Option<usize>)> {
    let error = error
        .as_database_error()?
        .try_downcast_ref::<PgDatabaseError>()?;
    let position = match error.position() {
        Some(PgErrorPosition::Original(position)) => Some(position),
        // Positions in the body of a function say nothing of the file.
        _ => None,
    };
    let server = ServerError::new(error);
    (!server.ends_the_session()).then_some((server, position))
}
