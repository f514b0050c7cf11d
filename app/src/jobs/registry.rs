//! The types of jobs that a worker runs, each with its dependencies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::PgPool;

use super::{Attempt, JobError, JobHandler, QueueError, add_if_absent};

/// The interval of jobs that [`JobRegistry::with_every_minute`] registers.
const REPEAT_INTERVAL: Duration = Duration::from_mins(1);

/// Every module registers its own jobs.
#[derive(Default)]
pub struct JobRegistry {
    kinds: BTreeMap<&'static str, JobKind>,
    recurring: Vec<AddRecurring>,
}

/// A type of job.
#[derive(Clone)]
pub(super) struct JobKind {
    pub(super) start: Arc<StartJob>,
    pub(super) timeout: Duration,
    pub(super) is_long: bool,
    /// The job runs again this long after it succeeded.
    pub(super) repeat_after: Option<Duration>,
}

/// Creates the future that runs a job with this payload.
type StartJob = dyn Fn(Value, Attempt) -> serde_json::Result<BoxFuture<'static, Result<(), JobError>>>
    + Send
    + Sync;

type AddRecurring = Box<dyn Fn(PgPool) -> BoxFuture<'static, Result<(), QueueError>> + Send + Sync>;

impl JobRegistry {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with<J: JobHandler>(mut self, context: J::Context) -> Self {
        self.insert::<J>(context, None);
        self
    }

    /// Registers a job type of which one job always exists, and runs every minute, independently of
    /// the number of workers.
    #[must_use]
    pub fn with_every_minute<J: JobHandler>(mut self, context: J::Context, job: J) -> Self {
        self.insert::<J>(context, Some(REPEAT_INTERVAL));
        self.recurring.push(Box::new(move |database| {
            let job = job.clone();
            async move { add_if_absent(&database, &job).await }.boxed()
        }));
        self
    }

    fn insert<J: JobHandler>(&mut self, context: J::Context, repeat_after: Option<Duration>) {
        let start = move |payload, attempt| {
            let job: J = serde_json::from_value(payload)?;
            Ok(job.run(context.clone(), attempt).boxed())
        };
        let kind = JobKind {
            start: Arc::new(start),
            timeout: J::TIMEOUT,
            is_long: J::IS_LONG,
            repeat_after,
        };
        self.kinds.insert(J::NAME, kind);
    }

    /// The names of the types of long or of short jobs.
    pub(super) fn names(&self, is_long: bool) -> Vec<String> {
        self.kinds
            .iter()
            .filter(|(_, kind)| kind.is_long == is_long)
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    pub(super) fn kind(&self, name: &str) -> Option<&JobKind> {
        self.kinds.get(name)
    }

    /// Adds the recurring jobs that do not exist, because they were never added or were given up.
    pub(super) async fn add_recurring(&self, database: &PgPool) -> Result<(), QueueError> {
        for add in &self.recurring {
            add(database.clone()).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for JobRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}
