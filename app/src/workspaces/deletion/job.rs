//! The steps as jobs of the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};

use super::{FileStore, DeletionTarget, NextStep, DeletionWorker, step};
use crate::ids::{DeletionId, WorkspaceId};
use crate::jobs::{self, Job, QueueError, Registry, Setback, Turn};

/// Why a deletion comes back that met no trouble.
const WAITING: &str = "the deletion waits for something to go";

/// Takes a workspace away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteWorkspace {
    /// Which deletion.
    pub deletion: DeletionId,
}

/// Takes an account away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteAccount {
    /// Which deletion.
    pub deletion: DeletionId,
}

/// Takes away what arrived in a workspace's place after the workspace was gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteLateUploads {
    /// Whose place.
    pub workspace: WorkspaceId,
    /// Its region, which says in which bucket the place is.
    pub region: Option<String>,
}

/// The jobs of this folder, to be done with `worker`.
pub fn register_jobs(worker: &DeletionWorker, registry: Registry) -> Registry {
    registry
        .with::<DeleteWorkspace>(worker.clone())
        .with::<DeleteAccount>(worker.clone())
        .with::<DeleteLateUploads>(worker.clone())
}

impl Job for DeleteWorkspace {
    type State = DeletionWorker;
    const NAME: &'static str = "delete_workspace";

    fn key(&self) -> String {
        format!("deletion:{}", self.deletion)
    }

    fn lane(&self) -> Option<String> {
        Some(self.key())
    }

    async fn run(self, worker: DeletionWorker, turn: Turn) -> Result<(), Setback> {
        run_steps(&worker, self.deletion, turn).await
    }
}

impl Job for DeleteAccount {
    type State = DeletionWorker;
    const NAME: &'static str = "delete_account";

    fn key(&self) -> String {
        format!("deletion:{}", self.deletion)
    }

    fn lane(&self) -> Option<String> {
        Some(self.key())
    }

    async fn run(self, worker: DeletionWorker, turn: Turn) -> Result<(), Setback> {
        run_steps(&worker, self.deletion, turn).await
    }
}

/// Behind the removals that people wait for.
const PRIORITY: i16 = 10;

impl Job for DeleteLateUploads {
    type State = DeletionWorker;
    const NAME: &'static str = "delete_late_uploads";

    fn key(&self) -> String {
        format!("late-files:{}", self.workspace)
    }

    fn priority(&self) -> i16 {
        PRIORITY
    }

    async fn run(self, worker: DeletionWorker, turn: Turn) -> Result<(), Setback> {
        match worker
            .files
            .remove_all(self.region.as_deref(), &self.workspace)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(Setback::backoff(turn, error)),
        }
    }
}

/// DeletionStep after step, until there is none or something has to be waited for.
async fn run_steps(worker: &DeletionWorker, deletion: DeletionId, turn: Turn) -> Result<(), Setback> {
    loop {
        match run_step(worker, deletion).await {
            Ok(NextStep::Continue) => {}
            Ok(NextStep::Done) => return Ok(()),
            Ok(NextStep::RetryAfter(after)) => {
                return Err(Setback {
                    after,
                    why: WAITING.to_owned(),
                });
            }
            Ok(NextStep::RetryWithBackoff) => return Err(Setback::backoff(turn, WAITING)),
            Err(error) => {
                tracing::warn!(
                    deletion.id = %deletion,
                    error = &error as &dyn std::error::Error,
                    "A step of a deletion was not done"
                );
                return Err(Setback::backoff(turn, error));
            }
        }
    }
}

/// Adds a job for every deletion that is not done, and returns how many that were. A job that was given up, or lost with a
/// restored queue, is made up for by this.
pub async fn resume(database: &PgPool) -> Result<usize, QueueError> {
    /// Removals of one look.
    const MAX_DELETIONS: i64 = 1_000;
    /// Whoever began this lately has a job.
    const MIN_AGE: Duration = Duration::from_mins(2);
    let rows = sqlx::query(
        "SELECT id, kind FROM removals
         WHERE finished_at IS NULL AND requested_at < now() - make_interval(secs => $2)
         ORDER BY requested_at LIMIT $1",
    )
    .bind(MAX_DELETIONS)
    .bind(MIN_AGE.as_secs_f64())
    .fetch_all(database)
    .await?;
    for row in &rows {
        let deletion = DeletionId(row.try_get("id")?);
        match row.try_get("kind")? {
            DeletionTarget::Workspace => jobs::add(database, &DeleteWorkspace { deletion }).await?,
            DeletionTarget::Account => jobs::add(database, &DeleteAccount { deletion }).await?,
        }
    }
    Ok(rows.len())
}
