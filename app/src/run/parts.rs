//! Every part from its settings, put together once.

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
use crate::config::{Config, SignIn};
use crate::database;
use crate::events::Events;
use crate::identity::oidc::{FetchError, Oidc};
use crate::ingestion::{self, IngestContext};
use crate::jobs::{JobRegistry, WorkerTimings, Worker, WorkerConfig, backlog};
use crate::objects::{self, ObjectStore};
use crate::telemetry::Metrics;
use crate::tenants::{Pools, Tenants, connect};
use crate::web::shared::App;
use crate::web::shared::app::Parts;
use crate::web::shared::rate_limit::Limits;
use crate::web::shared::security::Headers;
use crate::web::shared::streams::Streams;
use crate::workspaces::deletion::{self, DeletionWorker};
use crate::workspaces::reconcile;

/// How often the queue is counted for the metrics.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(15);
/// How often removals are looked for that lost their job.
const RESUME_INTERVAL: Duration = Duration::from_mins(2);

/// A part cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The main database's URL.
    #[error("the main database's pool cannot be made")]
    Database(#[from] sqlx::Error),
    /// There is no way to the cluster.
    #[error(transparent)]
    Cluster(#[from] connect::ConnectError),
    /// The store of files.
    #[error("the store of files cannot be used")]
    Objects(#[from] objects::MissingCredentials),
    /// The models.
    #[error("the models cannot be used")]
    Models(#[from] llm::ConfigError),
    /// The OpenID provider's client.
    #[error("the client for the OpenID provider cannot be made")]
    Oidc(#[from] FetchError),
    /// Redis.
    #[error("the client for Redis cannot be made")]
    Redis(#[from] redis::RedisError),
    /// This program cannot be found to be run again as the reader of PDFs.
    #[error("this program cannot find itself, to read PDFs in a process apart")]
    Program(#[source] io::Error),
}

/// Starts the parts over this cluster and puts them together. Whatever they stand on may still be away.
pub async fn compose(
    config: Arc<Config>,
    cluster: kube::Client,
    metrics: Arc<Metrics>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<App, StartError> {
    let database = database::pool(&config.database)?;
    let tenants = Tenants::start(cluster, &config.tenants.namespace, tasks, stop);
    let pools = Pools::start(tenants.clone(), config.pools, tasks, stop);
    let oidc = match &config.sign_in {
        SignIn::Oidc(settings) => Some(Oidc::new(settings, &config.http.public_url)?),
        SignIn::Local => None,
    };
    let models = Arc::new(Models::start(config.models.clone())?);
    Ok(App::new(Parts {
        objects: ObjectStore::start(&config.objects).await?,
        ask: AnswerService::start(
            pools.clone(),
            Arc::clone(&models),
            Arc::clone(&metrics),
            tasks.clone(),
            stop.clone(),
        ),
        models,
        oidc,
        events: Events::start(database.clone(), stop.clone()),
        limits: Limits::start(&config.limits)?,
        streams: Streams::default(),
        headers: Headers::new(&config),
        metrics,
        stop: stop.clone(),
        config,
        database,
        tenants,
        pools,
    }))
}

/// Does jobs, and looks for work that lost its process.
pub(super) fn work(
    app: &App,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    let reader =
        ExtractorConfig::of_this_program(ReadingLimits::default()).map_err(StartError::Program)?;
    let context = IngestContext::new(
        app.database.clone(),
        app.objects.clone(),
        Arc::new(app.pools.clone()),
        Extractor::new(reader),
        Arc::clone(&app.models) as Arc<_>,
    )
    .with_metrics(Arc::clone(&app.metrics));
    let origin = app.config.http.public_url.origin().to_owned();
    let opened = app.objects.clone().configure_cors(origin);
    tasks.spawn(stop.clone().run_until_cancelled_owned(opened));
    let remover = DeletionWorker {
        database: app.database.clone(),
        tenants: app.tenants.clone(),
        pools: app.pools.clone(),
        files: app.objects.clone(),
    };
    let registry = ingestion::jobs(&context, app.config.sessions, JobRegistry::new());
    let registry = deletion::register_jobs(&remover, registry);
    let settings = WorkerConfig {
        concurrency: NonZeroUsize::new(app.config.workers).unwrap_or(NonZeroUsize::MIN),
        timings: WorkerTimings {
            shutdown_grace: app.config.shutdown_grace,
            ..WorkerTimings::default()
        },
    };
    tasks.spawn(Worker::new(&app.database, registry, settings).run(stop.clone()));
    tasks.spawn(reconcile::run(
        app.database.clone(),
        app.tenants.clone(),
        stop.clone(),
    ));
    let noting =
        ingestion::target_model::heartbeat_loop(app.database.clone(), context.embedding_model());
    tasks.spawn(stop.clone().run_until_cancelled_owned(noting));
    let database = app.database.clone();
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            if let Err(error) = deletion::resume(&database).await {
                warn!(error = %service_kit::error_chain(&error), "Removals without a job could not be looked for");
            }
            sleep(RESUME_INTERVAL).await;
        }
    }));
    Ok(())
}

/// Brings the metrics that are counted elsewhere up to date.
pub(super) fn observe(app: &App, tasks: &TaskTracker, stop: &CancellationToken) {
    let (tenants, pools, limits) = (app.tenants.clone(), app.pools.clone(), app.limits.clone());
    app.metrics.before_read(move |metrics| {
        let state = tenants.watch_status();
        metrics.set_tenants(state.tenants, state.disconnected_since.is_some());
        let counts = pools.counts();
        metrics.set_pools(counts.open, counts.connections);
        metrics.set_redis_failures(limits.redis_failures());
    });
    let (database, metrics) = (app.database.clone(), Arc::clone(&app.metrics));
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            // While the database is away the last counts stand; others tell that it is.
            if let Ok(kinds) = backlog(&database).await {
                for kind in kinds {
                    let waiting = kind.ready + kind.scheduled + kind.running;
                    metrics.set_jobs(&kind.kind, waiting, kind.dead);
                }
            }
            sleep(BACKLOG_INTERVAL).await;
        }
    }));
}
