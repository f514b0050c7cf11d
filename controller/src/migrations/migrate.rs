//! Brings one database to the version of a set.
//!
//! The good case is one connection and one query: the database says that it has everything. Otherwise the lock is taken, the question
//! is asked again under it, and each missing file is applied. Stopping anywhere, by an error, a drop of the future or a
//! kill, leaves whole files only, and the next call goes on from there.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::apply::apply;
use super::diagnosis::{MigrationState, compare};
use super::error::{MigrationError, MigrationFailure};
use super::limits::MigrationLimits;
use super::session::{Session, State};
use super::set::MigrationSet;
use super::target::DatabaseTarget;

/// The first pause between two tries for the lock; each is twice the one before.
const LOCK_PAUSE_FIRST: Duration = Duration::from_millis(20);
/// The longest pause between two tries for the lock.
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// A database that has everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The version it has: the set's.
    pub version: i64,
    /// The digest of the set.
    pub digest: String,
    /// The versions that this call applied, in order; empty when nothing was left to do.
    pub applied: Vec<i64>,
    /// From the first attempt to connect to the end.
    pub elapsed: Duration,
}

/// Brings the database `target` to the version of `set`, within `limits`. A second call finds nothing to do.
///
/// Dropping the future is safe at any point. A file that was under way is rolled back by the server, which also frees the lock, within
/// about a second.
pub async fn migrate(
    target: &DatabaseTarget,
    set: &MigrationSet,
    limits: &MigrationLimits,
) -> Result<Migrated, MigrationFailure> {
    let started = Instant::now();
    let mut progress = Progress::default();
    match run(target, set, limits, &mut progress).await {
        Ok(()) => Ok(Migrated {
            version: set.target_version(),
            digest: set.digest().to_owned(),
            applied: progress.applied,
            elapsed: started.elapsed(),
        }),
        Err(error) => Err(MigrationFailure {
            error,
            version: progress.version,
            applied: progress.applied,
        }),
    }
}

/// How far a call came.
#[derive(Default)]
struct Progress {
    version: Option<i64>,
    applied: Vec<i64>,
}

async fn run(
    target: &DatabaseTarget,
    set: &MigrationSet,
    limits: &MigrationLimits,
    progress: &mut Progress,
) -> Result<(), MigrationError> {
    let mut session = Session::open(target, limits).await?;
    let state = session.state().await?;
    progress.version = state.reached();
    if !pending(&state, set)?.is_empty() {
        migrate_locked(&mut session, &state, set, progress).await?;
    }
    session.close().await;
    Ok(())
}

async fn migrate_locked(
    session: &mut Session<'_>,
    seen: &State,
    set: &MigrationSet,
    progress: &mut Progress,
) -> Result<(), MigrationError> {
    let (state, versions) = wait_for_lock(session, seen, set).await?;
    progress.version = state.reached();
    if versions.is_empty() {
        return Ok(());
    }
    if !state.has_table {
        session.make_table().await?;
    }
    for migration in versions.iter().filter_map(|version| set.get(*version)) {
        let started = Instant::now();
        apply(session, migration).await?;
        progress.applied.push(migration.version());
        progress.version = progress.version.max(Some(migration.version()));
        info!(
            migration.version = migration.version(),
            migration.file = migration.file_name(),
            "Migration {} is applied after {} ms",
            migration.description(),
            started.elapsed().as_millis(),
        );
    }
    Ok(())
}

/// Takes the lock. Returns what the database has and lacks under it; or, when another migrator brings it to the end in the meantime, that it
/// lacks nothing.
async fn wait_for_lock(
    session: &mut Session<'_>,
    seen: &State,
    set: &MigrationSet,
) -> Result<(State, Vec<i64>), MigrationError> {
    let started = Instant::now();
    let limit = session.limits().lock_timeout;
    let mut pause = LOCK_PAUSE_FIRST;
    loop {
        let (locked, state) = session.try_lock(seen).await?;
        let versions = pending(&state, set)?;
        if locked || versions.is_empty() {
            return Ok((state, versions));
        }
        let waited = started.elapsed();
        if waited + pause >= limit {
            return Err(MigrationError::Locked { waited });
        }
        debug!("Another migrator is at work on the database, waiting");
        sleep(pause).await;
        pause = (pause * 2).min(LOCK_PAUSE_MAX);
    }
}

/// The versions to apply, unless something is in their way.
fn pending(state: &State, set: &MigrationSet) -> Result<Vec<i64>, MigrationError> {
    match compare(&state.applied, set) {
        MigrationState::UpToDate => Ok(Vec::new()),
        MigrationState::Pending { versions } => Ok(versions),
        MigrationState::Ahead { version } => Err(MigrationError::Ahead {
            version,
            target: set.target_version(),
        }),
        MigrationState::Changed { version, file } => Err(MigrationError::Changed { version, file }),
        MigrationState::Missing { version } => Err(MigrationError::Missing { version }),
        MigrationState::Dirty { version, file } => Err(MigrationError::Dirty { version, file }),
    }
}
