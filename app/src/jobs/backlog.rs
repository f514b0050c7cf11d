//! Counts of waiting, running and dead jobs for the metrics, and cleanup of the table.

use std::time::Duration;

use sqlx::PgExecutor;

use super::QueueError;

/// How long dead jobs are kept for inspection.
const DEAD_RETENTION: Duration = Duration::from_hours(14 * 24);

/// The jobs of one type.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Backlog {
    /// The jobs' [`super::Job::NAME`].
    pub kind: String,
    /// Ready to start now.
    pub ready: i64,
    /// How long the first of them has been ready.
    pub ready_seconds: f64,
    /// Waiting for their start time.
    pub scheduled: i64,
    pub running: i64,
    /// Given up; kept as dead letters.
    pub dead: i64,
}

/// Counts the jobs by type.
pub async fn backlog(executor: impl PgExecutor<'_>) -> Result<Vec<Backlog>, QueueError> {
    Ok(sqlx::query_as(
        "SELECT kind,
                count(*) FILTER (WHERE worker IS NULL AND dead_at IS NULL AND run_at <= now()) AS ready,
                coalesce(extract(epoch FROM now() - min(run_at)
                    FILTER (WHERE worker IS NULL AND dead_at IS NULL AND run_at <= now())), 0)::float8 AS ready_seconds,
                count(*) FILTER (WHERE worker IS NULL AND dead_at IS NULL AND run_at > now()) AS scheduled,
                count(*) FILTER (WHERE worker IS NOT NULL) AS running,
                count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead
           FROM jobs GROUP BY kind ORDER BY kind",
    )
    .fetch_all(executor)
    .await?)
}

/// Deletes dead jobs after a while, and returns their number.
pub(crate) async fn delete_old_dead_jobs(executor: impl PgExecutor<'_>) -> Result<u64, QueueError> {
    let deleted = sqlx::query("DELETE FROM jobs WHERE dead_at < now() - make_interval(secs => $1)")
        .bind(DEAD_RETENTION.as_secs_f64())
        .execute(executor)
        .await?;
    Ok(deleted.rows_affected())
}
