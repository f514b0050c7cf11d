//! The types of jobs that a worker runs, each with its dependencies.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use graphile_worker::{
    Cron, CronJobKeyMode, Crontab, IntoTaskHandlerResult, JobDefinition, TaskHandler,
    WorkerContext, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tracing::{Instrument as _, info, info_span, warn};

use super::{Attempt, Job, JobError, JobHandler, QueueError, insert, trace};

/// Every module registers its own jobs.
#[derive(Default)]
pub struct JobRegistry {
    definitions: Vec<JobDefinition>,
    crontabs: Vec<Crontab>,
    contexts: Vec<InstallContext>,
}

/// Adds a context to the queue's worker.
type InstallContext = Box<dyn Fn(WorkerOptions) -> WorkerOptions + Send + Sync>;

impl JobRegistry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a job type. If several job types share a context type, the last registered context
    /// applies to all of them.
    #[must_use]
    pub fn with<J: JobHandler>(mut self, context: J::Context) -> Self {
        self.definitions.push(JobDefinition::of::<Task<J>>());
        self.contexts.push(Box::new(move |options| {
            options.add_extension(JobContext(context.clone()))
        }));
        self
    }

    /// Like [`JobRegistry::with`], and additionally enqueues one job under `key` every minute,
    /// independently of the number of workers.
    #[must_use]
    pub fn with_every_minute<J: JobHandler>(mut self, context: J::Context, key: &str) -> Self {
        self.crontabs.push(
            Cron::every_minute::<Task<J>>()
                // A job without fields is an empty object; without a payload the queue passes
                // `null`.
                .payload_value(serde_json::json!({}))
                .job_key(key)
                .job_key_mode(CronJobKeyMode::Replace)
                .build(),
        );
        self.with::<J>(context)
    }

    pub(super) fn options(&self) -> WorkerOptions {
        let options = WorkerOptions::default()
            .define_jobs(self.definitions.iter().cloned())
            .with_crons(self.crontabs.iter().cloned());
        self.contexts
            .iter()
            .fold(options, |options, install| install(options))
    }
}

impl fmt::Debug for JobRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .definitions
            .iter()
            .map(JobDefinition::identifier)
            .collect();
        f.debug_struct("JobRegistry")
            .field("jobs", &names)
            .finish_non_exhaustive()
    }
}

/// The queue requires `Debug` of its extensions; this wrapper keeps contexts, which contain
/// secrets, out of logs.
#[derive(Clone)]
struct JobContext<S>(S);

impl<S> fmt::Debug for JobContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobContext")
    }
}

/// A job as stored in the table.
#[derive(Serialize, Deserialize)]
#[serde(bound = "J: Job")]
pub(super) struct JobPayload<J> {
    #[serde(flatten)]
    pub(super) job: J,
    /// Missing in jobs that the schedule adds.
    #[serde(default = "first")]
    pub(super) attempt: u32,
    /// The `traceparent` of the code that enqueued the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
}

fn first() -> u32 {
    1
}

/// The handler that the queue calls: decodes the job, runs it, and reschedules it after an error.
#[derive(Serialize, Deserialize)]
#[serde(bound = "J: Job")]
struct Task<J> {
    #[serde(flatten)]
    payload: JobPayload<J>,
    #[serde(skip)]
    kind: PhantomData<J>,
}

impl<J: JobHandler> TaskHandler for Task<J> {
    const IDENTIFIER: &'static str = J::NAME;

    async fn run(self, worker: WorkerContext) -> impl IntoTaskHandlerResult {
        let JobPayload {
            job,
            attempt: number,
            trace,
        } = self.payload;
        let span = info_span!("job", job.kind = J::NAME, job.attempt = number);
        trace::continue_in(&span, trace.as_deref());
        let Some(JobContext(context)) = worker.get_ext::<JobContext<J::Context>>().cloned() else {
            return Err("the worker has no context for this type of job".to_owned());
        };
        let attempt = Attempt { number };
        let result = job.clone().run(context, attempt).instrument(span);
        let result = tokio::time::timeout(J::TIMEOUT, result)
            .await
            .unwrap_or_else(|_| {
                let timeout = J::TIMEOUT.as_secs();
                Err(JobError::with_backoff(
                    attempt,
                    format!("timed out after {timeout} s"),
                ))
            });
        let Err(error) = result else {
            return Ok(());
        };
        let Some(database) = worker.try_pg_pool() else {
            return Err("the worker has no connection pool".to_owned());
        };
        if error.retry_after.is_zero() {
            info!(
                job.kind = J::NAME,
                job.attempt = number,
                reason = error.reason,
                "job continues"
            );
        } else {
            warn!(
                job.kind = J::NAME,
                job.attempt = number,
                retry_after_ms = error.retry_after.as_millis(),
                error = error.reason,
                "job failed, retrying"
            );
        }
        let row = Row {
            id: *worker.job().id(),
            worker: worker.worker_id(),
        };
        let next = number.saturating_add(1);
        reschedule(database, row, &job, next, error.retry_after, trace)
            .await
            .map_err(|error| error.to_string())
    }
}

/// A running job's row.
#[derive(Clone, Copy)]
struct Row<'a> {
    id: i64,
    worker: &'a str,
}

/// Reschedules the job, unless its key was enqueued again, or it was cancelled or taken over by
/// another worker since it started.
async fn reschedule<J: Job>(
    database: &PgPool,
    row: Row<'_>,
    job: &J,
    attempt: u32,
    retry_after: Duration,
    trace: Option<String>,
) -> Result<(), QueueError> {
    let mut transaction = database.begin().await?;
    // Lock the key before the row, in the same order as adding a job does; the opposite order could
    // deadlock. An add with this key happens entirely before or after this. A job cancelled at this
    // moment may be rescheduled once more; it then finds out that it is no longer needed.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext($1))")
        .bind(job.key())
        .execute(&mut *transaction)
        .await?;
    let found: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT key, locked_by FROM graphile_worker._private_jobs WHERE id = $1 FOR UPDATE",
    )
    .bind(row.id)
    .fetch_optional(&mut *transaction)
    .await?;
    match found {
        // Returning `Ok` would delete the other worker's job, because the queue deletes jobs by id
        // alone.
        Some((_, holder)) if holder.as_deref() != Some(row.worker) => {
            return Err(QueueError::TakenOver);
        }
        Some((Some(key), _)) if key == job.key() => {}
        _ => {
            info!(
                job.kind = J::NAME,
                "job not rescheduled: it was replaced or cancelled"
            );
            return Ok(());
        }
    }
    // The new row takes the key and this row is done. If the process ends in between, this row has
    // no key and no attempts left, and is garbage collected.
    insert(&mut *transaction, job, attempt, retry_after, trace).await?;
    transaction.commit().await?;
    Ok(())
}
