//! Drops what an interrupted statement with `CONCURRENTLY` leaves behind, before it runs again.
//!
//! Such a statement runs in several transactions. If `CREATE INDEX CONCURRENTLY` fails, an invalid
//! index of that name remains: the next run fails because it exists or, with `IF NOT EXISTS`, does nothing
//! and leaves an index that no query uses. Each failed `REINDEX CONCURRENTLY` leaves one more
//! invalid index with the suffix `_ccnew` or `_ccold` and a number. An interrupted `DETACH PARTITION
//! CONCURRENTLY` leaves the partition half detached, and has to be finalized.
//!
//! A statement can also take effect without being recorded. Where the catalogs show that, it does not
//! run again.

mod statement;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tracing::info;

use super::error::MigrationError;
use super::session::Session;
use super::session_sql;
use super::set::Migration;
use statement::{ConcurrentStatement, Removal};

/// What is known of an earlier run of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlierRun {
    /// There was none.
    None,
    /// The server rejected the statement, or the file had another one. It can have left an invalid index
    /// or a half detached partition behind.
    Failed,
    /// The connection to the server was lost: the statement can also have taken effect.
    Interrupted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preparation {
    /// The statement has to run.
    Run,
    /// An earlier run completed the statement, and was interrupted before it was recorded.
    AlreadyDone,
    /// The statement has to run, and fails: an index of another origin has its name, or what it drops
    /// or detaches does not exist.
    Fails,
}

/// Prepares the database for the only statement of `migration`.
pub(super) async fn prepare(
    session: &mut Session<'_>,
    migration: &Migration,
    earlier: EarlierRun,
) -> Result<Preparation, MigrationError> {
    let head: Vec<&str> = migration
        .statements()
        .iter()
        .flat_map(|statement| &statement.head)
        .map(String::as_str)
        .collect();
    let Some(statement) = ConcurrentStatement::parse(&head) else {
        return Ok(Preparation::Run);
    };
    let statement = match statement {
        ConcurrentStatement::Removes(removal) => {
            return prepare_removal(session, &removal, earlier).await;
        }
        other => other,
    };
    let rows = session
        .query(statement.indexes(), "looking for invalid indexes")
        .await?;
    for row in rows {
        let (Ok(name), Ok(is_valid)) = (row.try_get::<String, _>(0), row.try_get::<bool, _>(1))
        else {
            continue;
        };
        if is_valid {
            return Ok(match (statement.fails_if_exists(), earlier) {
                (true, EarlierRun::Interrupted) => Preparation::AlreadyDone,
                (true, EarlierRun::None | EarlierRun::Failed) => Preparation::Fails,
                (false, _) => Preparation::Run,
            });
        }
        // Postgres chose the name, so only an earlier run shows that the index is ours.
        if earlier != EarlierRun::None || !statement.is_unnamed() {
            drop_index(session, migration, &name).await?;
        }
    }
    Ok(Preparation::Run)
}

/// Prepares the database for a statement that fails if what it removes does not exist.
async fn prepare_removal(
    session: &mut Session<'_>,
    removal: &Removal,
    earlier: EarlierRun,
) -> Result<Preparation, MigrationError> {
    let rows = session
        .query(removal.target(), "looking for what the statement removes")
        .await?;
    let is_half_done = |row: &PgRow| row.try_get::<bool, _>(0).unwrap_or_default();
    Ok(match (rows.first(), earlier) {
        (None, EarlierRun::Interrupted) => Preparation::AlreadyDone,
        (None, EarlierRun::None | EarlierRun::Failed) => Preparation::Fails,
        (Some(row), EarlierRun::Failed | EarlierRun::Interrupted) if is_half_done(row) => {
            match removal.completion() {
                Some(completion) => {
                    run_within_file_limits(
                        session,
                        completion,
                        "completing an interrupted statement",
                    )
                    .await?;
                    Preparation::AlreadyDone
                }
                None => Preparation::Run,
            }
        }
        (Some(_), _) => Preparation::Run,
    })
}

async fn drop_index(
    session: &mut Session<'_>,
    migration: &Migration,
    name: &str,
) -> Result<(), MigrationError> {
    const OPERATION: &str = "dropping an invalid index";
    info!(
        migration.file = migration.file_name(),
        "dropping an invalid index that an interrupted run left behind"
    );
    let statement = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
    run_within_file_limits(session, statement, OPERATION).await
}

/// Runs a statement that takes as long as one of a file.
async fn run_within_file_limits(
    session: &mut Session<'_>,
    statement: String,
    operation: &str,
) -> Result<(), MigrationError> {
    let limits = session.limits();
    let settings = session_sql::file_settings(limits).join("; ");
    session.query(settings, operation).await?;
    session
        .query_within(limits.file_timeout, statement, operation)
        .await?;
    let settings = format!(
        "SET search_path = pg_catalog, pg_temp; {}",
        session_sql::own_timeouts(limits)
    );
    session.query(settings, operation).await.map(drop)
}
