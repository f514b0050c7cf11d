//! Counts of waiting, running and dead jobs for the metrics, and cleanup of the queue's tables.

use sqlx::{PgExecutor, PgPool};

use super::{QueueError, SCHEMA};

/// The jobs of one type.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Backlog {
    /// The jobs' [`super::Job::NAME`].
    pub kind: String,
    /// Ready to start now.
    pub ready: i64,
    /// Waiting for their start time.
    pub scheduled: i64,
    pub running: i64,
    /// Given up; kept as dead letters.
    pub dead: i64,
}

/// Counts the jobs by type.
pub async fn backlog(executor: impl PgExecutor<'_>) -> Result<Vec<Backlog>, QueueError> {
    Ok(sqlx::query_as(
        "SELECT tasks.identifier AS kind,
                count(*) FILTER (WHERE jobs.is_available AND jobs.run_at <= now()) AS ready,
                count(*) FILTER (WHERE jobs.is_available AND jobs.run_at > now()) AS scheduled,
                count(*) FILTER (WHERE jobs.locked_at IS NOT NULL) AS running,
                count(*) FILTER (WHERE jobs.key IS NOT NULL AND jobs.locked_at IS NULL
                                   AND NOT jobs.is_available) AS dead
           FROM graphile_worker._private_jobs AS jobs
           JOIN graphile_worker._private_tasks AS tasks ON tasks.id = jobs.task_id
          GROUP BY tasks.identifier ORDER BY tasks.identifier",
    )
    .fetch_all(executor)
    .await?)
}

/// Deletes replaced jobs, and queue names without jobs.
pub(crate) async fn collect_garbage(database: &PgPool) -> Result<(), QueueError> {
    sqlx::query(
        "DELETE FROM graphile_worker._private_jobs
          WHERE key IS NULL AND locked_at IS NULL AND NOT is_available",
    )
    .execute(database)
    .await?;
    graphile_worker::WorkerUtils::new(database.clone(), SCHEMA)
        .cleanup(&[graphile_worker::worker_utils::types::CleanupTask::GcJobQueues])
        .await
        .map_err(|error| QueueError::Cleanup(Box::new(error)))
}
