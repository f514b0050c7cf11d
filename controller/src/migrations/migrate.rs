//! Brings one database to the version of a set of migrations.
//!
//! An up-to-date database takes one connection and one query. Otherwise this module takes the lock,
//! reads the applied migrations again, and applies each missing file. An interruption at any point,
//! by an error, a dropped future or a killed process, leaves only complete files, and the next call
//! continues with the first missing one.
//!
//! Every file runs in a session in which no other file has run, so that no setting, temporary table
//! or prepared statement of one file changes what the next one does. The first session holds the
//! lock and runs no file but the last.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::error::{MigrationError, MigrationFailure};
use super::execute::{execute_in_transaction, execute_without_transaction};
use super::limits::MigrationLimits;
use super::migration_state::{MigrationState, compare};
use super::session::{DatabaseState, Session};
use super::set::{Migration, MigrationSet};
use super::target::DatabaseTarget;

/// Between two attempts to take the lock; it doubles after each.
const INITIAL_LOCK_PAUSE: Duration = Duration::from_millis(20);
const MAX_LOCK_PAUSE: Duration = Duration::from_millis(500);

/// The result of a successful call: the database has all selected migrations of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// The version of the database: that of the set, or a higher one if the database has migrations
    /// that are not selected.
    pub version: i64,
    /// The digest of the database's migrations.
    pub digest: String,
    /// The versions that this call applied, in order; empty if the database was up to date.
    pub applied: Vec<i64>,
    /// Whether this call applied migrations and found that no other client was connected afterwards.
    pub unused: bool,
    /// Since before the first attempt to connect.
    pub elapsed: Duration,
}

/// Brings the database `target` to the version of `set`. The call is idempotent.
///
/// The future can be dropped at any point: within about a second, the server rolls back the current
/// file and releases the lock.
pub async fn migrate(
    target: &DatabaseTarget,
    set: &MigrationSet,
    limits: &MigrationLimits,
) -> Result<MigrationReport, MigrationFailure> {
    let database = Database::connect(target, limits).await?;
    database.migrate(set, false).await
}

/// A connection to the database `target`.
pub(super) struct Database<'a> {
    target: &'a DatabaseTarget,
    /// Holds the lock during a migration.
    control: Session<'a>,
    started: Instant,
}

impl<'a> Database<'a> {
    pub(super) async fn connect(
        target: &'a DatabaseTarget,
        limits: &'a MigrationLimits,
    ) -> Result<Self, MigrationError> {
        let started = Instant::now();
        Ok(Self {
            target,
            control: Session::open(target, limits).await?,
            started,
        })
    }

    /// Brings the database to the version of `set`. If `check_use` is set, the report also says whether
    /// other clients were connected afterwards.
    pub(super) async fn migrate(
        self,
        set: &MigrationSet,
        check_use: bool,
    ) -> Result<MigrationReport, MigrationFailure> {
        let started = self.started;
        let mut progress = MigrationProgress::default();
        let result = self.run(set, check_use, &mut progress).await;
        let versions: Vec<i64> = progress.present.into_iter().collect();
        match result {
            Ok(()) => Ok(MigrationReport {
                version: versions
                    .last()
                    .copied()
                    .unwrap_or_else(|| set.target_version()),
                digest: if set.is_empty() {
                    String::new()
                } else {
                    set.digest_of(&versions)
                        .unwrap_or_else(|| set.digest().to_owned())
                },
                applied: progress.applied,
                unused: progress.unused,
                elapsed: started.elapsed(),
            }),
            Err(error) => Err(MigrationFailure {
                error,
                version: progress.version,
                digest: progress.version.and_then(|_| set.digest_of(&versions)),
                applied: progress.applied,
            }),
        }
    }

    async fn run(
        mut self,
        set: &MigrationSet,
        check_use: bool,
        progress: &mut MigrationProgress,
    ) -> Result<(), MigrationError> {
        // Without migrations, connecting shows that the database can be used.
        if !set.is_empty() {
            let state = self.control.set_up_and_read_state().await?;
            progress.observe(&state);
            if !pending(&state, set)?.is_empty() {
                migrate_locked(self.target, &mut self.control, &state, set, progress).await?;
            }
        }
        if check_use && !progress.applied.is_empty() {
            // The migration has succeeded, even if this fails.
            let others = self.control.count_other_clients().await;
            progress.unused = matches!(others, Ok(0));
        }
        self.control.close().await;
        Ok(())
    }
}

