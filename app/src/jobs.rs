//! The durable job queue: the table `jobs` of the app's main database. Jobs are enqueued in the
//! transaction that makes them necessary.
//!
//! A [`Job`] is a small value (ids, never content) with a key. Enqueuing a job whose key is already
//! waiting replaces it, so a double click results in one job; enqueuing one whose key is running
//! adds another behind it. Jobs with the same queue name run one after another, across all
//! processes. A job that returns a [`JobError`] is rescheduled, unless a newer job has taken its
//! key or it was cancelled in the meantime.
//!
//! A worker claims a job for the time of a lease and renews the lease while the job runs. If the
//! worker dies, the lease expires and the job restarts elsewhere within seconds
//! ([`WorkerTimings`]). A job that crashes its worker repeatedly is given up after
//! [`Job::MAX_STARTS`] and stays in the table as a dead letter ([`backlog()`]). Delivery is at least
//! once, so jobs must be idempotent.

mod backlog;
mod capacity;
mod registry;
mod run;
mod running;
mod store;
mod trace;
mod worker;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgExecutor;

pub use backlog::{Backlog, backlog};
pub use registry::JobRegistry;
pub use worker::{Worker, WorkerConfig, WorkerTimings};

pub(crate) use backlog::delete_old_dead_jobs;

/// Default of [`Job::MAX_STARTS`].
pub const DEFAULT_MAX_STARTS: i16 = 25;
/// Default of [`JobHandler::TIMEOUT`]: far longer than the longest document takes.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// A unit of durable background work.
pub trait Job: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name in the table, in `snake_case`. Neither the name nor the fields may change
    /// incompatibly while jobs of this type may be waiting.
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
    /// Whether a run may take minutes. Long jobs of one workspace leave room for those of others,
    /// and all long jobs leave room for short ones ([`WorkerConfig::concurrency`]).
    const IS_LONG: bool = false;

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

/// Enqueues a job as part of the caller's transaction. It starts as soon as a worker is free.
pub async fn add<J: Job>(executor: impl PgExecutor<'_>, job: &J) -> Result<(), QueueError> {
    insert(executor, job, Duration::ZERO, Existing::Replace).await
}

/// Enqueues a job that starts after `delay`.
pub async fn add_after<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
    delay: Duration,
) -> Result<(), QueueError> {
    insert(executor, job, delay, Existing::Replace).await
}

/// Enqueues a job unless one with its key is waiting or running.
pub async fn add_if_absent<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
) -> Result<(), QueueError> {
    insert(executor, job, Duration::ZERO, Existing::Keep).await
}

/// Removes the waiting job with this key. A running job is not interrupted: it has to check whether
/// it is still needed, and is not rescheduled.
pub async fn cancel(executor: impl PgExecutor<'_>, key: &str) -> Result<(), QueueError> {
    sqlx::query("SELECT cancel_job($1)")
        .bind(key)
        .execute(executor)
        .await?;
    Ok(())
}

/// Starts the waiting jobs of this type now whose payload has this value in a field.
pub async fn start_now<J: Job>(
    executor: impl PgExecutor<'_>,
    field: &str,
    value: &str,
) -> Result<(), QueueError> {
    sqlx::query(
        "UPDATE jobs SET run_at = now()
          WHERE kind = $1 AND payload ->> $2 = $3 AND worker IS NULL AND dead_at IS NULL AND run_at > now()",
    )
    .bind(J::NAME)
    .bind(field)
    .bind(value)
    .execute(executor)
    .await?;
    Ok(())
}

/// What happens to another job with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    Keep,
}

async fn insert<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
    delay: Duration,
    existing: Existing,
) -> Result<(), QueueError> {
    let payload = serde_json::to_value(job).map_err(QueueError::Payload)?;
    sqlx::query("SELECT add_job($1, $2, $3, $4, $5, $6, make_interval(secs => $7), $8, $9)")
        .bind(J::NAME)
        .bind(job.key())
        .bind(job.queue_name())
        .bind(job.priority())
        .bind(payload)
        .bind(trace::current())
        .bind(delay.as_secs_f64())
        .bind(J::MAX_STARTS)
        .bind(existing == Existing::Keep)
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
