//! A worker: claims jobs, renews their leases, and takes over the jobs of dead workers.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use service_kit::error_chain;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::capacity::{SHORT_JOB_SLOTS, startable};
use super::running::RunningJobs;
use super::store::{ClaimedJob, NextRun, Outcome};
use super::{JobRegistry, QueueError, backoff, run, store};

/// Intervals and timeouts of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerTimings {
    /// How long after its last renewal a lease expires, and other workers take the job over. A
    /// worker that was only slow does no harm: claims fence its writes to documents, and it aborts
    /// the job when it finds out.
    pub lease: Duration,
    /// How often the worker renews the leases of its jobs.
    pub renew_interval: Duration,
    /// How often the worker looks for expired leases.
    pub recovery_interval: Duration,
    /// How often the worker polls for jobs; new jobs that are ready also arrive by notification.
    pub poll_interval: Duration,
    /// How long running jobs may continue after a shutdown request. The worker then returns them,
    /// and they restart elsewhere immediately.
    pub shutdown_grace: Duration,
}

impl Default for WorkerTimings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(12),
            renew_interval: Duration::from_secs(2),
            recovery_interval: Duration::from_secs(3),
            poll_interval: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerConfig {
    /// How many long jobs run at the same time. One workspace can have one less, but at least one.
    /// One more short job can run beside them.
    pub concurrency: NonZeroUsize,
    pub timings: WorkerTimings,
}

/// Connections to the main database in addition to one per job: for claims, leases, recovery and
/// notifications. None of them waits for page requests or for jobs.
const EXTRA_CONNECTIONS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Delays between attempts to claim a job while the main database is unavailable.
const MIN_CLAIM_DELAY: Duration = Duration::from_millis(500);
const MAX_CLAIM_DELAY: Duration = Duration::from_secs(10);
const LISTEN_DELAY: Duration = Duration::from_secs(1);
/// How often the worker checks that the recurring jobs exist.
const RECURRING_INTERVAL: Duration = Duration::from_mins(1);
/// Attempts to store the end of a job's run, with backoff. After the last one, the lease expires
/// and the job runs again.
const SETTLE_ATTEMPTS: u32 = 4;
/// How long a worker that shuts down tries to return its jobs. Jobs that it does not return restart
/// when their leases expire.
const RETURN_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs jobs until shutdown.
#[derive(Debug)]
pub struct Worker {
    id: Uuid,
    database: PgPool,
    registry: Arc<JobRegistry>,
    config: WorkerConfig,
    running: RunningJobs,
    /// Notified when a job may be ready.
    wake: Notify,
}

impl Worker {
    /// Creates a worker with a connection pool of its own, which connects lazily.
    pub fn new(database: &PgPool, registry: JobRegistry, config: WorkerConfig) -> Self {
        let jobs = config.concurrency.saturating_add(SHORT_JOB_SLOTS).get();
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        let options = (*database.connect_options()).clone();
        Self {
            id: Uuid::new_v4(),
            database: PgPoolOptions::new()
                .max_connections(jobs.saturating_add(EXTRA_CONNECTIONS))
                .acquire_timeout(CONNECT_TIMEOUT)
                .connect_lazy_with(options),
            registry: Arc::new(registry),
            config,
            running: RunningJobs::default(),
            wake: Notify::new(),
        }
    }

    /// Runs until `shutdown`, then returns the jobs that do not finish within the grace period.
    /// Logs errors and continues after them.
    pub async fn run(self, shutdown: CancellationToken) {
        let concurrency = self.config.concurrency;
        info!(worker.id = %self.id, worker.concurrency = concurrency, "job worker started");
        // Dropping the tasks aborts them.
        let mut tasks = JoinSet::new();
        let work = async {
            self.claim_jobs(&mut tasks, &shutdown).await;
            let finish = async { while tasks.join_next().await.is_some() {} };
            // The leases are still renewed.
            let _ = timeout(self.config.timings.shutdown_grace, finish).await;
        };
        // Only `work` ends.
        tokio::select! {
            () = work => {}
            () = self.renew_leases() => {}
            () = self.recover_jobs() => {}
            () = self.add_recurring() => {}
            () = self.listen() => {}
        }
        let interrupted = self.running.all();
        tasks.shutdown().await;
        let returning = join_all(interrupted.iter().map(|job| self.return_job(job)));
        if timeout(RETURN_TIMEOUT, returning).await.is_err() {
            warn!("failed to return running jobs in time, they restart when their leases expire");
        }
        self.database.close().await;
        info!(worker.id = %self.id, "job worker stopped");
    }

