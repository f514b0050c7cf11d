//! Jobs and workers that crash, hang or shut down.

use std::time::Duration;

use app::jobs::{self, Job as _, JobRegistry};
use test_support::wait::until_some;

use super::{JobLog, Queue, TestJob, start_worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_job_restarts_on_another_worker() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    let blocked = JobLog::blocking();
    let killed = queue.start_worker(&blocked);
    blocked.wait_until_started(1).await;
    killed.kill().await;
    let log = JobLog::default();
    let survivor = queue.start_worker(&log);
    log.wait_until_finished(1).await;
    survivor.stop().await;
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_keeps_its_lease() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    let log = JobLog::blocking();
    let worker = queue.start_worker(&log);
    log.wait_until_started(1).await;
    let lease = async || -> Option<jiff_sqlx::Timestamp> {
        sqlx::query_scalar("SELECT lease_until FROM jobs")
            .fetch_one(&queue.database)
            .await
            .unwrap()
    };
    let first = lease().await.unwrap().to_jiff();
    // Longer than the lease, and other workers look for expired leases all the time.
    let other = queue.start_worker(&JobLog::default());
    until_some("the lease is renewed", || async {
        let renewed = lease().await.unwrap().to_jiff();
        (renewed.duration_since(first) > jiff::SignedDuration::from_secs(3)).then_some(())
    })
    .await;
    log.let_through(1);
    log.wait_until_finished(1).await;
    worker.stop().await;
    other.stop().await;
    assert_eq!(log.state.borrow().started, [1]);
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_worker_took_over_is_aborted_and_left_to_that_worker() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    let log = JobLog::blocking();
    let worker = queue.start_worker(&log);
    log.wait_until_started(1).await;
    queue
        .execute(
            "UPDATE jobs SET worker = gen_random_uuid(), lease_until = now() + interval '1 hour'",
        )
        .await;
    log.wait_for("aborted", |state| state.running == 0).await;
    worker.stop().await;
    assert_eq!(log.state.borrow().finished, Vec::<u32>::new());
    assert_eq!(queue.counts().await, (0, 0, 1, 0));
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_returns_its_jobs_immediately() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    let blocked = JobLog::blocking();
    let registry = JobRegistry::new().with::<TestJob>(blocked.clone());
    let worker = start_worker(&queue.database, registry, Duration::from_millis(200));
    blocked.wait_until_started(1).await;
    worker.stop().await;
    assert_eq!(queue.counts().await, (1, 0, 0, 0));
    // An interrupted start does not count.
    let starts: i16 = sqlx::query_scalar("SELECT starts FROM jobs")
        .fetch_one(&queue.database)
        .await
        .unwrap();
    assert_eq!(starts, 0);
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_does_not_return_a_job_that_was_replaced() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    let blocked = JobLog::blocking();
    let registry = JobRegistry::new().with::<TestJob>(blocked.clone());
    let worker = start_worker(&queue.database, registry, Duration::from_millis(200));
    blocked.wait_until_started(1).await;
    jobs::add_after(&queue.database, &TestJob::new(1), Duration::from_hours(1))
        .await
        .unwrap();
    worker.stop().await;
    assert_eq!(queue.counts().await, (0, 1, 0, 0));
    queue.stop().await;
}

/// Makes crashed jobs ready again, because their backoff is longer than a test.
async fn wait_until_dead(queue: &Queue) {
    until_some("the job is given up", || async {
        queue.execute("UPDATE jobs SET run_at = now()").await;
        (queue.counts().await == (0, 0, 0, 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_panics_is_given_up_after_its_maximum_number_of_starts() {
    let queue = Queue::start().await;
    let panicking = TestJob {
        panics: true,
        ..TestJob::new(1)
    };
    queue.add(&panicking).await;
    queue.add(&TestJob::new(2)).await;
    let log = JobLog::default();
    let worker = queue.start_worker(&log);
    log.wait_until_finished(1).await;
    wait_until_dead(&queue).await;
    let runs = log
        .state
        .borrow()
        .started
        .iter()
        .filter(|job| **job == 1)
        .count();
    assert_eq!(runs, usize::from(TestJob::MAX_STARTS.unsigned_abs()));
    // A new job with its key replaces it.
    jobs::add_if_absent(&queue.database, &TestJob::new(1))
        .await
        .unwrap();
    log.wait_until_finished(2).await;
    worker.stop().await;
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_is_given_up_after_its_maximum_number_of_starts() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    for starts in 1..=usize::from(TestJob::MAX_STARTS.unsigned_abs()) {
        let blocked = JobLog::blocking();
        let killed = queue.start_worker(&blocked);
        until_some("the job starts", || async {
            queue
                .execute("UPDATE jobs SET run_at = now() WHERE worker IS NULL")
                .await;
            (blocked.state.borrow().started.len() == 1).then_some(())
        })
        .await;
        assert_eq!(queue.counts().await, (0, 0, 1, 0), "start {starts}");
        killed.kill().await;
    }
    let log = JobLog::default();
    let survivor = queue.start_worker(&log);
    wait_until_dead(&queue).await;
    survivor.stop().await;
    assert_eq!(log.state.borrow().started, Vec::<u32>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_an_invalid_payload_is_given_up_and_blocks_no_other_job() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    queue
        .execute("UPDATE jobs SET payload = '{\"number\": \"one\"}'")
        .await;
    queue.add(&TestJob::new(2)).await;
    let log = JobLog::default();
    let worker = queue.start_worker(&log);
    log.wait_until_finished(1).await;
    wait_until_dead(&queue).await;
    worker.stop().await;
    assert_eq!(log.state.borrow().finished, [2]);
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_unknown_kinds_are_left_to_processes_that_know_them() {
    let queue = Queue::start().await;
    queue.add(&TestJob::new(1)).await;
    queue
        .execute("UPDATE jobs SET kind = 'of_a_newer_version'")
        .await;
    queue.add(&TestJob::new(2)).await;
    let log = JobLog::default();
    let worker = queue.start_worker(&log);
    log.wait_until_finished(1).await;
    worker.stop().await;
    assert_eq!(queue.keys().await, ["test:1"]);
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_continues_after_its_connections_were_closed() {
    let queue = Queue::start().await;
    let log = JobLog::blocking();
    queue.add(&TestJob::new(1)).await;
    let worker = queue.start_worker(&log);
    log.wait_until_started(1).await;
    queue
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'main'")
        .await;
    log.let_through(2);
    until_some("a job can be added", || async {
        jobs::add(&queue.database, &TestJob::new(2)).await.ok()
    })
    .await;
    log.wait_until_finished(2).await;
    worker.stop().await;
    assert_eq!(log.state.borrow().started, [1, 2]);
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}
