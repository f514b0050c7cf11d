//! Queue jobs that run the steps of deletions.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service_kit::error_chain;
use sqlx::{PgPool, Row as _};
use tracing::warn;

use super::{DeletionTarget, DeletionWorker, FileStore, NextStep, run_step};
use crate::ids::{DeletionId, WorkspaceId};
use crate::jobs::{self, Attempt, Job, JobError, JobHandler, JobRegistry, QueueError};

/// Recorded as the reason for a retry without an error.
const WAITING: &str = "waiting for another deletion to finish";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteWorkspace {
    pub deletion: DeletionId,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteAccount {
    pub deletion: DeletionId,
}

/// Deletes files that were uploaded after their workspace was deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteLateUploads {
    pub workspace: WorkspaceId,
    /// Region of the workspace, which determines the bucket.
    pub region: Option<String>,
}

/// Registers the jobs of this module.
pub fn register_jobs(worker: &DeletionWorker, registry: JobRegistry) -> JobRegistry {
    registry
        .with::<DeleteWorkspace>(worker.clone())
        .with::<DeleteAccount>(worker.clone())
        .with::<DeleteLateUploads>(worker.clone())
}

impl Job for DeleteWorkspace {
    const NAME: &'static str = "delete_workspace";

    fn key(&self) -> String {
        format!("deletion:{}", self.deletion)
    }

    fn queue_name(&self) -> Option<String> {
        Some(self.key())
    }
}

impl JobHandler for DeleteWorkspace {
    type Context = DeletionWorker;

    async fn run(self, worker: DeletionWorker, attempt: Attempt) -> Result<(), JobError> {
        run_steps(&worker, self.deletion, attempt).await
    }
}

impl Job for DeleteAccount {
    const NAME: &'static str = "delete_account";

    fn key(&self) -> String {
        format!("deletion:{}", self.deletion)
    }

    fn queue_name(&self) -> Option<String> {
        Some(self.key())
    }
}

impl JobHandler for DeleteAccount {
    type Context = DeletionWorker;

    async fn run(self, worker: DeletionWorker, attempt: Attempt) -> Result<(), JobError> {
        run_steps(&worker, self.deletion, attempt).await
    }
}

/// Lower priority than deletions that users wait for.
const PRIORITY: i16 = 10;

impl Job for DeleteLateUploads {
    const NAME: &'static str = "delete_late_uploads";

    fn key(&self) -> String {
        format!("late-uploads:{}", self.workspace)
    }

    fn priority(&self) -> i16 {
        PRIORITY
    }
}

impl JobHandler for DeleteLateUploads {
    type Context = DeletionWorker;

    async fn run(self, worker: DeletionWorker, attempt: Attempt) -> Result<(), JobError> {
        match worker
            .files
            .delete_all(self.region.as_deref(), &self.workspace)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(JobError::with_backoff(attempt, error)),
        }
    }
}

/// Runs steps until the deletion is finished or has to wait.
async fn run_steps(
    worker: &DeletionWorker,
    deletion: DeletionId,
    attempt: Attempt,
) -> Result<(), JobError> {
    loop {
        match run_step(worker, deletion).await {
            Ok(NextStep::Continue) => {}
            Ok(NextStep::Done) => return Ok(()),
            Ok(NextStep::RetryAfter(retry_after)) => {
                return Err(JobError {
                    retry_after,
                    reason: WAITING.to_owned(),
                });
            }
            Ok(NextStep::RetryWithBackoff) => return Err(JobError::with_backoff(attempt, WAITING)),
            Err(error) => {
                warn!(
                    deletion.id = %deletion,
                    error = %error_chain(&error),
                    "deletion step failed"
                );
                return Err(JobError::with_backoff(attempt, error));
            }
        }
    }
}

/// Enqueues a job for every unfinished deletion that has none, because it was given up or was lost
/// when the database was restored from a backup. Returns the number of unfinished deletions.
pub async fn resume(database: &PgPool) -> Result<usize, QueueError> {
    /// Maximum number of deletions per call.
    const MAX_DELETIONS: i64 = 1_000;
    /// Younger deletions still have their job.
    const MIN_AGE: Duration = Duration::from_mins(2);
    let rows = sqlx::query(
        "SELECT id, kind FROM deletions
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
            DeletionTarget::Workspace => {
                jobs::add_if_absent(database, &DeleteWorkspace { deletion }).await?;
            }
            DeletionTarget::Account => {
                jobs::add_if_absent(database, &DeleteAccount { deletion }).await?;
            }
        }
    }
    Ok(rows.len())
}