    /// Starts jobs while there are slots for them, until shutdown.
    async fn claim_jobs(&self, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let mut error_delay = MIN_CLAIM_DELAY;
        while !shutdown.is_cancelled() {
            let pause = match self.fill(tasks, shutdown).await {
                Ok(()) => {
                    error_delay = MIN_CLAIM_DELAY;
                    self.config.timings.poll_interval
                }
                Err(error) => {
                    let pause = error_delay;
                    error_delay = pause.saturating_mul(2).min(MAX_CLAIM_DELAY);
                    warn!(
                        error = %error_chain(&error),
                        retry_after_ms = pause.as_millis(),
                        "failed to claim jobs, retrying"
                    );
                    pause
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified() => {}
                Some(_) = tasks.join_next() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn fill(
        &self,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Result<(), QueueError> {
        while tasks.try_join_next().is_some() {}
        let concurrency = self.config.concurrency.get();
        while !shutdown.is_cancelled()
            && let Some(startable) = startable(&self.registry, concurrency, &self.running.all())
        {
            let lease = self.config.timings.lease;
            let Some(job) = store::claim(&self.database, self.id, &startable, lease).await? else {
                break;
            };
            let (database, registry, claimed) = (
                self.database.clone(),
                Arc::clone(&self.registry),
                job.clone(),
            );
            self.running.spawn(tasks, job, async move {
                if let Some(kind) = registry.kind(&claimed.kind) {
                    let next = run::run(kind, &claimed).await;
                    settle(&database, &claimed, next.as_ref()).await;
                }
            });
        }
        Ok(())
    }

    /// Renews the leases of running jobs, and aborts jobs that another worker has taken over.
    async fn renew_leases(&self) {
        loop {
            sleep(self.config.timings.renew_interval).await;
            let jobs = self.running.ids();
            if jobs.is_empty() {
                continue;
            }
            let lease = self.config.timings.lease;
            match store::renew(&self.database, self.id, &jobs, lease).await {
                Ok(held) => {
                    // A job that has just ended is missing, too; aborting it has no effect.
                    let lost = jobs.into_iter().filter(|job| !held.contains(job));
                    for job in lost.filter_map(|job| self.running.abort(job)) {
                        info!(job.kind, "job aborted: another worker has taken it over");
                    }
                }
                Err(error) => warn!(error = %error_chain(&error), "failed to renew job leases"),
            }
        }
    }

    /// Reschedules jobs whose lease has expired.
    async fn recover_jobs(&self) {
        loop {
            sleep(self.config.timings.recovery_interval).await;
            if let Err(error) = self.recover_expired().await {
                warn!(error = %error_chain(&error), "failed to recover jobs of dead workers");
                // After an outage of the main database, the leases of all workers have expired.
                // Give them time to renew.
                sleep(self.config.timings.lease).await;
            }
        }
    }

    async fn recover_expired(&self) -> Result<(), QueueError> {
        for job in store::expired(&self.database).await? {
            let next = job.crashed("the worker stopped renewing its lease");
            let outcome = store::reschedule(&self.database, &job, &next, true).await?;
            log_outcome(&job, Some(&next), outcome);
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn add_recurring(&self) {
        loop {
            if let Err(error) = self.registry.add_recurring(&self.database).await {
                warn!(error = %error_chain(&error), "failed to add recurring jobs");
            }
            sleep(RECURRING_INTERVAL).await;
        }
    }

    /// Wakes the worker when a job is added. Polling covers notifications that are lost.
    async fn listen(&self) {
        loop {
            if let Err(error) = self.listen_once().await {
                debug!(error = %error_chain(&error), "failed to listen for jobs, retrying");
            }
            sleep(LISTEN_DELAY).await;
        }
    }

    async fn listen_once(&self) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(&self.database).await?;
        listener.listen("jobs").await?;
        loop {
            self.wake.notify_one();
            listener.recv().await?;
        }
    }

    async fn return_job(&self, job: &ClaimedJob) {
        let next = job.interrupted();
        if let Err(error) = store::reschedule(&self.database, job, &next, false).await {
            warn!(job.kind, error = %error_chain(&error), "failed to return a running job");
        }
    }
}

/// Stores the end of a run.
async fn settle(database: &PgPool, job: &ClaimedJob, next: Option<&NextRun>) {
    let mut attempt = 0;
    loop {
        let result = match next {
            None => store::finish(database, job).await,
            Some(next) => store::reschedule(database, job, next, false).await,
        };
        attempt += 1;
        match result {
            Ok(outcome) => return log_outcome(job, next, outcome),
            Err(error) if attempt < SETTLE_ATTEMPTS => {
                debug!(job.kind, error = %error_chain(&error), "failed to store the end of a job, retrying");
                sleep(backoff(attempt)).await;
            }
            Err(error) => {
                let error = error_chain(&error);
                warn!(job.kind, %error, "failed to store the end of a job, it runs again when its lease expires");
                return;
            }
        }
    }
}

fn log_outcome(job: &ClaimedJob, next: Option<&NextRun>, outcome: Outcome) {
    let reason = next.and_then(|next| next.error.as_deref());
    let after = next.map_or(Duration::ZERO, |next| next.after);
    match (outcome, reason) {
        (Outcome::Rescheduled, Some(reason)) if after.is_zero() => {
            info!(job.kind, job.attempt, reason, "job continues");
        }
        (Outcome::Rescheduled, Some(error)) => warn!(
            job.kind,
            job.attempt,
            retry_after_ms = after.as_millis(),
            error,
            "job failed, retrying"
        ),
        (Outcome::GivenUp, reason) => error!(
            job.kind,
            job.key,
            job.starts,
            error = reason,
            "job was given up after too many starts"
        ),
        (Outcome::Superseded, _) => {
            info!(
                job.kind,
                "job not rescheduled: it was replaced or cancelled"
            );
        }
        (Outcome::TakenOver, _) => info!(job.kind, "job left to the worker that took it over"),
        (Outcome::Done | Outcome::Rescheduled, _) => {}
    }
}
