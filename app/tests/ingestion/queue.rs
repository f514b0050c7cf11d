//! The job queue with real workers on a real PostgreSQL.

mod failures;
mod order;
mod races;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use app::jobs::{
    self, Attempt, Backlog, Job, JobError, JobHandler, JobRegistry, Worker, WorkerConfig,
    WorkerTimings,
};
use local_stack::postgres::Postgres;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{TIMEOUT, database, folder};

/// A main database.
struct Queue {
    database: PgPool,
    postgres: Postgres,
    _folder: TempDir,
}

impl Queue {
    async fn start() -> Self {
        let folder = folder();
        let postgres = Postgres::start(folder.path()).await.unwrap();
        Self {
            database: database(postgres.uri(), "main", "migrations").await,
            postgres,
            _folder: folder,
        }
    }

    async fn add(&self, job: &TestJob) {
        jobs::add(&self.database, job).await.unwrap();
    }

    /// The keys of all jobs.
    async fn keys(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT key FROM jobs ORDER BY key, id")
            .fetch_all(&self.database)
            .await
            .unwrap()
    }

    /// The numbers of ready, scheduled, running and dead test jobs.
    async fn counts(&self) -> (i64, i64, i64, i64) {
        let backlog = jobs::backlog(&self.database).await.unwrap();
        let found = backlog.iter().find(|found| found.kind == TestJob::NAME);
        found.map_or((0, 0, 0, 0), |found: &Backlog| {
            (found.ready, found.scheduled, found.running, found.dead)
        })
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.database).await.unwrap();
    }

    fn start_worker(&self, log: &JobLog) -> RunningWorker {
        let registry = JobRegistry::new().with::<TestJob>(log.clone());
        start_worker(&self.database, registry, TIMEOUT)
    }

    async fn stop(self) {
        self.database.close().await;
        self.postgres.stop().await;
    }
}

/// A worker with short intervals.
pub(crate) fn start_worker(
    database: &PgPool,
    registry: JobRegistry,
    shutdown_grace: Duration,
) -> RunningWorker {
    let stop = CancellationToken::new();
    let config = WorkerConfig {
        concurrency: NonZeroUsize::new(4).unwrap(),
        timings: WorkerTimings {
            lease: Duration::from_millis(1_500),
            renew_interval: Duration::from_millis(200),
            recovery_interval: Duration::from_millis(300),
            poll_interval: Duration::from_millis(100),
            shutdown_grace,
        },
    };
    let worker = Worker::new(database, registry, config);
    RunningWorker {
        task: tokio::spawn(worker.run(stop.clone())),
        stop,
    }
}

pub(crate) struct RunningWorker {
    task: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl RunningWorker {
    /// Shuts down, after running jobs have ended or the grace period is over.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(TIMEOUT, self.task).await.unwrap().unwrap();
    }

    /// Like a killed process: the lease of running jobs remains, and is not renewed.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TestJob {
    number: u32,
    /// How often it fails before it succeeds.
    failures: u32,
    panics: bool,
    queue: Option<String>,
    priority: i16,
}

impl TestJob {
    fn new(number: u32) -> Self {
        Self {
            number,
            failures: 0,
            panics: false,
            queue: None,
            priority: 0,
        }
    }
}

impl Job for TestJob {
    const NAME: &'static str = "test";
    const MAX_STARTS: i16 = 2;

    fn key(&self) -> String {
        format!("test:{}", self.number)
    }

    fn queue_name(&self) -> Option<String> {
        self.queue.clone()
    }

    fn priority(&self) -> i16 {
        self.priority
    }
}

impl JobHandler for TestJob {
    type Context = JobLog;

    async fn run(self, log: JobLog, attempt: Attempt) -> Result<(), JobError> {
        let _run = log.started(self.number);
        if let Some(gate) = &log.gate {
            gate.acquire().await.unwrap().forget();
        }
        tokio::task::yield_now().await;
        assert!(!self.panics, "panic for the test");
        if attempt.number <= self.failures {
            return Err(JobError {
                retry_after: Duration::from_millis(10),
                reason: "failure for the test".to_owned(),
            });
        }
        log.state
            .send_modify(|state| state.finished.push(self.number));
        Ok(())
    }
}

/// A long job for a workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LongJob {
    number: u32,
    workspace: String,
}

impl Job for LongJob {
    const NAME: &'static str = "long";

    fn key(&self) -> String {
        format!("long:{}", self.number)
    }
}

impl JobHandler for LongJob {
    type Context = JobLog;
    const IS_LONG: bool = true;

    async fn run(self, log: JobLog, _: Attempt) -> Result<(), JobError> {
        let _run = log.started(self.number);
        log.gate.as_ref().unwrap().acquire().await.unwrap().forget();
        log.state
            .send_modify(|state| state.finished.push(self.number));
        Ok(())
    }
}

/// What the jobs of a worker did.
#[derive(Clone, Default)]
struct JobLog {
    state: watch::Sender<State>,
    /// Each job takes a permit after it started.
    gate: Option<Arc<Semaphore>>,
}

#[derive(Default)]
struct State {
    /// Numbers of jobs.
    started: Vec<u32>,
    finished: Vec<u32>,
    running: usize,
    max_running: usize,
}

impl JobLog {
    /// Jobs block after they start.
    fn blocking() -> Self {
        Self {
            gate: Some(Arc::new(Semaphore::new(0))),
            ..Self::default()
        }
    }

    /// Lets this many jobs continue.
    fn let_through(&self, jobs: usize) {
        self.gate.as_ref().unwrap().add_permits(jobs);
    }

    fn started(&self, job: u32) -> Run {
        self.state.send_modify(|state| {
            state.started.push(job);
            state.running += 1;
            state.max_running = state.max_running.max(state.running);
        });
        Run(self.clone())
    }

    async fn wait_for(&self, what: &str, holds: impl FnMut(&State) -> bool) {
        let mut state = self.state.subscribe();
        let found = timeout(TIMEOUT, state.wait_for(holds)).await;
        assert!(found.is_ok(), "{what}: not within {} s", TIMEOUT.as_secs());
    }

    async fn wait_until_started(&self, jobs: usize) {
        self.wait_for("started", |state| state.started.len() == jobs)
            .await;
    }

    async fn wait_until_finished(&self, jobs: usize) {
        self.wait_for("finished", |state| state.finished.len() == jobs)
            .await;
    }
}

/// A run of a job, until it ends or is dropped.
struct Run(JobLog);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.running -= 1);
    }
}
