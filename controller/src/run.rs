//! The reconciler: watches, caches and the loops over them. Runs while this replica holds the Lease, and no longer.

use std::sync::Arc;
use std::time::Duration;

use crds::TenantClass;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, future};
use kube::runtime::controller::{Action, Config as LoopConfig, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::{Client, ResourceExt};
use service_kit::error_chain;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::accounts::Accounts;
use crate::backoff::Backoffs;
use crate::cache::{CachedTenant, SecretCache, WriteThroughCache};
use crate::class::{self, Classes};
use crate::cluster::{Cluster, ClusterError};
use crate::config::Config;
use crate::context::{Context, NamespaceScope};
use crate::events::Events;
use crate::health::{HEARTBEAT_INTERVAL, Health, Role};
use crate::identity::{InstallationId, InvalidInstallationId};
use crate::leadership::LeaderGuard;
use crate::migration_sources::MigrationSources;
use crate::migrations::{MigrationLimits, MigrationSet, MigrationSetError};
use crate::project_listing::{list_accounts, resync};
use crate::telemetry::Metrics;
use crate::tenant::reconcile::reconcile;
use crate::triggers::WorkQueue;
use crate::watches::{class_watch, own_objects, secret_watch, tenant_watch};

/// Projects that may be changed at once: each may wake a compute.
const UPDATES_MAX: usize = 8;
/// Classes that are looked at at once.
const CLASSES_AT_ONCE: u16 = 4;
/// Changes of a class's Tenants within this time count as one.
const CLASS_DEBOUNCE: Duration = Duration::from_secs(1);
/// Wait between attempts to read what the start needs.
const START_RETRY: Duration = Duration::from_secs(2);

/// What the reconciler is started with.
pub struct Dependencies {
    /// The settings.
    pub config: Config,
    /// A client of the Kubernetes API.
    pub client: Client,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where signs of life go.
    pub health: Health,
    /// Says whether this process still holds the Lease.
    pub guard: LeaderGuard,
    /// When this is cancelled, no new work begins; running steps go on to their end.
    pub stop: CancellationToken,
}

/// Why the reconciler could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The migrations that the controller brings along, or its directory, cannot be read.
    #[error("the migrations cannot be used")]
    Migrations(#[source] MigrationSetError),
    /// The cluster's identity cannot be read, and the settings give no installation id.
    #[error("the uid of namespace kube-system cannot be read: allow it, or set installation-id")]
    Identity(#[source] ClusterError),
    /// The cluster's identity is no installation id.
    #[error(
        "the uid of namespace kube-system cannot serve as installation id: set installation-id"
    )]
    InstallationId(#[source] InvalidInstallationId),
}

/// Reconciles until it is stopped. Returns when the last running pass has ended.
///
/// The order of the start matters: a pass over a Tenant trusts the caches, so classes, keys, migrations and Secrets are there
/// before the first pass begins.
pub async fn run(parts: Dependencies) -> Result<(), RunError> {
    let (health, stop) = (parts.health.clone(), parts.stop.clone());
    let (class_store, class_writer) = reflector::store::<TenantClass>();
    let (ctx, writers) = context(parts, class_store).await?;
    count_phases(&ctx);
    let tracker = TaskTracker::new();
    let spawn = |task: BoxFuture<'static, ()>| {
        tracker.spawn(stop.clone().run_until_cancelled_owned(task));
    };

    let caches_synced = CancellationToken::new();
    let class_loop = class_loop(&ctx, class_writer, caches_synced.clone(), &stop);
    if stop.run_until_cancelled(caches_synced.cancelled()).await.is_some() {
        load_classes(&ctx, &stop).await;
    }
    spawn(own_objects(ctx.clone()).boxed());
    for scope in 0..ctx.scopes.len() {
        let caches_synced = CancellationToken::new();
        spawn(secret_watch(ctx.clone(), scope, caches_synced.clone()).boxed());
        stop.run_until_cancelled(caches_synced.cancelled()).await;
    }
    let mut loops = vec![class_loop];
    for (scope, writer) in ctx.scopes.iter().zip(writers) {
        let caches_synced = CancellationToken::new();
        loops.push(tenant_loop(&ctx, scope, writer, caches_synced.clone(), &stop));
        stop.run_until_cancelled(caches_synced.cancelled()).await;
    }
    ctx.caches_synced.cancel();
    for class in ctx.classes.state() {
        ctx.class_queue.ask(ObjectRef::from_obj(&*class));
    }
    spawn(list_accounts(ctx.clone()).boxed());
    spawn(resync(ctx.clone()).boxed());
    if !stop.is_cancelled() {
        health.set_role(Role::Reconciling);
        spawn(heartbeat(health).boxed());
        info!(
            installation.id = %ctx.installation,
            tenants = ctx.all_tenants().count(),
            "The caches are filled; reconciling"
        );
    }

    future::join_all(loops).await;
    tracker.close();
    tracker.wait().await;
    Ok(())
}

