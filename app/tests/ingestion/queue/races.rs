//! Adding, running, failing and cancelling jobs of the same keys at the same time.

use std::collections::HashMap;
use std::time::Duration;

use app::jobs::{self, Attempt, Job, JobError, JobHandler, JobRegistry};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Queue, TIMEOUT, start_worker};

/// A version of the work for a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Versioned {
    key: u32,
    version: u32,
}

impl Job for Versioned {
    const NAME: &'static str = "versioned";

    fn key(&self) -> String {
        format!("versioned:{}", self.key)
    }

    fn queue_name(&self) -> Option<String> {
        Some(self.key())
    }
}

/// The versions that ran, by key.
type Runs = watch::Sender<HashMap<u32, Vec<u32>>>;

impl JobHandler for Versioned {
    type Context = Runs;

    async fn run(self, runs: Runs, attempt: Attempt) -> Result<(), JobError> {
        runs.send_modify(|runs| runs.entry(self.key).or_default().push(self.version));
        tokio::task::yield_now().await;
        // Every second version fails a few times, so that it is rescheduled while it is replaced.
        if self.version % 2 == 1 && attempt.number <= 3 {
            return Err(JobError {
                retry_after: Duration::ZERO,
                reason: "failure for the test".to_owned(),
            });
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_newest_job_of_a_key_runs_and_an_older_one_never_runs_after_it() {
    const KEYS: u32 = 5;
    const VERSIONS: u32 = 60;
    let queue = Queue::start().await;
    let runs = Runs::default();
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let registry = JobRegistry::new().with::<Versioned>(runs.clone());
            start_worker(&queue.database, registry, TIMEOUT)
        })
        .collect();
    let adding = (0..KEYS).map(|key| {
        let database = queue.database.clone();
        tokio::spawn(async move {
            for version in 1..=VERSIONS {
                if version % 7 == 0 {
                    let key = Versioned { key, version }.key();
                    jobs::cancel(&database, &key).await.unwrap();
                }
                jobs::add(&database, &Versioned { key, version })
                    .await
                    .unwrap();
            }
        })
    });
    for added in adding.collect::<Vec<_>>() {
        added.await.unwrap();
    }
    let all_ran = |runs: &HashMap<u32, Vec<u32>>| {
        (0..KEYS).all(|key| runs.get(&key).is_some_and(|runs| runs.contains(&VERSIONS)))
    };
    timeout(TIMEOUT, runs.subscribe().wait_for(all_ran))
        .await
        .expect("the last version of each key runs")
        .unwrap();
    for worker in workers {
        worker.stop().await;
    }
    for (key, versions) in runs.borrow().iter() {
        assert!(versions.is_sorted(), "key {key}: {versions:?}");
    }
    assert_eq!(queue.keys().await, Vec::<String>::new());
    queue.stop().await;
}
