//! The statements that workers run on the table `jobs`.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{QueueError, backoff};

/// A job that is locked by a worker.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct ClaimedJob {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) payload: Value,
    pub(super) traceparent: Option<String>,
    pub(super) attempt: i32,
    pub(super) starts: i16,
    pub(super) worker: Uuid,
}

impl ClaimedJob {
    /// The workspace that the job is about, if any.
    pub(super) fn workspace(&self) -> Option<&str> {
        self.payload.get("workspace")?.as_str()
    }

    /// Runs the job again after a transient error.
    pub(super) fn retry(&self, after: Duration, reason: String) -> NextRun {
        NextRun {
            attempt: self.attempt.saturating_add(1),
            error: Some(reason),
            ..NextRun::repeat(after)
        }
    }

    /// Runs the job again immediately, as if it had not been started.
    pub(super) fn interrupted(&self) -> NextRun {
        NextRun {
            attempt: self.attempt,
            starts: self.starts.saturating_sub(1),
            ..NextRun::repeat(Duration::ZERO)
        }
    }

    /// Runs the job again with backoff, or gives it up after too many starts.
    pub(super) fn crashed(&self, reason: impl Into<String>) -> NextRun {
        NextRun {
            after: backoff(self.starts.unsigned_abs().into()),
            attempt: self.attempt,
            starts: self.starts,
            error: Some(reason.into()),
            is_crash: true,
        }
    }
}

/// The jobs that a worker may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Startable {
    /// Types of short jobs.
    pub(super) short: Vec<String>,
    /// Types of long jobs; empty if all their slots are taken.
    pub(super) long: Vec<String>,
    /// Workspaces whose long jobs have to wait for one of their own.
    pub(super) busy_workspaces: Vec<String>,
}

/// When and how a job runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NextRun {
    pub(super) after: Duration,
    attempt: i32,
    starts: i16,
    pub(super) error: Option<String>,
    is_crash: bool,
}

impl NextRun {
    /// Runs the job again after it succeeded.
    pub(super) fn repeat(after: Duration) -> Self {
        Self {
            after,
            attempt: 1,
            starts: 0,
            error: None,
            is_crash: false,
        }
    }
}

/// What became of a job whose run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Rescheduled,
    GivenUp,
    /// Deleted, because a newer job has its key or because it was cancelled.
    Superseded,
    /// Left to the worker that has taken it over.
    TakenOver,
}

/// Locks the first job that is ready and may be started, if any.
///
/// Only the first ready job of a queue is considered, so that workers do not compete for jobs of the
/// same queue. If two workers still claim jobs of one queue at the same moment, because one of them
/// does not see a new job yet, the unique index stops the second one.
pub(super) async fn claim(
    database: &PgPool,
    worker: Uuid,
    startable: &Startable,
    lease: Duration,
) -> Result<Option<ClaimedJob>, QueueError> {
    let claimed = sqlx::query_as(
        "UPDATE jobs SET worker = $1, lease_until = now() + make_interval(secs => $3), starts = starts + 1
          WHERE id = (
              SELECT id FROM jobs AS job
               WHERE worker IS NULL AND dead_at IS NULL AND run_at <= now()
                 AND (kind = ANY($2) OR (kind = ANY($4) AND coalesce(payload ->> 'workspace', '') <> ALL($5)))
                 AND NOT EXISTS (SELECT FROM jobs AS running WHERE running.worker IS NOT NULL AND running.queue = job.queue)
                 AND NOT EXISTS (
                     SELECT FROM jobs AS earlier
                      WHERE earlier.worker IS NULL AND earlier.dead_at IS NULL AND earlier.queue = job.queue
                        AND earlier.run_at <= now()
                        AND (earlier.priority, earlier.run_at, earlier.id) < (job.priority, job.run_at, job.id))
               ORDER BY priority, run_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING id, kind, key, payload, traceparent, attempt, starts, worker",
    )
    .bind(worker)
    .bind(&startable.short)
    .bind(lease.as_secs_f64())
    .bind(&startable.long)
    .bind(&startable.busy_workspaces)
    .fetch_optional(database)
    .await;
    match claimed {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        claimed => Ok(claimed?),
    }
}

/// Renews the leases of these jobs, and returns those that this worker still holds. Does not wait
/// for rows that a transaction is marking as superseded; the next renewal includes them.
pub(super) async fn renew(
    database: &PgPool,
    worker: Uuid,
    jobs: &[i64],
    lease: Duration,
) -> Result<Vec<i64>, QueueError> {
    Ok(sqlx::query_scalar(
        "WITH renewed AS (
             UPDATE jobs SET lease_until = now() + make_interval(secs => $3)
              WHERE id IN (SELECT id FROM jobs WHERE id = ANY($2) AND worker = $1 FOR NO KEY UPDATE SKIP LOCKED))
         SELECT id FROM jobs WHERE id = ANY($2) AND worker = $1",
    )
    .bind(worker)
    .bind(jobs)
    .bind(lease.as_secs_f64())
    .fetch_all(database)
    .await?)
}