/// Everything that passes share, and the ends at which the watches write into it.
async fn context(
    parts: Dependencies,
    classes: Store<TenantClass>,
) -> Result<(Arc<Context>, Vec<Writer<CachedTenant>>), RunError> {
    let Dependencies {
        config,
        client,
        metrics,
        guard,
        stop,
        ..
    } = parts;
    let cluster = Cluster::new(client.clone(), &config.kube.namespace);
    let built_in = built_in(&config).map_err(RunError::Migrations)?;
    info!(
        schema.version = built_in.target_version(),
        schema.digest = built_in.digest(),
        "Migrations are read"
    );
    let installation = installation(&config, &cluster, &stop).await?;
    let instance = config.lease.identity.clone();
    let events = Events::start(client, instance, config.kube.call_deadline, stop);
    let (scopes, writers) = scopes(&config.kube.watch_namespaces);
    let ctx = Context {
        accounts: Accounts::new(config.neon.clone(), installation.clone(), metrics.clone()),
        migration_sources: MigrationSources::new(built_in),
        migration_limits: MigrationLimits {
            connect_total_timeout: config.schema.connect_timeout,
            lock_timeout: config.schema.lock_timeout,
            statement_timeout: config.schema.statement_timeout,
            ..MigrationLimits::default()
        },
        migrations: Semaphore::new(config.schema.concurrency.get()),
        updates: Semaphore::new(UPDATES_MAX),
        backoffs: Backoffs::new(config.retry.backoff_min, config.retry.backoff_max),
        scopes,
        classes,
        secrets: SecretCache::default(),
        own_writes: WriteThroughCache::default(),
        installation,
        cluster,
        events,
        guard,
        metrics,
        caches_synced: CancellationToken::new(),
        class_queue: Arc::default(),
        config,
    };
    Ok((Arc::new(ctx), writers))
}

fn scopes(namespaces: &[String]) -> (Vec<NamespaceScope>, Vec<Writer<CachedTenant>>) {
    let named = namespaces.iter().cloned().map(Some);
    let namespaces: Vec<Option<String>> = if namespaces.is_empty() {
        vec![None]
    } else {
        named.collect()
    };
    let scope = |namespace| {
        let (tenants, writer) = reflector::store();
        let wake = Arc::new(WorkQueue::default());
        (
            NamespaceScope {
                namespace,
                tenants,
                wake,
            },
            writer,
        )
    };
    namespaces.into_iter().map(scope).unzip()
}

fn class_loop(
    ctx: &Arc<Context>,
    writer: Writer<TenantClass>,
    caches_synced: CancellationToken,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let classes = Arc::new(Classes::new(ctx.clone()));
    let config = LoopConfig::default()
        .debounce(CLASS_DEBOUNCE)
        .concurrency(CLASSES_AT_ONCE);
    let reconciler = Controller::for_stream(
        class_watch(ctx, &classes, writer, caches_synced),
        ctx.classes.clone(),
    )
    .with_config(config)
    .reconcile_on(ctx.class_queue.clone().stream())
    .graceful_shutdown_on(stop.clone().cancelled_owned())
    .run(
        class::reconcile,
        |_, _, _| Action::requeue(START_RETRY),
        classes,
    );
    tokio::spawn(reconciler.for_each(|_| future::ready(())))
}

fn tenant_loop(
    ctx: &Arc<Context>,
    scope: &NamespaceScope,
    writer: Writer<CachedTenant>,
    caches_synced: CancellationToken,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let concurrency = u16::try_from(ctx.config.limits.concurrency.get()).unwrap_or(u16::MAX);
    let tenants = tenant_watch(ctx, scope.namespace.as_deref(), writer, caches_synced);
    let reconciler = Controller::for_stream(tenants, scope.tenants.clone())
        .with_config(LoopConfig::default().concurrency(concurrency))
        .reconcile_on(scope.wake.clone().stream())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            reconcile,
            |_, _, _| Action::requeue(START_RETRY),
            ctx.clone(),
        );
    tokio::spawn(reconciler.for_each(|_| future::ready(())))
}

fn built_in(config: &Config) -> Result<MigrationSet, MigrationSetError> {
    match &config.schema.migrations_dir {
        Some(dir) => MigrationSet::from_directory(dir),
        None => MigrationSet::built_in(),
    }
}

async fn installation(
    config: &Config,
    cluster: &Cluster,
    stop: &CancellationToken,
) -> Result<InstallationId, RunError> {
    if let Some(id) = &config.kube.installation_id {
        return Ok(id.clone());
    }
    loop {
        match cluster.identity().await {
            Ok(uid) => return InstallationId::parse(&uid).map_err(RunError::InstallationId),
            Err(error @ ClusterError::Unavailable { .. }) if !stop.is_cancelled() => {
                warn!(
                    "The cluster's identity cannot be read yet: {}",
                    error_chain(&error)
                );
                stop.run_until_cancelled(tokio::time::sleep(START_RETRY))
                    .await;
            }
            Err(error) => return Err(RunError::Identity(error)),
        }
    }
}

/// Every class's key and migrations, before the first Tenant is looked at.
async fn load_classes(ctx: &Context, stop: &CancellationToken) {
    for class in ctx.classes.state() {
        while let Err(error) = class::load(ctx, &class).await {
            warn!(class.name = %class.name_any(), "A TenantClass cannot be read yet: {}", error_chain(&error));
            if stop
                .run_until_cancelled(tokio::time::sleep(START_RETRY))
                .await
                .is_none()
            {
                return;
            }
        }
    }
}

async fn heartbeat(health: Health) {
    let mut tick = tokio::time::interval(HEARTBEAT_INTERVAL);
    loop {
        tick.tick().await;
        health.record_heartbeat();
    }
}

/// The gauge of Tenants by phase, counted when somebody reads the metrics.
fn count_phases(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.metrics.on_scrape(move |metrics| {
        if let Some(ctx) = weak.upgrade() {
            metrics.set_tenants(
                ctx.all_tenants()
                    .filter_map(|tenant| tenant.phase())
                    .map(|phase| (phase, 1)),
            );
        }
    });
}
