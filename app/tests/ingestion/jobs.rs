//! The job queue with real workers: recovery, shutdown, retries, transactions, serialized queues.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use app::documents::{DocumentStatus, IngestError, SystemFailure};
use app::jobs::{
    self, Attempt, Job, JobError, JobHandler, JobRegistry, Worker, WorkerConfig, WorkerTimings,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::{TIMEOUT, World, pdf, until};

#[derive(Clone, Default)]
struct JobLog {
    started: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    max_running: Arc<AtomicUsize>,
    /// Blocks jobs until notified.
    gate: Option<Arc<Notify>>,
    start_signal: Arc<Notify>,
}

impl JobLog {
    /// Jobs block after they start.
    fn blocking() -> Self {
        Self {
            gate: Some(Arc::new(Notify::new())),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TestJob {
    number: u32,
    failures: u32,
}

impl Job for TestJob {
    const NAME: &'static str = "count";

    fn key(&self) -> String {
        format!("count:{}", self.number)
    }

    fn queue_name(&self) -> Option<String> {
        Some("serial".to_owned())
    }
}

impl JobHandler for TestJob {
    type Context = JobLog;

    async fn run(self, log: JobLog, attempt: Attempt) -> Result<(), JobError> {
        log.started.fetch_add(1, Ordering::SeqCst);
        let running = log.running.fetch_add(1, Ordering::SeqCst) + 1;
        log.max_running.fetch_max(running, Ordering::SeqCst);
        log.start_signal.notify_one();
        if let Some(gate) = &log.gate {
            gate.notified().await;
        }
        tokio::task::yield_now().await;
        log.running.fetch_sub(1, Ordering::SeqCst);
        if attempt.number <= self.failures {
            return Err(JobError {
                retry_after: Duration::from_millis(10),
                reason: "failure for the test".to_owned(),
            });
        }
        log.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A world with jobs of these numbers, each of which fails this often before it succeeds.
async fn world_with(numbers: std::ops::Range<u32>, failures: u32) -> World {
    let world = World::start().await;
    for number in numbers {
        let job = TestJob { number, failures };
        jobs::add(&world.database, &job).await.unwrap();
    }
    world
}

fn settings() -> WorkerConfig {
    WorkerConfig {
        concurrency: NonZeroUsize::new(4).unwrap(),
        timings: WorkerTimings {
            heartbeat_interval: Duration::from_millis(200),
            reap_interval: Duration::from_millis(300),
            worker_timeout: Duration::from_millis(1_500),
            poll_interval: Duration::from_millis(100),
            shutdown_grace: Duration::from_millis(200),
        },
    }
}

pub(crate) fn sessions() -> app::config::SessionLifetimes {
    app::config::SessionLifetimes {
        idle: Duration::from_hours(1),
        absolute: Duration::from_hours(1),
    }
}

/// Starts a worker that runs [`TestJob`] jobs.
fn start_test_worker(world: &World, log: &JobLog) -> Running {
    let registry = JobRegistry::new().with::<TestJob>(log.clone());
    start(&world.database, registry)
}

struct Running {
    task: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

fn start(database: &PgPool, registry: JobRegistry) -> Running {
    let stop = CancellationToken::new();
    let worker = Worker::new(database, registry, settings());
    Running {
        task: tokio::spawn(worker.run(stop.clone())),
        stop,
    }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

async fn wait_until_finished(log: &JobLog, count: usize) {
    until("the jobs are done", || async {
        (log.finished.load(Ordering::SeqCst) == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_added_only_if_its_transaction_commits() {
    let world = World::start().await;
    let log = JobLog::default();
    let mut transaction = world.database.begin().await.unwrap();
    let job = TestJob {
        number: 1,
        failures: 0,
    };
    jobs::add(&mut *transaction, &job).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(world.jobs().await, Vec::<String>::new());
    // Adding the same key twice results in one job.
    for _ in 0..2 {
        jobs::add(&world.database, &job).await.unwrap();
    }
    let worker = start_test_worker(&world, &log);
    wait_until_finished(&log, 1).await;
    worker.stop().await;
    assert_eq!(log.started.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_jobs_are_retried_and_jobs_of_a_queue_never_overlap() {
    let world = world_with(0..8, 2).await;
    let log = JobLog::default();
    let one = start_test_worker(&world, &log);
    let two = start_test_worker(&world, &log);
    wait_until_finished(&log, 8).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(log.started.load(Ordering::SeqCst), 8 * 3);
    assert_eq!(log.max_running.load(Ordering::SeqCst), 1);
    until("the queue is empty", || async {
        world.jobs().await.is_empty().then_some(())
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_does_not_replace_a_newer_job_with_its_key() {
    // The first job always fails; the second one, with the same key, would succeed immediately.
    let world = world_with(1..2, u32::MAX).await;
    let log = JobLog::blocking();
    let worker = start_test_worker(&world, &log);
    log.start_signal.notified().await;
    let newer = TestJob {
        number: 1,
        failures: 0,
    };
    jobs::add(&world.database, &newer).await.unwrap();
    log.gate.as_ref().unwrap().notify_one();
    log.start_signal.notified().await;
    log.gate.as_ref().unwrap().notify_one();
    wait_until_finished(&log, 1).await;
    until("the queue is empty", || async {
        world.jobs().await.is_empty().then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(log.started.load(Ordering::SeqCst), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cancelled_while_running_is_not_rescheduled_when_it_fails() {
    let world = world_with(1..2, u32::MAX).await;
    let log = JobLog::blocking();
    let worker = start_test_worker(&world, &log);
    log.start_signal.notified().await;
    jobs::cancel(&world.database, "count:1").await.unwrap();
    log.gate.as_ref().unwrap().notify_one();
    until("the queue is empty", || async {
        jobs::backlog(&world.database)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(log.started.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_that_another_worker_took_over_is_left_to_that_worker() {
    let world = world_with(1..2, u32::MAX).await;
    let log = JobLog::blocking();
    let worker = start_test_worker(&world, &log);
    log.start_signal.notified().await;
    sqlx::query(
        "UPDATE graphile_worker._private_jobs SET locked_by = 'another', locked_at = now()",
    )
    .execute(&world.database)
    .await
    .unwrap();
    log.gate.as_ref().unwrap().notify_one();
    until("the job has run", || async {
        (log.running.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(world.jobs().await, ["count:1"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_job_restarts_on_another_worker() {
    let world = world_with(1..2, 0).await;
    let blocked = JobLog::blocking();
    let killed = start_test_worker(&world, &blocked);
    blocked.start_signal.notified().await;
    // Like a killed process: the heartbeats end, the lock on the job remains.
    killed.task.abort();
    let log = JobLog::default();
    let survivor = start_test_worker(&world, &log);
    wait_until_finished(&log, 1).await;
    survivor.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_returns_its_jobs_immediately() {
    let world = world_with(1..2, 0).await;
    let blocked = JobLog::blocking();
    let worker = start_test_worker(&world, &blocked);
    blocked.start_signal.notified().await;
    worker.stop().await;
    let backlog = jobs::backlog(&world.database).await.unwrap();
    assert_eq!(backlog.len(), 1);
    assert_eq!(
        (backlog[0].ready, backlog[0].running, backlog[0].dead),
        (1, 0, 0)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ingests_an_uploaded_document_and_deletes_it() {
    let world = World::start().await;
    let registry = app::ingestion::jobs(&world.context, sessions(), JobRegistry::new());
    let worker = start(&world.database, registry);
    let document = world.upload("a.pdf", &pdf(3, "worker")).await;
    until("the document is ready", || async {
        (world.state(document).await == DocumentStatus::Ready).then_some(())
    })
    .await;
    app::documents::delete(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    until("the document is deleted", || async {
        world.row(document).await.is_none().then_some(())
    })
    .await;
    assert_eq!(world.contents().await, Vec::<String>::new());
    // The file is deleted once more after the presigned URL has expired.
    assert_eq!(world.jobs().await, [format!("orphaned-file:{document}")]);
    worker.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_requeues_lost_jobs_and_fails_documents_whose_job_was_given_up() {
    let world = World::start().await;
    let lost = world.upload("lost.pdf", &pdf(1, "lost")).await;
    let crashing = world.upload("crashing.pdf", &pdf(1, "crashing")).await;
    let fresh = world.upload("fresh.pdf", &pdf(1, "fresh")).await;
    let jobs = "graphile_worker._private_jobs";
    for sql in [
        format!("DELETE FROM {jobs} WHERE key IN ('ingest:{lost}', 'ingest:{fresh}')"),
        format!("UPDATE {jobs} SET attempts = max_attempts WHERE key = 'ingest:{crashing}'"),
        format!(
            "UPDATE documents SET updated_at = now() - interval '1 hour' WHERE id <> '{fresh}'"
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&world.database)
            .await
            .unwrap();
    }
    let state = app::ingestion::SweepContext {
        context: world.context.clone(),
        sessions: sessions(),
    };
    app::ingestion::Sweep {}
        .run(state, Attempt { number: 1 })
        .await
        .unwrap();
    assert_eq!(
        world.state(crashing).await,
        DocumentStatus::Failed(IngestError::System(SystemFailure::WorkerCrashed))
    );
    assert_eq!(world.state(lost).await, DocumentStatus::Queued);
    assert!(world.jobs().await.contains(&format!("ingest:{lost}")));
    // The job of a document that changed a moment ago may be part of a transaction that is not
    // committed yet.
    assert!(!world.jobs().await.contains(&format!("ingest:{fresh}")));
    world.stop().await;
}

#[tokio::test]
async fn many_uploads_get_decreasing_priorities_and_a_queue_per_document() {
    let world = World::start().await;
    let mut documents = Vec::new();
    for number in 0..3 {
        let subject = format!("subject {number}");
        documents.push(world.upload(&subject, &pdf(1, &subject)).await);
    }
    let queued: Vec<(String, i16, Option<String>)> = sqlx::query_as(
        "SELECT key, priority, queue_name FROM graphile_worker.jobs WHERE key LIKE 'ingest:%' ORDER BY priority",
    )
    .fetch_all(&world.database)
    .await
    .unwrap();
    // Another workspace's first document precedes this workspace's second.
    let expected: Vec<(String, i16, Option<String>)> = (10..)
        .zip(&documents)
        .map(|(priority, document)| {
            let (key, queue) = (format!("ingest:{document}"), format!("document:{document}"));
            (key, priority, Some(queue))
        })
        .collect();
    assert_eq!(queued, expected);
    world.stop().await;
}
