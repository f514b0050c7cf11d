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

use crate::support::{PATIENCE, World, pdf, until};

#[derive(Clone, Default)]
struct Tally {
    begun: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    concurrency: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    /// Blocks jobs until notified.
    gate: Option<Arc<Notify>>,
    begins: Arc<Notify>,
}

impl Tally {
    /// Jobs block after they start.
    fn stuck() -> Self {
        Self {
            gate: Some(Arc::new(Notify::new())),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Count {
    number: u32,
    setbacks: u32,
}

impl Job for Count {
    const NAME: &'static str = "count";

    fn key(&self) -> String {
        format!("count:{}", self.number)
    }

    fn queue_name(&self) -> Option<String> {
        Some("one after another".to_owned())
    }
}

impl JobHandler for Count {
    type Context = Tally;

    async fn run(self, tally: Tally, attempt: Attempt) -> Result<(), JobError> {
        tally.begun.fetch_add(1, Ordering::SeqCst);
        let concurrency = tally.concurrency.fetch_add(1, Ordering::SeqCst) + 1;
        tally.most_at_once.fetch_max(concurrency, Ordering::SeqCst);
        tally.begins.notify_one();
        if let Some(gate) = &tally.gate {
            gate.notified().await;
        }
        tokio::task::yield_now().await;
        tally.concurrency.fetch_sub(1, Ordering::SeqCst);
        if attempt.number <= self.setbacks {
            return Err(JobError {
                retry_after: Duration::from_millis(10),
                reason: "once more".to_owned(),
            });
        }
        tally.done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A world with jobs of these numbers, each of which fails this often before it succeeds.
async fn world_with(numbers: std::ops::Range<u32>, setbacks: u32) -> World {
    let world = World::start().await;
    for number in numbers {
        let job = Count { number, setbacks };
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

pub(crate) fn sessions() -> app::config::Sessions {
    app::config::Sessions {
        idle: Duration::from_hours(1),
        absolute: Duration::from_hours(1),
    }
}

/// Starts a worker that runs [`Count`] jobs.
fn counts(world: &World, tally: &Tally) -> Running {
    let registry = JobRegistry::new().with::<Count>(tally.clone());
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
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

async fn done(tally: &Tally, count: usize) {
    until("the jobs are done", || async {
        (tally.done.load(Ordering::SeqCst) == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_comes_with_its_transaction_or_not_at_all() {
    let world = World::start().await;
    let tally = Tally::default();
    let mut transaction = world.database.begin().await.unwrap();
    let job = Count {
        number: 1,
        setbacks: 0,
    };
    jobs::add(&mut *transaction, &job).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(world.jobs().await, Vec::<String>::new());
    // Adding the same key twice results in one job.
    for _ in 0..2 {
        jobs::add(&world.database, &job).await.unwrap();
    }
    let worker = counts(&world, &tally);
    done(&tally, 1).await;
    worker.stop().await;
    assert_eq!(tally.begun.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_with_setbacks_come_back_and_jobs_of_a_lane_never_meet() {
    let world = world_with(0..8, 2).await;
    let tally = Tally::default();
    let one = counts(&world, &tally);
    let two = counts(&world, &tally);
    done(&tally, 8).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(tally.begun.load(Ordering::SeqCst), 8 * 3);
    assert_eq!(tally.most_at_once.load(Ordering::SeqCst), 1);
    until("the queue is empty", || async {
        world.jobs().await.is_empty().then_some(())
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setback_does_not_take_the_place_of_a_job_that_was_added_meanwhile() {
    // The first job always fails; the second one, with the same key, would succeed immediately.
    let world = world_with(1..2, u32::MAX).await;
    let tally = Tally::stuck();
    let worker = counts(&world, &tally);
    tally.begins.notified().await;
    let newer = Count {
        number: 1,
        setbacks: 0,
    };
    jobs::add(&world.database, &newer).await.unwrap();
    tally.gate.as_ref().unwrap().notify_one();
    tally.begins.notified().await;
    tally.gate.as_ref().unwrap().notify_one();
    done(&tally, 1).await;
    until("the queue is empty", || async {
        world.jobs().await.is_empty().then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(tally.begun.load(Ordering::SeqCst), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_cancelled_while_it_ran_does_not_come_back_by_its_setback() {
    let world = world_with(1..2, u32::MAX).await;
    let tally = Tally::stuck();
    let worker = counts(&world, &tally);
    tally.begins.notified().await;
    jobs::cancel(&world.database, "count:1").await.unwrap();
    tally.gate.as_ref().unwrap().notify_one();
    until("nothing runs or waits", || async {
        jobs::backlog(&world.database)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(tally.begun.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setback_of_a_job_that_another_worker_took_over_leaves_it_to_that_one() {
    let world = world_with(1..2, u32::MAX).await;
    let tally = Tally::stuck();
    let worker = counts(&world, &tally);
    tally.begins.notified().await;
    sqlx::query(
        "UPDATE graphile_worker._private_jobs SET locked_by = 'another', locked_at = now()",
    )
    .execute(&world.database)
    .await
    .unwrap();
    tally.gate.as_ref().unwrap().notify_one();
    until("the job had its turn", || async {
        (tally.concurrency.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    worker.stop().await;
    assert_eq!(world.jobs().await, ["count:1"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_job_begins_elsewhere() {
    let world = world_with(1..2, 0).await;
    let stuck = Tally::stuck();
    let dies = counts(&world, &stuck);
    stuck.begins.notified().await;
    // Like a killed process: the heartbeats end, the lock on the job remains.
    dies.task.abort();
    let tally = Tally::default();
    let lives = counts(&world, &tally);
    done(&tally, 1).await;
    lives.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_gives_its_jobs_back_at_once() {
    let world = world_with(1..2, 0).await;
    let stuck = Tally::stuck();
    let stops = counts(&world, &stuck);
    stuck.begins.notified().await;
    stops.stop().await;
    let backlog = jobs::backlog(&world.database).await.unwrap();
    assert_eq!(backlog.len(), 1);
    assert_eq!(
        (backlog[0].ready, backlog[0].running, backlog[0].dead),
        (1, 0, 0)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_read_by_workers_from_its_upload_to_ready() {
    let world = World::start().await;
    let registry = app::ingestion::jobs(&world.context, sessions(), JobRegistry::new());
    let worker = start(&world.database, registry);
    let document = world.bring("a.pdf", &pdf(3, "worker")).await;
    until("the document is ready", || async {
        (world.state(document).await == DocumentStatus::Ready).then_some(())
    })
    .await;
    app::documents::delete(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    until("the document is gone", || async {
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
async fn a_document_whose_job_was_lost_is_read_and_one_that_kills_its_workers_is_given_up() {
    let world = World::start().await;
    let lost = world.bring("lost.pdf", &pdf(1, "lost")).await;
    let deadly = world.bring("deadly.pdf", &pdf(1, "deadly")).await;
    let fresh = world.bring("fresh.pdf", &pdf(1, "fresh")).await;
    let jobs = "graphile_worker._private_jobs";
    for sql in [
        format!("DELETE FROM {jobs} WHERE key IN ('ingest:{lost}', 'ingest:{fresh}')"),
        format!("UPDATE {jobs} SET attempts = max_attempts WHERE key = 'ingest:{deadly}'"),
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
        world.state(deadly).await,
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
async fn whoever_brings_many_leaves_room_for_others_and_no_document_waits_for_another() {
    let world = World::start().await;
    let mut documents = Vec::new();
    for number in 0..3 {
        let subject = format!("subject {number}");
        documents.push(world.bring(&subject, &pdf(1, &subject)).await);
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
            let (key, lane) = (format!("ingest:{document}"), format!("document:{document}"));
            (key, priority, Some(lane))
        })
        .collect();
    assert_eq!(queued, expected);
    world.stop().await;
}
