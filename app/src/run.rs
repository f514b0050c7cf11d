//! Starts the components of the process in order, and shuts them down in reverse order.
//!
//! A process starts even if its dependencies are unavailable. It waits for the main database and
//! migrates it, then serves requests; failures of the cluster, S3, models and Redis surface when
//! they are used. On shutdown, it accepts nothing new, ends event streams (browsers reconnect to
//! another process), lets requests and jobs finish, and closes its connections.

mod components;

use std::sync::Arc;
use std::time::Duration;

use service_kit::http::operations::{OperationsServer, Probes};
use service_kit::http::{BindError, Server, ServerLimits};
use service_kit::kubernetes::{self, NoObserver};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{Config, Role};
use crate::database::{self, MigrationError};
use crate::telemetry::{Health, Metrics, PROGRAM, ProcessState};
use crate::tenants::CALL_TIMEOUT;
use crate::web;

pub use components::{StartError, compose};

/// Delay between attempts to migrate the main database.
const MIGRATION_RETRY_DELAY: Duration = Duration::from_secs(2);
/// How long the process waits for each remaining component once requests and jobs are done.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Limits of connections from browsers and proxies.
const SERVER_LIMITS: ServerLimits = ServerLimits {
    max_connections: 8192,
    max_connections_per_peer: 1024,
    max_head_bytes: 32 * 1024,
    head_timeout: Duration::from_secs(30),
    write_timeout: Duration::from_mins(1),
    // Covers event streams and archives. Browsers reconnect.
    max_connection_age: Duration::from_hours(1),
    drain_timeout: Duration::from_secs(20),
};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Port(#[from] BindError),
    #[error("failed to install signal handlers")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the given role until it is done, or until SIGTERM or SIGINT.
pub async fn run(role: Role) -> Result<(), RunError> {
    let (config, has_server) = match role {
        Role::Serve(config) => (config, true),
        Role::Worker(config) => (config, false),
        Role::Migrate(settings) => return Ok(database::migrate(&settings.database).await?),
    };
    let (config, health, metrics) = (
        Arc::<Config>::from(config),
        Health::default(),
        Arc::new(Metrics::new()),
    );
    let probes = ProcessProbes {
        health: health.clone(),
        metrics: Arc::clone(&metrics),
    };
    let address = config.http.operations_listen;
    let operations = OperationsServer::start("operations-listen", address, Arc::new(probes))?;
    let server = if has_server {
        Some(Server::bind("http-listen", config.http.listen)?)
    } else {
        None
    };
    let stopping = health.clone();
    let stop = service_kit::shutdown_signal(move || stopping.set(ProcessState::Stopping))
        .map_err(RunError::Signals)?;
    let result = serve(server, config, &health, metrics, &stop).await;
    operations.stop().await;
    result
}

/// Migrates the database, then serves requests and runs jobs until shutdown.
async fn serve(
    server: Option<Server>,
    config: Arc<Config>,
    health: &Health,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    if !migrate(&config, stop).await? {
        return Ok(());
    }
    health.set(ProcessState::Syncing);
    let tasks = TaskTracker::new();
    let runs_jobs = server.is_none() || config.process.workers > 0;
    let cluster = kubernetes::infer_config()
        .await
        .map_err(StartError::Cluster)?;
    let cluster = kubernetes::client(cluster, &PROGRAM, CALL_TIMEOUT, Arc::new(NoObserver))
        .map_err(StartError::Cluster)?;
    let grace = config.process.shutdown_grace;
    let app = compose(config, cluster, metrics, &tasks, stop).await?;
    let sync = (app.tenants.clone(), health.clone());
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        let (tenants, health) = sync;
        tenants.wait_until_synced().await;
        health.set(ProcessState::Ready);
    }));
    if runs_jobs {
        components::start_workers(&app, &tasks, stop)?;
    }
    components::start_metrics(&app, &tasks, stop);
    match server {
        Some(server) => {
            let address = server.address();
            let public_url = &app.config.http.public_url;
            info!(http.address = %address, %public_url, "serving the app");
            let limits = ServerLimits {
                drain_timeout: grace,
                ..SERVER_LIMITS
            };
            let proxies = app.config.http.trusted_proxies.clone();
            server
                .with_shared_peers(move |peer| {
                    let peer = peer.to_canonical();
                    proxies.0.iter().any(|network| network.contains(&peer))
                })
                .serve(web::router::router(&app), limits, stop.clone())
                .await;
        }
        None => stop.cancelled().await,
    }
    tasks.close();
    if timeout(grace + CLOSE_TIMEOUT, tasks.wait()).await.is_err() {
        warn!(
            tasks = tasks.len(),
            "cancelled tasks that were still running; another process repeats their work"
        );
    }
    if timeout(CLOSE_TIMEOUT, app.database.close()).await.is_err() {
        warn!("main database connections did not close in time");
    }
    info!("shut down");
    Ok(())
}

/// Migrates the main database, and waits until it is available. Returns false if the process shuts
/// down first.
async fn migrate(config: &Config, stop: &CancellationToken) -> Result<bool, RunError> {
    loop {
        let migrating = stop.run_until_cancelled(database::migrate(&config.database));
        match migrating.await {
            None => return Ok(false),
            Some(Ok(())) => return Ok(true),
            Some(Err(error)) if error.is_transient() => {
                warn!(error = %service_kit::error_chain(&error), "waiting for the main database");
            }
            Some(Err(error)) => return Err(error.into()),
        }
        if stop
            .run_until_cancelled(sleep(MIGRATION_RETRY_DELAY))
            .await
            .is_none()
        {
            return Ok(false);
        }
    }
}

/// The health and the metrics that the operations server exposes.
struct ProcessProbes {
    health: Health,
    metrics: Arc<Metrics>,
}

impl Probes for ProcessProbes {
    fn ready(&self) -> Result<&'static str, String> {
        self.health.ready()
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        self.metrics.encode()
    }
}