#[derive(Default)]
struct MigrationProgress {
    version: Option<i64>,
    applied: Vec<i64>,
    /// The versions that the database has.
    present: BTreeSet<i64>,
    /// Whether no other client was connected after the migration.
    unused: bool,
}

impl MigrationProgress {
    fn observe(&mut self, state: &DatabaseState) {
        self.version = state.current_version();
        let succeeded = state.applied.iter().filter(|row| row.success);
        self.present = succeeded.map(|row| row.version).collect();
    }
}

async fn migrate_locked(
    target: &DatabaseTarget,
    control: &mut Session<'_>,
    last_read: &DatabaseState,
    set: &MigrationSet,
    progress: &mut MigrationProgress,
) -> Result<(), MigrationError> {
    let (state, versions) = wait_for_lock(control, last_read, set).await?;
    progress.observe(&state);
    if versions.is_empty() {
        return Ok(());
    }
    if !state.has_table {
        control.create_migrations_table().await?;
    }
    for (index, version) in versions.iter().enumerate() {
        if index > 0 {
            // This also shows that the control session, and with it the lock, still exists.
            let remaining = pending(&control.read_state().await?, set)?;
            if remaining.first() != Some(version) {
                return Err(MigrationError::InvalidMigrationsTable {
                    problem: "its rows changed during the migration",
                });
            }
        }
        let Some(migration) = set.get(*version) else {
            continue;
        };
        let started = Instant::now();
        let is_last = index + 1 == versions.len();
        apply(target, control, migration, is_last).await?;
        progress.applied.push(migration.version());
        progress.present.insert(migration.version());
        progress.version = progress.version.max(Some(migration.version()));
        info!(
            migration.version = migration.version(),
            migration.file = migration.file_name(),
            elapsed_ms = started.elapsed().as_millis(),
            "applied migration"
        );
    }
    Ok(())
}

async fn apply(
    target: &DatabaseTarget,
    control: &mut Session<'_>,
    migration: &Migration,
    is_last: bool,
) -> Result<(), MigrationError> {
    if is_last && !migration.no_transaction() {
        return execute_in_transaction(control, migration).await;
    }
    let mut session = Session::open(target, control.limits()).await?;
    session.set_up().await?;
    if migration.no_transaction() {
        execute_without_transaction(control, &mut session, migration).await?;
    } else {
        execute_in_transaction(&mut session, migration).await?;
    }
    session.close().await;
    Ok(())
}

/// Takes the lock, and returns the state of the database under it and the versions to apply. If
/// another process completes the migration meanwhile, returns without the lock and with no versions
/// to apply.
async fn wait_for_lock(
    session: &mut Session<'_>,
    last_read: &DatabaseState,
    set: &MigrationSet,
) -> Result<(DatabaseState, Vec<i64>), MigrationError> {
    let started = Instant::now();
    let lock_timeout = session.limits().lock_timeout;
    let mut pause = INITIAL_LOCK_PAUSE;
    loop {
        let (locked, state) = session.try_lock(last_read).await?;
        let versions = pending(&state, set)?;
        if locked || versions.is_empty() {
            return Ok((state, versions));
        }
        let waited = started.elapsed();
        if waited + pause >= lock_timeout {
            return Err(MigrationError::Locked { waited });
        }
        debug!("another process is migrating the database; waiting");
        sleep(pause).await;
        pause = (pause * 2).min(MAX_LOCK_PAUSE);
    }
}

/// The versions to apply, or an error if the database does not match the set.
fn pending(state: &DatabaseState, set: &MigrationSet) -> Result<Vec<i64>, MigrationError> {
    match compare(&state.applied, set) {
        MigrationState::UpToDate => Ok(Vec::new()),
        MigrationState::Pending { versions } => Ok(versions),
        MigrationState::Ahead { version } => Err(MigrationError::Ahead {
            version,
            target: set.newest_version(),
        }),
        MigrationState::Changed {
            version,
            file,
            only_line_endings,
        } => Err(MigrationError::Changed {
            version,
            file,
            only_line_endings,
        }),
        MigrationState::Missing { version } => Err(MigrationError::Missing { version }),
        MigrationState::Dirty { version, file } => Err(MigrationError::Dirty { version, file }),
    }
}
