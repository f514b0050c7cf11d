//! The durable queue: jobs in the app's main database, added in the transaction that makes them necessary.
//!
//! A [`Job`] is a small value (ids, never content) with a key: adding one whose key waits already replaces it, so that a
//! double click is one job, and adding one whose key runs already puts a new one behind it. Jobs of one lane run one after
//! another, whichever process they run in. A job that meets trouble says when it wants to go on ([`Setback`]) and is put back
//! for then, unless a newer job has taken its key or it was cancelled meanwhile. A worker that dies is noticed by its heartbeat, and its jobs begin again elsewhere within seconds
//! ([`Times`]); a job that takes its worker with it every time is given up after [`Job::STARTS_MAX`] and stays in the
//! table as a dead letter ([`backlog()`]). The queue runs a job at least once: what it does must bear a repetition.

mod backlog;
mod registry;
mod trace;
mod worker;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{PgExecutor, PgPool};

pub use backlog::{Backlog, backlog};
pub use registry::Registry;
pub use worker::{Times, Worker, WorkerSettings};

pub(crate) use backlog::collect_garbage;
use registry::Envelope;

/// The schema of the queue's tables in the main database.
pub const SCHEMA: &str = "graphile_worker";
/// How often a job may be begun that never comes to an end by itself, unless the job says otherwise.
pub const STARTS_MAX: i16 = 25;
/// How long one turn of a job may take, unless the job says otherwise: far longer than the longest document needs.
pub const LIMIT: Duration = Duration::from_mins(30);

/// Something to be done later, and for certain.
pub trait Job: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// What the job needs to be done with.
    type State: Clone + Send + Sync + 'static;
    /// Its name in the queue's tables, in `snake_case`. Never changed once jobs of it may be waiting.
    const NAME: &'static str;
    /// How often it may be begun without coming to an end (a panic, or its process killed) before it is given up.
    const STARTS_MAX: i16 = STARTS_MAX;
    /// How long one turn may take before it is dropped and begun anew later. A connection that is lost without a word is waited on for
    /// ever, while the worker's heartbeats go by another one: without this limit the job would keep its lane until the process ends.
    const LIMIT: Duration = LIMIT;

    /// One job of a key waits at a time.
    fn key(&self) -> String;

    /// Jobs of one lane never run at the same time.
    fn lane(&self) -> Option<String> {
        None
    }

    /// Lower goes first.
    fn priority(&self) -> i16 {
        0
    }

    /// Does it. It may be dropped at any await (shutdown, [`Job::LIMIT`]) and is then begun anew.
    fn run(
        self,
        state: Self::State,
        turn: Turn,
    ) -> impl Future<Output = Result<(), Setback>> + Send;
}

/// One beginning of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// 1 for the first; one more after each [`Setback`].
    pub attempt: u32,
}

/// Something is in the way; the job wants to go on later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}; it goes on in {} ms", after.as_millis())]
pub struct Setback {
    /// How long to wait.
    pub after: Duration,
    /// For the log: never content.
    pub why: String,
}

impl Setback {
    /// To go on after [`backoff`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "so that errors can be handed over as they come"
    )]
    pub fn backoff(turn: Turn, why: impl ToString) -> Self {
        Self {
            after: backoff(turn.attempt),
            why: why.to_string(),
        }
    }
}

/// The first wait after trouble; each further one is twice as long.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest.
pub const BACKOFF_MAX: Duration = Duration::from_mins(2);

/// How long to wait after the attempt of this number (from 1) met trouble.
pub fn backoff(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX)
}

/// Makes the queue's tables and functions in the main database, or brings them up to date. Whoever adds jobs needs them.
pub async fn migrate(database: &PgPool) -> Result<(), QueueError> {
    graphile_worker::WorkerUtils::new(database.clone(), SCHEMA)
        .migrate()
        .await
        .map_err(|error| QueueError::Migrate(Box::new(error)))
}

/// Adds a job, to be begun as soon as a worker is free: with the caller's transaction or not at all.
pub async fn add<J: Job>(executor: impl PgExecutor<'_>, job: &J) -> Result<(), QueueError> {
    put(executor, job, 1, Duration::ZERO, trace::current()).await
}

/// Adds a job that begins after `delay`.
pub async fn add_after<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
    delay: Duration,
) -> Result<(), QueueError> {
    put(executor, job, 1, delay, trace::current()).await
}

/// Takes a waiting job of this key away. One that runs is not begun again, but stops only when it looks whether it is still
/// wanted.
pub async fn cancel(executor: impl PgExecutor<'_>, key: &str) -> Result<(), QueueError> {
    sqlx::query("SELECT graphile_worker.remove_job($1)")
        .bind(key)
        .execute(executor)
        .await?;
    Ok(())
}

async fn put<J: Job>(
    executor: impl PgExecutor<'_>,
    job: &J,
    attempt: u32,
    delay: Duration,
    trace: Option<String>,
) -> Result<(), QueueError> {
    let payload = serde_json::to_value(Envelope {
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
    .bind(job.lane())
    .bind(i32::from(J::STARTS_MAX))
    .bind(job.key())
    .bind(i32::from(job.priority()))
    .bind(delay_ms)
    .execute(executor)
    .await?;
    Ok(())
}

/// The queue's tables could not be reached or changed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The statement failed; the caller's transaction with it.
    #[error("the queue in the main database did not answer")]
    Database(#[from] sqlx::Error),
    /// A job cannot be written as JSON.
    #[error("the job cannot be written down")]
    Payload(#[source] serde_json::Error),
    /// The tables could not be made.
    #[error("the queue's tables could not be made")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Lanes without jobs could not be removed.
    #[error("the queue's tables could not be swept")]
    Cleanup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another worker took the job for a dead one's.
    #[error("another worker has the job")]
    TakenOver,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_at_the_longest() {
        let waits: Vec<u64> = (1..=10).map(|attempt| backoff(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
        assert_eq!(backoff(0), BACKOFF_MIN);
    }
}
