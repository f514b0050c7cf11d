//! A worker: takes jobs as they come, and begins again by itself when the main database was away.

use std::num::NonZeroUsize;
use std::time::Duration;

use graphile_worker::{
    FailureReason, JobRecovery, JobRecoveryResult, WorkerBuildError, WorkerRecoveryConfig,
    WorkerShutdownConfig,
};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Registry, SCHEMA};

/// How soon things are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How often a worker says that it lives.
    pub heartbeat: Duration,
    /// How often each worker looks for dead ones.
    pub look_for_dead: Duration,
    /// How long without a heartbeat is dead. A worker that was only slow does no harm: what it still
    /// writes is refused by the documents' claims, and it puts nothing back.
    pub dead_after: Duration,
    /// How often to look for jobs without having been told of any: jobs whose time has come.
    pub poll: Duration,
    /// How long running jobs may go on after a shutdown was asked for. Then they are given back and begin elsewhere at once.
    pub grace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(2),
            look_for_dead: Duration::from_secs(3),
            dead_after: Duration::from_secs(12),
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}

/// How a worker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSettings {
    /// How many jobs run at once.
    pub concurrency: NonZeroUsize,
    /// How soon things are noticed.
    pub times: Times,
}

/// The queue's own connections to the main database beside one for each job: heartbeats and takeovers must not wait
/// behind pages, nor behind the jobs.
const CONNECTIONS_SPARE: u32 = 4;
/// How long such a connection is waited for.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait before a worker that fell over is started again, at first and at most.
const RESTART_WAIT_MIN: Duration = Duration::from_millis(500);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(10);

/// Takes jobs from the queue until it is told to stop.
#[derive(Debug)]
pub struct Worker {
    database: PgPool,
    registry: Registry,
    settings: WorkerSettings,
}

impl Worker {
    /// A worker over the main database. It connects with connections of its own, when it runs.
    pub fn new(database: &PgPool, registry: Registry, settings: WorkerSettings) -> Self {
        let jobs = u32::try_from(settings.concurrency.get()).unwrap_or(u32::MAX);
        let options = (*database.connect_options()).clone();
        Self {
            database: PgPoolOptions::new()
                .max_connections(jobs.saturating_add(CONNECTIONS_SPARE))
                .acquire_timeout(CONNECT_LIMIT)
                .connect_lazy_with(options),
            registry,
            settings,
        }
    }

    /// Works until `shutdown`, then gives back what it cannot finish within the grace period. Whatever ends it
    /// before is logged, and it begins again.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut wait = RESTART_WAIT_MIN;
        while !shutdown.is_cancelled() {
            match self.turn(&shutdown).await {
                Ok(()) => wait = RESTART_WAIT_MIN,
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "The queue's worker stopped; it starts again in {} ms",
                        wait.as_millis()
                    );
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = wait.saturating_mul(2).min(RESTART_WAIT_MAX);
                }
            }
        }
        self.database.close().await;
        info!("The queue's worker has stopped");
    }

    async fn turn(&self, shutdown: &CancellationToken) -> Result<(), WorkerError> {
        let times = self.settings.times;
        let stop = shutdown.clone().cancelled_owned();
        let worker = self
            .registry
            .options()
            .pg_pool(self.database.clone())
            .schema(SCHEMA)
            .concurrency(self.settings.concurrency.get())
            .poll_interval(times.poll)
            .worker_recovery(
                WorkerRecoveryConfig::default()
                    .heartbeat_interval(times.heartbeat)
                    .sweep_interval(times.look_for_dead)
                    .sweep_threshold(times.dead_after)
                    .recovery_delay(Duration::ZERO),
            )
            // A job whose worker died may have killed it: it comes back with the backoff of a failure and counts as a start,
            // so that it is given up in the end. One that was only shut down comes back at once and costs nothing.
            .on(JobRecovery, |context| async move {
                match context.reason {
                    FailureReason::WorkerCrashed => JobRecoveryResult::FailWithBackoff,
                    _ => JobRecoveryResult::Default,
                }
            })
            .worker_shutdown(
                WorkerShutdownConfig::default()
                    .listen_os_shutdown_signals(false)
                    .grace_period(times.grace)
                    .interrupted_job_retry_delay(Duration::ZERO)
                    .shutdown_signal(stop),
            )
            .init()
            .await
            .map_err(WorkerError::Start)?;
        info!(
            worker.id = worker.worker_id(),
            worker.concurrency = worker.concurrency(),
            "The queue's worker takes jobs"
        );
        worker
            .run()
            .await
            .map_err(|error| WorkerError::Run(Box::new(error)))
    }
}

/// Why a worker stopped before it was asked to.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("it could not start")]
    Start(#[source] WorkerBuildError),
    #[error("it could not go on")]
    Run(#[source] Box<dyn std::error::Error + Send + Sync>),
}
