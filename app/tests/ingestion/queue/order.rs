//! Which jobs run, and when.

use std::time::Duration;

use app::jobs::{self, JobRegistry};

use super::{JobLog, LongJob, Queue, TIMEOUT, TestJob, start_worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_added_only_if_its_transaction_commits() {
    let queue = Queue::start().await;
    let log = JobLog::default();
    let mut transaction = queue.database.begin().await.unwrap();
    jobs::add(&mut *transaction, &TestJob::new(1))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(queue.keys().await, Vec::<String>::new());
    // Adding the same key twice results in one job.
    queue.add(&TestJob::new(1)).await;
    queue.add(&TestJob::new(1)).await;
    let worker = queue.start_worker(&log);
    log.wait_until_finished(1).await;
    worker.stop().await;
    assert_eq!(log.state.borrow().started, [1]);
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

fn sorted(numbers: &[u32]) -> Vec<u32> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_run_each_job_once() {
    let queue = Queue::start().await;
    let log = JobLog::default();
    for number in 0..100 {
        queue.add(&TestJob::new(number)).await;
    }
    let (one, two) = (queue.start_worker(&log), queue.start_worker(&log));
    log.wait_until_finished(100).await;
    one.stop().await;
    two.stop().await;
    let started = sorted(&log.state.borrow().started);
    assert_eq!(started, (0..100).collect::<Vec<_>>());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_jobs_leave_slots_for_other_workspaces_and_for_short_jobs() {
    let queue = Queue::start().await;
    let (long, short) = (JobLog::blocking(), JobLog::default());
    let add = async |workspace: &str, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let workspace = workspace.to_owned();
            let job = LongJob { number, workspace };
            jobs::add(&queue.database, &job).await.unwrap();
        }
    };
    add("acme", 0..6).await;
    let registry = JobRegistry::new()
        .with::<LongJob>(long.clone())
        .with::<TestJob>(short.clone());
    let worker = start_worker(&queue.database, registry, TIMEOUT);
    // The worker has four slots for long jobs, of which one is for other workspaces.
    long.wait_until_started(3).await;
    queue.add(&TestJob::new(0)).await;
    short.wait_until_finished(1).await;
    assert_eq!(sorted(&long.state.borrow().started), [0, 1, 2]);
    add("globex", 6..8).await;
    long.wait_until_started(4).await;
    queue.add(&TestJob::new(1)).await;
    short.wait_until_finished(2).await;
    assert_eq!(sorted(&long.state.borrow().started), [0, 1, 2, 6]);
    long.let_through(8);
    long.wait_until_finished(8).await;
    worker.stop().await;
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_jobs_are_retried_and_jobs_of_a_queue_never_overlap() {
    let queue = Queue::start().await;
    let log = JobLog::default();
    for number in 0..8 {
        let job = TestJob {
            failures: 2,
            queue: Some("serial".to_owned()),
            ..TestJob::new(number)
        };
        queue.add(&job).await;
    }
    let (one, two) = (queue.start_worker(&log), queue.start_worker(&log));
    log.wait_until_finished(8).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(log.state.borrow().started.len(), 8 * 3);
    assert_eq!(log.state.borrow().max_running, 1);
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_queue_start_in_the_order_of_their_priorities() {
    let queue = Queue::start().await;
    let log = JobLog::default();
    for (number, priority) in [(1, 5), (2, -1), (3, 5), (4, 0)] {
        let job = TestJob {
            priority,
            queue: Some("serial".to_owned()),
            ..TestJob::new(number)
        };
        queue.add(&job).await;
    }
    let worker = queue.start_worker(&log);
    log.wait_until_finished(4).await;
    worker.stop().await;
    assert_eq!(log.state.borrow().started, [2, 4, 1, 3]);
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_is_notified_of_new_jobs_and_leaves_delayed_jobs_alone() {
    let queue = Queue::start().await;
    let log = JobLog::default();
    let worker = queue.start_worker(&log);
    jobs::add_after(&queue.database, &TestJob::new(1), Duration::from_hours(1))
        .await
        .unwrap();
    queue.add(&TestJob::new(2)).await;
    log.wait_until_finished(1).await;
    worker.stop().await;
    assert_eq!(log.state.borrow().started, [2]);
    assert_eq!(queue.counts().await, (0, 1, 0, 0));
    // Replaced by a job that is ready now.
    jobs::add_if_absent(&queue.database, &TestJob::new(1))
        .await
        .unwrap();
    assert_eq!(queue.counts().await, (0, 1, 0, 0));
    queue.add(&TestJob::new(1)).await;
    assert_eq!(queue.counts().await, (1, 0, 0, 0));
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_does_not_replace_a_newer_job_with_its_key() {
    let queue = Queue::start().await;
    let failing = TestJob {
        failures: u32::MAX,
        ..TestJob::new(1)
    };
    queue.add(&failing).await;
    let log = JobLog::blocking();
    let worker = queue.start_worker(&log);
    log.wait_until_started(1).await;
    queue.add(&TestJob::new(1)).await;
    log.let_through(2);
    log.wait_until_finished(1).await;
    log.wait_for("the failing job has ended", |state| state.running == 0)
        .await;
    worker.stop().await;
    assert_eq!(log.state.borrow().started.len(), 2);
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cancelled_while_running_is_not_rescheduled_when_it_fails() {
    let queue = Queue::start().await;
    let failing = TestJob {
        failures: u32::MAX,
        ..TestJob::new(1)
    };
    queue.add(&failing).await;
    let log = JobLog::blocking();
    let worker = queue.start_worker(&log);
    log.wait_until_started(1).await;
    jobs::cancel(&queue.database, "test:1").await.unwrap();
    log.let_through(1);
    worker.stop().await;
    assert_eq!(log.state.borrow().started.len(), 1);
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_job_exists_once_and_runs_again_after_a_minute() {
    let queue = Queue::start().await;
    let log = JobLog::default();
    let start = || {
        let registry = JobRegistry::new().with_every_minute(log.clone(), TestJob::new(1));
        start_worker(&queue.database, registry, TIMEOUT)
    };
    let one = start();
    log.wait_until_finished(1).await;
    one.stop().await;
    assert_eq!(queue.counts().await, (0, 1, 0, 0));
    queue.execute("UPDATE jobs SET run_at = now()").await;
    let two = start();
    log.wait_until_finished(2).await;
    two.stop().await;
    assert_eq!(queue.counts().await, (0, 1, 0, 0));
    queue.stop().await;
}
