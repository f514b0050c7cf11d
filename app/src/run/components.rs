//! Creates the components from the settings, and starts background work.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use llm::Models;
use pdf_text::{Extractor, ExtractorConfig, Limits as ReadingLimits};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::ask::AnswerService;
use crate::config::Config;
use crate::database;
use crate::events::Events;
use crate::identity::oidc::{FetchError, Oidc};
use crate::ingestion::{self, IngestContext};
use crate::jobs::{JobRegistry, Worker, WorkerConfig, WorkerTimings, backlog};
use crate::objects::{self, ObjectStore};
use crate::telemetry::{JobCounts, Metrics};
use crate::tenants::{Pools, Tenants};
use crate::web::shared::App;
use crate::web::shared::app::Components;
use crate::web::shared::rate_limit::RateLimiter;
use crate::web::shared::security::SecurityHeaders;
use crate::web::shared::streams::Streams;
use crate::workspaces::deletion::{self, DeletionWorker};
use crate::workspaces::reconcile;

/// How often the job metrics are updated.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(15);
/// How often deletions without a job are resumed.
const RESUME_INTERVAL: Duration = Duration::from_mins(2);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`database-url` must be the URL of a PostgreSQL database")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Cluster(#[from] service_kit::kubernetes::KubeClientError),
    #[error("failed to set up the S3 client")]
    Objects(#[from] objects::MissingCredentials),
    #[error("failed to set up the models")]
    Models(#[from] llm::ConfigError),
    #[error("failed to set up the OpenID client")]
    Oidc(#[from] FetchError),
    #[error("failed to set up the Redis client")]
    Redis(#[from] redis::RedisError),
    #[error("failed to find the path of this program, which reads PDFs in a child process")]
    Program(#[source] io::Error),
}

/// Creates all components. Their dependencies need not be available yet.
pub async fn compose(
    config: Arc<Config>,
    cluster: kube::Client,
    metrics: Arc<Metrics>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<App, StartError> {
    let database = database::pool(&config.database)?;
    let tenants = Tenants::start(cluster, &config.tenants.namespace, tasks, stop);
    let pools = Pools::start(tenants.clone(), (&config.pools).into(), tasks, stop);
    let oidc = config
        .sign_in
        .provider()
        .map(|provider| Oidc::new(&provider, &config.http.public_url))
        .transpose()?;
    let models = Arc::new(Models::new(config.models.config()?)?);
    Ok(App::new(Components {
        objects: ObjectStore::start(&config.objects).await?,
        ask: AnswerService::start(
            pools.clone(),
            Arc::clone(&models),
            Arc::clone(&metrics),
            config.models.max_answer_tokens,
            tasks.clone(),
            stop.clone(),
        ),
        models,
        oidc,
        events: Events::start(database.clone(), stop.clone()),
        limits: RateLimiter::start(&config.rate_limits)?,
        streams: Streams::default(),
        headers: SecurityHeaders::new(&config),
        metrics,
        stop: stop.clone(),
        config,
        database,
        tenants,
        pools,
    }))
}

/// Starts the job worker and the background loops that resume interrupted work.
pub(super) fn start_workers(
    app: &App,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    let reader =
        ExtractorConfig::current_exe(ReadingLimits::default()).map_err(StartError::Program)?;
    let context = IngestContext::new(
        app.database.clone(),
        app.objects.clone(),
        Arc::new(app.pools.clone()),
        Extractor::new(reader),
        Arc::clone(&app.models) as Arc<_>,
    )
    .with_metrics(Arc::clone(&app.metrics));
    let origin = app.config.http.public_url.origin().to_owned();
    let cors = app.objects.clone().maintain_cors(origin);
    tasks.spawn(stop.clone().run_until_cancelled_owned(cors));
    let conditional_writes = app.objects.clone().check_conditional_writes();
    tasks.spawn(stop.clone().run_until_cancelled_owned(conditional_writes));
    let deletion_worker = DeletionWorker {
        database: app.database.clone(),
        tenants: app.tenants.clone(),
        pools: app.pools.clone(),
        files: app.objects.clone(),
    };
    let registry = ingestion::jobs(
        &context,
        app.config.sign_in.session_lifetimes(),
        JobRegistry::new(),
    );
    let registry = deletion::register_jobs(&deletion_worker, registry);
    let settings = WorkerConfig {
        concurrency: NonZeroUsize::new(app.config.process.workers).unwrap_or(NonZeroUsize::MIN),
        timings: WorkerTimings {
            shutdown_grace: app.config.process.shutdown_grace,
            ..WorkerTimings::default()
        },
    };
    tasks.spawn(Worker::new(&app.database, registry, settings).run(stop.clone()));
    tasks.spawn(reconcile::run(
        app.database.clone(),
        app.tenants.clone(),
        stop.clone(),
    ));
    let heartbeat =
        ingestion::target_model::heartbeat_loop(app.database.clone(), context.embedding_model());
    tasks.spawn(stop.clone().run_until_cancelled_owned(heartbeat));
    let database = app.database.clone();
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            if let Err(error) = deletion::resume(&database).await {
                warn!(error = %service_kit::error_chain(&error), "failed to resume deletions");
            }
            sleep(RESUME_INTERVAL).await;
        }
    }));
    Ok(())
}

/// Starts the updates of metrics that other components count.
pub(super) fn start_metrics(app: &App, tasks: &TaskTracker, stop: &CancellationToken) {
    let (tenants, pools, limits) = (app.tenants.clone(), app.pools.clone(), app.limits.clone());
    app.metrics.on_scrape(move |metrics| {
        let state = tenants.watch_status();
        metrics.set_tenants(state.tenants, state.disconnected_since.is_none());
        let counts = pools.counts();
        metrics.set_pools(counts.open, counts.connections);
        metrics.set_redis_errors(limits.redis_errors());
    });
    let (database, metrics) = (app.database.clone(), Arc::clone(&app.metrics));
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            // While the database is unavailable, the last values remain.
            if let Ok(kinds) = backlog(&database).await {
                metrics.jobs.set(kinds.into_iter().map(|kind| JobCounts {
                    waiting: kind.ready + kind.scheduled + kind.running,
                    failed: kind.dead,
                    ready_seconds: kind.ready_seconds,
                    kind: kind.kind,
                }));
            }
            sleep(BACKLOG_INTERVAL).await;
        }
    }));
}
