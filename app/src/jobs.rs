//! The durable job queue: jobs in the app's main database, enqueued in the transaction that makes
//! them necessary.
//!
//! A [`Job`] is a small value (ids, never content) with a key. Enqueuing a job whose key is already
//! waiting replaces it, so a double click results in one job; enqueuing one whose key is running
//! adds another behind it. Jobs with the same queue name run one after another, across all
//! processes. A job that returns a [`JobError`] is rescheduled, unless a newer job has taken its
//! key or it was cancelled in the meantime. A worker that dies is noticed by its missing heartbeat,
//! and its jobs restart elsewhere within seconds ([`WorkerTimings`]). A job that crashes its worker
//! repeatedly is given up after [`Job::MAX_STARTS`] and stays in the table as a dead letter
//! ([`backlog()`]). Delivery is at least once, so jobs must be idempotent.

mod backlog;
mod registry;
mod trace;
mod worker;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{PgExecutor, PgPool};

pub use backlog::{Backlog, backlog};
pub use registry::JobRegistry;
pub use worker::{Worker, WorkerConfig, WorkerTimings};

pub(crate) use backlog::collect_garbage;
use registry::JobPayload;

/// The schema of the queue's tables in the main database.
pub const SCHEMA: &str = "graphile_worker";
/// Default of [`Job::MAX_STARTS`].
pub const DEFAULT_MAX_STARTS: i16 = 25;
/// Default of [`JobHandler::TIMEOUT`]: far longer than the longest document takes.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// A unit of durable background work.
pub trait Job: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name in the queue's tables, in `snake_case`. Must not change while jobs of this type may
    /// be waiting.
    const NAME: &'static str;
    /// How often the job may be started without finishing (because of a panic or a killed process)
    /// before it is given up.
    const MAX_STARTS: i16 = DEFAULT_MAX_STARTS;

    /// At most one job per key is waiting.
    fn key(&self) -> String;

    /// Jobs with the same queue name never run at the same time.
    fn queue_name(&self) -> Option<String> {
        None
    }

    /// Lower runs first.
    fn priority(&self) -> i16 {
        0
    }
}

/// How a worker runs a type of job.
pub trait JobHandler: Job {
    /// Shared dependencies of all jobs of this type.
    type Context: Clone + Send + Sync + 'static;
    /// How long one attempt may take before it is dropped and retried. Without this limit, a job
    /// that waits forever on a dead connection would block its queue until the process ends,
    /// because the worker's heartbeats use another connection.
    const TIMEOUT: Duration = DEFAULT_TIMEOUT;

    /// Runs the job. The future may be dropped at any await point (at shutdown or after
    /// [`JobHandler::TIMEOUT`]); the job is then restarted.
    fn run(
        self,
        context: Self::Context,
        attempt: Attempt,
    ) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// One execution of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Starts at 1 and grows with each [`JobError`]. Restarts after a crash do not count.
    pub number: u32,
}

/// A transient error: the job is retried later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; retrying in {} ms", retry_after.as_millis())]
pub struct JobError {
    pub retry_after: Duration,
    /// For the log; never contains document content.
    pub reason: String,
}

impl JobError {
    /// Retries after [`backoff`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "lets callers pass errors by value"
    )]
    pub fn with_backoff(attempt: Attempt, reason: impl ToString) -> Self {
        Self {
            retry_after: backoff(attempt.number),
            reason: reason.to_string(),
        }
    }
}

/// The wait after the first failed attempt; it doubles with each further one.
pub const MIN_BACKOFF: Duration = Duration::from_secs(1);
pub const MAX_BACKOFF: Duration = Duration::from_mins(2);

/// How long to wait after the given attempt (from 1) failed.
pub fn backoff(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    MIN_BACKOFF.saturating_mul(1 << doublings).min(MAX_BACKOFF)
}

/// Creates or updates the queue's tables and functions in the main database. Required before jobs
/// can be added.
pub async fn migrate(database: &PgPool) -> Result<(), QueueError> {
    graphile_worker::WorkerUtils::new(database.clone(), SCHEMA)
        .migrate()
        .await
        .map_err(|error| QueueError::Migrate(Box::new(error)))
}

/// Enqueues a job as part of the caller's transaction. It starts as soon as a worker is free.
pub async fn add<J: Job>(executor: impl PgExecutor<'_>, job: &J) -> Result<(), QueueError> {
    insert(executor, job, 1, Duration::ZERO, trace::current()).await
}

/// Enqueues a job that starts after `delay`.
pub async fn add_after<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
    delay: Duration,
) -> Result<(), QueueError> {
    insert(executor, job, 1, delay, trace::current()).await
}

/// Removes the waiting job with this key. A running job is not interrupted: it has to check whether
/// it is still needed, and is not rescheduled.
pub async fn cancel(executor: impl PgExecutor<'_>, key: &str) -> Result<(), QueueError> {
    sqlx::query("SELECT graphile_worker.remove_job($1)")
        .bind(key)
        .execute(executor)
        .await?;
    Ok(())
}

async fn insert<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
    attempt: u32,
    delay: Duration,
    trace: Option<String>,
) -> Result<(), QueueError> {
    let payload = serde_json::to_value(JobPayload {
        job: job.clone(),
        attempt,
        trace,
    })
    .map_err(QueueError::Payload)?;
    let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    sqlx::query(
        "SELECT graphile_worker.add_job(
             identifier => $1, payload => $2::json, queue_name => $3, max_attempts => $4::int,
             job_key => $5, priority => $6::int,
             run_at => CASE WHEN $7::bigint > 0 THEN now() + $7::bigint * interval '1 millisecond' END)",
    )
    .bind(J::NAME)
    .bind(payload)
    .bind(job.queue_name())
    .bind(i32::from(J::MAX_STARTS))
    .bind(job.key())
    .bind(i32::from(job.priority()))
    .bind(delay_ms)
    .execute(executor)
    .await?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("query on the job queue failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to serialize the job")]
    Payload(#[source] serde_json::Error),
    #[error("failed to migrate the job queue's tables")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to clean up the job queue's tables")]
    Cleanup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another worker took the job over because this one was declared dead.
    #[error("another worker has taken over the job")]
    TakenOver,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_the_maximum() {
        let seconds: Vec<u64> = (1..=10).map(|attempt| backoff(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!(backoff(u32::MAX), MAX_BACKOFF);
        assert_eq!(backoff(0), MIN_BACKOFF);
    }
}
