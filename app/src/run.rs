//! The app's parts, started in order, and ended in the other.
//!
//! A process comes up whatever is away: it waits for the main database, migrates it, then serves; the cluster, S3, models and Redis are
//! found missing when they are needed, and the page says so. Asked to stop, it takes nothing new, ends streams (browsers connect to
//! another process), lets requests and jobs finish, and closes what is open.

mod parts;

use std::sync::Arc;
use std::time::Duration;

use service_kit::http::{Bounds, Server, operations};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{Config, Work};
use crate::database::{self, MigrationError};
use crate::telemetry::{Health, Metrics, State};
use crate::tenants::connect;
use crate::web;

pub use parts::{StartError, compose};

/// Wait between attempts to reach the main database at the start.
const START_RETRY: Duration = Duration::from_secs(2);
/// Limit on ending what is left once requests and jobs are over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of browsers and proxies.
const PAGES: Bounds = Bounds {
    connections_max: 8192,
    head_bytes_max: 32 * 1024,
    head_timeout: Duration::from_secs(30),
    // Events and archives last; browsers connect again.
    connection_life_max: Duration::from_hours(1),
    drain_timeout: Duration::from_secs(20),
};

/// Why the app could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port cannot be opened.
    #[error("{setting} is {address}, which cannot be opened")]
    Port {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// The main database's schema cannot be brought up to date.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// A part cannot be made from its settings.
    #[error(transparent)]
    Part(#[from] StartError),
}

/// Does what was asked for until it is done, or until SIGTERM or SIGINT.
pub async fn run(work: Work) -> Result<(), RunError> {
    let (config, serves) = match work {
        Work::Serve(config) => (config, true),
        Work::Worker(config) => (config, false),
        Work::Migrate(database) => return Ok(database::migrate(&database).await?),
    };
    let (config, health, metrics) = (
        Arc::<Config>::from(config),
        Health::default(),
        Arc::new(Metrics::new()),
    );
    let operations = bind("operations-listen", config.http.operations_listen).await?;
    let address = operations.address();
    info!(operations.address = %address, "Serving /livez, /readyz and /metrics on {address}");
    let pages = if serves {
        Some(bind("http-listen", config.http.listen).await?)
    } else {
        None
    };
    let end_of_operations = CancellationToken::new();
    let vitals = Vitals {
        health: health.clone(),
        metrics: Arc::clone(&metrics),
    };
    let telling = tokio::spawn(operations.serve(
        operations::router(Arc::new(vitals)),
        operations::BOUNDS,
        end_of_operations.clone(),
    ));
    let stopping = health.clone();
    let stop = service_kit::stop::on_signal(move || stopping.set(State::Stopping))
        .map_err(RunError::Signals)?;
    let ended = live(pages, config, &health, metrics, &stop).await;
    end_of_operations.cancel();
    if timeout(CLOSE_TIMEOUT, telling).await.is_err() {
        warn!("The operations port did not end in time");
    }
    ended
}

/// From the first look at the main database to the last job.
async fn live(
    pages: Option<Server>,
    config: Arc<Config>,
    health: &Health,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    if !migrated(&config, stop).await? {
        return Ok(());
    }
    health.set(State::Filling);
    let tasks = TaskTracker::new();
    let does_jobs = pages.is_none() || config.workers > 0;
    let cluster = connect::client().await.map_err(StartError::Cluster)?;
    let grace = config.shutdown_grace;
    let app = compose(config, cluster, metrics, &tasks, stop).await?;
    let filling = (app.tenants.clone(), health.clone());
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        let (tenants, health) = filling;
        tenants.wait_until_synced().await;
        health.set(State::Ready);
    }));
    if does_jobs {
        parts::work(&app, &tasks, stop)?;
    }
    parts::observe(&app, &tasks, stop);
    match pages {
        Some(pages) => {
            let address = pages.address();
            let public_url = &app.config.http.public_url;
            info!(http.address = %address, "Serving pages on {address}; browsers reach them at {public_url}");
            let bounds = Bounds {
                drain_timeout: grace,
                ..PAGES
            };
            pages
                .serve(web::router::router(&app), bounds, stop.clone())
                .await;
        }
        None => stop.cancelled().await,
    }
    tasks.close();
    if timeout(grace + CLOSE_TIMEOUT, tasks.wait()).await.is_err() {
        warn!(
            tasks = tasks.len(),
            "Tasks were still running and were abandoned; what they did is done again elsewhere"
        );
    }
    if timeout(CLOSE_TIMEOUT, app.database.close()).await.is_err() {
        warn!("Connections to the main database were cut off");
    }
    info!("Stopped");
    Ok(())
}

/// Brings the schema up to date, however long the database takes to come up; `false` if asked to stop before.
async fn migrated(config: &Config, stop: &CancellationToken) -> Result<bool, RunError> {
    loop {
        let migrating = stop.run_until_cancelled(database::migrate(&config.database));
        match migrating.await {
            None => return Ok(false),
            Some(Ok(())) => return Ok(true),
            Some(Err(error)) if error.is_passing() => {
                warn!(error = %service_kit::error_chain(&error), "Waiting for the main database");
            }
            Some(Err(error)) => return Err(error.into()),
        }
        if stop.run_until_cancelled(sleep(START_RETRY)).await.is_none() {
            return Ok(false);
        }
    }
}

async fn bind(setting: &'static str, address: std::net::SocketAddr) -> Result<Server, RunError> {
    Server::bind(address)
        .await
        .map_err(|source| RunError::Port {
            setting,
            address,
            source,
        })
}

/// What the operations port says of this process.
struct Vitals {
    health: Health,
    metrics: Arc<Metrics>,
}

impl operations::Vitals for Vitals {
    fn live(&self) -> Result<&'static str, String> {
        Ok("alive")
    }

    fn ready(&self) -> Result<&'static str, String> {
        self.health.ready()
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        self.metrics.encode()
    }
}
