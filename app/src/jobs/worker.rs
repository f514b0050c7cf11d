//! The queue's worker: runs jobs, and restarts after errors such as an unavailable main database.

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

use super::{JobRegistry, SCHEMA};

/// Intervals and timeouts of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerTimings {
    /// How often the worker writes its heartbeat.
    pub heartbeat_interval: Duration,
    /// How often each worker looks for dead workers.
    pub reap_interval: Duration,
    /// How long after its last heartbeat a worker counts as dead. A worker that was only slow does
    /// no harm: claims fence its writes to documents, and it does not reschedule its jobs.
    pub worker_timeout: Duration,
    /// How often the worker polls for jobs; new jobs that are ready also arrive by notification.
    pub poll_interval: Duration,
    /// How long running jobs may continue after a shutdown request. The queue then returns them,
    /// and they restart elsewhere immediately.
    pub shutdown_grace: Duration,
}

impl Default for WorkerTimings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(2),
            reap_interval: Duration::from_secs(3),
            worker_timeout: Duration::from_secs(12),
            poll_interval: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerConfig {
    /// How many jobs run at the same time.
    pub concurrency: NonZeroUsize,
    pub timings: WorkerTimings,
}

/// Connections to the main database in addition to one per job, so that heartbeats and recovery
/// wait neither for page requests nor for jobs.
const EXTRA_CONNECTIONS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Backoff between restarts of a failed worker.
const MIN_RESTART_DELAY: Duration = Duration::from_millis(500);
const MAX_RESTART_DELAY: Duration = Duration::from_secs(10);

/// Runs jobs until shutdown.
#[derive(Debug)]
pub struct Worker {
    database: PgPool,
    registry: JobRegistry,
    config: WorkerConfig,
}

impl Worker {
    /// Creates a worker with a connection pool of its own, which connects lazily.
    pub fn new(database: &PgPool, registry: JobRegistry, config: WorkerConfig) -> Self {
        let jobs = u32::try_from(config.concurrency.get()).unwrap_or(u32::MAX);
        let options = (*database.connect_options()).clone();
        Self {
            database: PgPoolOptions::new()
                .max_connections(jobs.saturating_add(EXTRA_CONNECTIONS))
                .acquire_timeout(CONNECT_TIMEOUT)
                .connect_lazy_with(options),
            registry,
            config,
        }
    }

    /// Runs until `shutdown`, then returns the jobs that do not finish within the grace period.
    /// Logs errors and restarts after them.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut delay = MIN_RESTART_DELAY;
        while !shutdown.is_cancelled() {
            match self.run_once(&shutdown).await {
                Ok(()) => delay = MIN_RESTART_DELAY,
                Err(error) => {
                    warn!(
                        error = %service_kit::error_chain(&error),
                        restart_after_ms = delay.as_millis(),
                        "job worker failed, restarting"
                    );
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(delay) => {}
                    }
                    delay = delay.saturating_mul(2).min(MAX_RESTART_DELAY);
                }
            }
        }
        self.database.close().await;
        info!("job worker stopped");
    }

    async fn run_once(&self, shutdown: &CancellationToken) -> Result<(), WorkerError> {
        let timings = self.config.timings;
        let stop = shutdown.clone().cancelled_owned();
        let worker = self
            .registry
            .options()
            .pg_pool(self.database.clone())
            .schema(SCHEMA)
            .concurrency(self.config.concurrency.get())
            .poll_interval(timings.poll_interval)
            .worker_recovery(
                WorkerRecoveryConfig::default()
                    .heartbeat_interval(timings.heartbeat_interval)
                    .sweep_interval(timings.reap_interval)
                    .sweep_threshold(timings.worker_timeout)
                    .recovery_delay(Duration::ZERO),
            )
            // A job may have caused its worker's crash: it is retried with backoff and counted as a
            // start, so that it is given up eventually. A job interrupted by a shutdown restarts
            // immediately and is not counted.
            .on(JobRecovery, |context| async move {
                match context.reason {
                    FailureReason::WorkerCrashed => JobRecoveryResult::FailWithBackoff,
                    _ => JobRecoveryResult::Default,
                }
            })
            .worker_shutdown(
                WorkerShutdownConfig::default()
                    .listen_os_shutdown_signals(false)
                    .grace_period(timings.shutdown_grace)
                    .interrupted_job_retry_delay(Duration::ZERO)
                    .shutdown_signal(stop),
            )
            .init()
            .await
            .map_err(WorkerError::Start)?;
        info!(
            worker.id = worker.worker_id(),
            worker.concurrency = worker.concurrency(),
            "job worker started"
        );
        worker
            .run()
            .await
            .map_err(|error| WorkerError::Run(Box::new(error)))
    }
}

#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("failed to start the job worker")]
    Start(#[source] WorkerBuildError),
    #[error("job worker failed")]
    Run(#[source] Box<dyn std::error::Error + Send + Sync>),
}