/// Jobs whose worker has not renewed its lease.
pub(super) async fn expired(executor: impl PgExecutor<'_>) -> Result<Vec<ClaimedJob>, QueueError> {
    /// The next call returns the rest.
    const MAX_JOBS: i64 = 100;
    Ok(sqlx::query_as(
        "SELECT id, kind, key, payload, traceparent, attempt, starts, worker FROM jobs
          WHERE worker IS NOT NULL AND lease_until < now() ORDER BY lease_until LIMIT $1",
    )
    .bind(MAX_JOBS)
    .fetch_all(executor)
    .await?)
}

/// Deletes a job that is done.
pub(super) async fn finish(
    executor: impl PgExecutor<'_>,
    job: &ClaimedJob,
) -> Result<Outcome, QueueError> {
    let deleted = sqlx::query("DELETE FROM jobs WHERE id = $1 AND worker = $2")
        .bind(job.id)
        .bind(job.worker)
        .execute(executor)
        .await?;
    Ok(match deleted.rows_affected() {
        0 => Outcome::TakenOver,
        _ => Outcome::Done,
    })
}

/// Unlocks a job for its next run, or gives it up. With `only_expired`, only if its worker has not
/// renewed the lease.
pub(super) async fn reschedule(
    database: &PgPool,
    job: &ClaimedJob,
    next: &NextRun,
    only_expired: bool,
) -> Result<Outcome, QueueError> {
    let mut transaction = database.begin().await?;
    // The key before the row, in the same order as adding a job does. A job with this key is added
    // entirely before or after this.
    sqlx::query("SELECT lock_job_key($1)")
        .bind(&job.key)
        .execute(&mut *transaction)
        .await?;
    let is_superseded: Option<bool> = sqlx::query_scalar(
        "SELECT superseded FROM jobs
          WHERE id = $1 AND worker = $2 AND (lease_until < now() OR NOT $3) FOR UPDATE",
    )
    .bind(job.id)
    .bind(job.worker)
    .bind(only_expired)
    .fetch_optional(&mut *transaction)
    .await?;
    let outcome = match is_superseded {
        None => return Ok(Outcome::TakenOver),
        Some(true) => {
            finish(&mut *transaction, job).await?;
            Outcome::Superseded
        }
        Some(false) if unlock(&mut transaction, job, next).await? => Outcome::GivenUp,
        Some(false) => Outcome::Rescheduled,
    };
    transaction.commit().await?;
    Ok(outcome)
}

/// Returns whether the job was given up.
async fn unlock(
    transaction: &mut PgConnection,
    job: &ClaimedJob,
    next: &NextRun,
) -> sqlx::Result<bool> {
    let is_dead = sqlx::query_scalar(
        "UPDATE jobs SET worker = NULL, lease_until = NULL, run_at = now() + make_interval(secs => $2),
                attempt = $3, starts = $4, last_error = coalesce($5, last_error),
                dead_at = CASE WHEN $6 AND $4 >= max_starts THEN now() END
          WHERE id = $1 RETURNING dead_at IS NOT NULL",
    )
    .bind(job.id)
    .bind(next.after.as_secs_f64())
    .bind(next.attempt)
    .bind(next.starts)
    .bind(next.error.as_deref())
    .bind(next.is_crash)
    .fetch_one(&mut *transaction)
    .await?;
    if next.after.is_zero() {
        sqlx::query("NOTIFY jobs").execute(transaction).await?;
    }
    Ok(is_dead)
}
