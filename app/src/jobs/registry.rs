//! Which jobs a worker can do, and what it does them with.

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

use super::{Job, QueueError, Setback, Turn, put, trace};

/// The kinds of jobs, each with what it needs. Every part of the app adds its own.
#[derive(Default)]
pub struct Registry {
    definitions: Vec<JobDefinition>,
    crontabs: Vec<Crontab>,
    states: Vec<HandOver>,
}

type HandOver = Box<dyn Fn(WorkerOptions) -> WorkerOptions + Send + Sync>;

impl Registry {
    /// No jobs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Can also do jobs of this kind, with this state. Jobs of one type of state share the last of it.
    #[must_use]
    pub fn with<J: Job>(mut self, state: J::State) -> Self {
        self.definitions.push(JobDefinition::of::<Task<J>>());
        self.states.push(Box::new(move |options| {
            options.add_extension(Held(state.clone()))
        }));
        self
    }

    /// As [`Registry::with`]; and one of them, of the key `key`, is added every minute, however many workers there are.
    #[must_use]
    pub fn with_every_minute<J: Job>(mut self, state: J::State, key: &str) -> Self {
        self.crontabs.push(
            Cron::every_minute::<Task<J>>()
                // A job without fields is an empty object; without a payload the queue would hand over `null`.
                .payload_value(serde_json::json!({}))
                .job_key(key)
                .job_key_mode(CronJobKeyMode::Replace)
                .build(),
        );
        self.with::<J>(state)
    }

    pub(super) fn options(&self) -> WorkerOptions {
        let options = WorkerOptions::default()
            .define_jobs(self.definitions.iter().cloned())
            .with_crons(self.crontabs.iter().cloned());
        self.states
            .iter()
            .fold(options, |options, hand_over| hand_over(options))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .definitions
            .iter()
            .map(JobDefinition::identifier)
            .collect();
        f.debug_struct("Registry")
            .field("jobs", &names)
            .finish_non_exhaustive()
    }
}

/// The state as the queue keeps it: it asks for `Debug`, which states full of secrets had better not have.
#[derive(Clone)]
struct Held<S>(S);

impl<S> fmt::Debug for Held<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// A job as it stands in the table.
#[derive(Serialize, Deserialize)]
#[serde(bound = "J: Job")]
pub(super) struct Envelope<J> {
    #[serde(flatten)]
    pub(super) job: J,
    /// Jobs that are added by the clock have none.
    #[serde(default = "first")]
    pub(super) attempt: u32,
    /// The `traceparent` of whoever added it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
}

fn first() -> u32 {
    1
}

/// What the queue calls: unpacks the job, does it, and puts it back if there was trouble.
#[derive(Serialize, Deserialize)]
#[serde(bound = "J: Job")]
struct Task<J> {
    #[serde(flatten)]
    envelope: Envelope<J>,
    #[serde(skip)]
    kind: PhantomData<J>,
}

impl<J: Job> TaskHandler for Task<J> {
    const IDENTIFIER: &'static str = J::NAME;

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Envelope {
            job,
            attempt,
            trace,
        } = self.envelope;
        let span = info_span!("job", job.kind = J::NAME, job.attempt = attempt);
        trace::continue_in(&span, trace.as_deref());
        let Some(Held(state)) = context.get_ext::<Held<J::State>>().cloned() else {
            return Err("the worker was started without this job's state".to_owned());
        };
        let turn = Turn { attempt };
        let done = job.clone().run(state, turn).instrument(span);
        let done = tokio::time::timeout(J::LIMIT, done)
            .await
            .unwrap_or_else(|_| {
                let limit = J::LIMIT.as_secs();
                Err(Setback::backoff(
                    turn,
                    format!("it was not done after {limit} s"),
                ))
            });
        let Err(setback) = done else {
            return Ok(());
        };
        let Some(database) = context.try_pg_pool() else {
            return Err("the worker has no pool".to_owned());
        };
        if setback.after.is_zero() {
            info!(
                job.kind = J::NAME,
                job.attempt = attempt,
                "Job goes on at once: {}",
                setback.why
            );
        } else {
            warn!(
                job.kind = J::NAME,
                job.attempt = attempt,
                "Job waits: {setback}"
            );
        }
        let row = Row {
            id: *context.job().id(),
            worker: context.worker_id(),
        };
        let attempt = attempt.saturating_add(1);
        put_back(database, row, &job, attempt, setback.after, trace)
            .await
            .map_err(|error| error.to_string())
    }
}

/// The row of a job that runs, and who runs it.
#[derive(Clone, Copy)]
struct Row<'a> {
    id: i64,
    worker: &'a str,
}

/// Puts the job back for later, if nobody added one of its key, took it away or took it over since it began: a newer job of the key
/// knows more than this one, and one that was cancelled is not wanted any more.
async fn put_back<J: Job>(
    database: &PgPool,
    row: Row<'_>,
    job: &J,
    attempt: u32,
    after: Duration,
    trace: Option<String>,
) -> Result<(), QueueError> {
    let mut transaction = database.begin().await?;
    // The key's lock before rows, as adding takes them: the other way round the two would wait for each other. Whoever adds one of the key
    // comes before this or after it; one that is cancelled at this very moment may come back, and finds itself unwanted.
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
        // To end well would take the other worker's job away: the queue removes it by its number alone.
        Some((_, holder)) if holder.as_deref() != Some(row.worker) => {
            return Err(QueueError::TakenOver);
        }
        Some((Some(key), _)) if key == job.key() => {}
        _ => {
            info!(
                job.kind = J::NAME,
                "The job is not put back: another has taken its place, or nobody wants it any more"
            );
            return Ok(());
        }
    }
    // A new row takes the key; this one is done. If the process ends between the two, this one is without a key and
    // without further attempts, and is swept away.
    put(&mut *transaction, job, attempt, after, trace).await?;
    transaction.commit().await?;
    Ok(())
}
