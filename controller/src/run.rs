//! Starts the watches, the caches and the reconcilers. They run only while this replica holds the
//! Lease.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crds::TenantClass;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, future, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config as LoopConfig, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::{Client, ResourceExt};
use service_kit::error_chain;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::accounts::Accounts;
use crate::backoff::Backoffs;
use crate::cache::{CachedTenant, RolloutCache, SecretCache, WriteThroughCache};
use crate::class;
use crate::class::reconcile::ClassReconciler;
use crate::clock::WallClock;
use crate::cluster::{ClusterApi, ClusterError, KubeCluster};
use crate::config::Config;
use crate::connection_refusals::ConnectionRefusals;
use crate::context::{Context, NamespaceScope};
use crate::events::Events;
use crate::health::{HEARTBEAT_INTERVAL, Health, Role};
use crate::identity::{InstallationId, InvalidInstallationId};
use crate::inspections::Inspections;
use crate::leadership::LeaderGuard;
use crate::mass_deletion::DeletionHolds;
use crate::migration_slots::MigrationSlots;
use crate::migration_sources::MigrationSources;
use crate::migrations::{MigrationLimits, MigrationSet, MigrationSetError, PostgresMigrator};
use crate::neon::neon_connector;
use crate::password_refusals::PasswordRefusals;
use crate::project_listing::{list_accounts, resync};
use crate::reported_problems::ReportedProblems;
use crate::rollout;
use crate::rollout_concurrency::RolloutConcurrency;
use crate::secret_repairs::SecretRepairs;
use crate::telemetry::Metrics;
use crate::tenant::reconcile::reconcile;
use crate::unapplied_settings::UnappliedSettings;
use crate::watches::{
    class_source_watch, class_watch, namespace_watch, rollout_watch, secret_watch, tenant_watch,
};
use crate::work_queue::WorkQueue;

/// Projects that are updated concurrently. Each update may wake a compute.
const MAX_CONCURRENT_UPDATES: usize = 8;
/// Classes that are reconciled concurrently.
const MAX_CONCURRENT_CLASSES: u16 = 4;
/// Changes of a class's Tenants within this time trigger one reconciliation of the class.
const CLASS_INTERVAL: Duration = Duration::from_secs(1);
/// Changes of a class's Tenants within this time trigger one reconciliation of its rollouts.
const ROLLOUT_INTERVAL: Duration = Duration::from_millis(250);
/// Wait between attempts to read what the start requires.
const STARTUP_RETRY: Duration = Duration::from_secs(2);

/// What the reconcilers need from the process.
pub struct Dependencies {
    pub config: Config,
    pub client: Client,
    pub metrics: Arc<Metrics>,
    pub health: Health,
    /// Whether this process still holds the Lease.
    pub guard: LeaderGuard,
    /// Cancelled to shut down: no new reconciliation starts, and running ones complete.
    pub stop: CancellationToken,
}

/// Why the reconcilers could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("failed to load the migrations")]
    Migrations(#[source] MigrationSetError),
    #[error(
        "failed to read the UID of namespace kube-system: grant the controller access to it, or set installation-id"
    )]
    Identity(#[source] ClusterError),
    #[error("the UID of namespace kube-system is not a valid installation id: set installation-id")]
    InstallationId(#[source] InvalidInstallationId),
}

/// Reconciles until `stop` is cancelled. Returns when the last running reconciliation has
/// completed.
///
/// A reconciliation of a Tenant relies on the caches, so the classes with their keys and
/// migrations, and the Secrets, are loaded before the first one starts.
pub async fn run(dependencies: Dependencies) -> Result<(), RunError> {
    let (health, stop) = (dependencies.health.clone(), dependencies.stop.clone());
    let grace = dependencies.config.process.shutdown_grace;
    let client = dependencies.client.clone();
    let (class_store, class_writer) = reflector::store::<TenantClass>();
    let (namespaces, namespace_writer) = reflector::store();
    let (ctx, writers) = context(dependencies, class_store, namespaces).await?;
    count_phases(&ctx);
    let tracker = TaskTracker::new();
    let spawn = |task: BoxFuture<'static, ()>| {
        tracker.spawn(stop.clone().run_until_cancelled_owned(task));
    };

    let synced = CancellationToken::new();
    let class_loop = class_loop(
        &ctx,
        client.clone(),
        health.clone(),
        class_writer,
        synced.clone(),
        &stop,
    );
    if stop.run_until_cancelled(synced.cancelled()).await.is_some() {
        load_classes(&ctx, &stop).await;
    }
    let synced = CancellationToken::new();
    let watch = namespace_watch(
        ctx.clone(),
        client.clone(),
        health.clone(),
        namespace_writer,
        synced.clone(),
    );
    spawn(watch.boxed());
    stop.run_until_cancelled(synced.cancelled()).await;
    spawn(class_source_watch(ctx.clone(), client.clone(), health.clone()).boxed());
    // The rollouts determine the target schemas of Tenants.
    let synced = CancellationToken::new();
    let watch = rollout_watch(ctx.clone(), client.clone(), health.clone(), synced.clone());
    spawn(watch.boxed());
    stop.run_until_cancelled(synced.cancelled()).await;
    for scope in 0..ctx.scopes.len() {
        let synced = CancellationToken::new();
        let watch = secret_watch(
            ctx.clone(),
            client.clone(),
            health.clone(),
            scope,
            synced.clone(),
        );
        spawn(watch.boxed());
        stop.run_until_cancelled(synced.cancelled()).await;
    }
    let mut loops = vec![class_loop, rollout_loop(&ctx, &stop)];
    for (scope, writer) in ctx.scopes.iter().zip(writers) {
        let synced = CancellationToken::new();
        loops.push(tenant_loop(
            &ctx,
            client.clone(),
            health.clone(),
            scope,
            writer,
            synced.clone(),
            &stop,
        ));
        stop.run_until_cancelled(synced.cancelled()).await;
    }
    ctx.caches_synced.cancel();
    for class in ctx.classes.state() {
        ctx.class_queue.enqueue(ObjectRef::from_obj(&*class));
    }
    spawn(list_accounts(ctx.clone()).boxed());
    spawn(resync(ctx.clone()).boxed());
    if !stop.is_cancelled() {
        health.set_role(Role::Reconciling);
        spawn(heartbeat(health).boxed());
        info!(
            installation.id = %ctx.installation,
            tenants = ctx.all_tenants().count(),
            "caches synced; reconciling"
        );
    }

    finish(loops, &stop, grace).await;
    tracker.close();
    tracker.wait().await;
    Ok(())
}

/// Waits until the loops have ended. Aborts the steps that are still running when `grace` has expired
/// after `stop`: a step that is repeated by the next leader leads to the same result.
async fn finish(loops: Vec<JoinHandle<()>>, stop: &CancellationToken, grace: Duration) {
    let running: Vec<_> = loops.iter().map(JoinHandle::abort_handle).collect();
    let expired = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let mut ended = pin!(future::join_all(loops));
    tokio::select! {
        _ = &mut ended => return,
        () = expired => {}
    }
    warn!(
        grace_ms = grace.as_millis(),
        "shutdown-grace expired; aborting the steps that are still running"
    );
    running.iter().for_each(AbortHandle::abort);
    ended.await;
}

/// The context, and the writers of its Tenant stores.
async fn context(
    dependencies: Dependencies,
    classes: Store<TenantClass>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
) -> Result<(Arc<Context>, Vec<Writer<CachedTenant>>), RunError> {
    let Dependencies {
        config,
        client,
        metrics,
        guard,
        stop,
        ..
    } = dependencies;
    let cluster = KubeCluster::new(client.clone(), &config.kube.namespace);
    let clock = WallClock::system();
    let built_in = default_migrations(&config).map_err(RunError::Migrations)?;
    info!(
        schema.version = built_in.target_version(),
        schema.digest = built_in.digest(),
        "loaded migrations"
    );
    let installation = installation(&config, &cluster, &stop).await?;
    let instance = config.lease.identity.clone();
    let events = Events::start(client, instance, config.kube.call_timeout, stop.clone());
    let (scopes, writers) = scopes(&config.kube.watch_namespaces.0);
    let ctx = Context {
        accounts: Accounts::new(
            config.neon.clone(),
            installation.clone(),
            clock.clone(),
            neon_connector(&config.neon, metrics.clone()),
        ),
        migration_sources: MigrationSources::new(built_in),
        migrator: Arc::new(PostgresMigrator(MigrationLimits::of_settings(
            config.migrations.connect_timeout,
            config.migrations.lock_timeout,
            config.migrations.statement_timeout,
        ))),
        migration_slots: MigrationSlots::new(
            config.migrations.concurrency.get(),
            config.reconcile.concurrency.get(),
        ),
        rollout_concurrency: RolloutConcurrency::default(),
        project_updates: Semaphore::new(MAX_CONCURRENT_UPDATES),
        deletion_holds: DeletionHolds::default(),
        secret_repairs: SecretRepairs::default(),
        password_refusals: PasswordRefusals::default(),
        connection_refusals: ConnectionRefusals::default(),
        unapplied_settings: UnappliedSettings::default(),
        reported_problems: ReportedProblems::default(),
        inspections: Inspections::default(),
        backoffs: Backoffs::new(config.reconcile.backoff_min, config.reconcile.backoff_max),
        scopes,
        classes,
        namespaces,
        rollouts: RolloutCache::default(),
        secrets: SecretCache::default(),
        own_writes: WriteThroughCache::default(),
        installation,
        cluster: Arc::new(cluster),
        clock,
        events,
        guard,
        metrics,
        stopping: stop.clone(),
        caches_synced: CancellationToken::new(),
        class_queue: Arc::default(),
        deletion_requested: Notify::new(),
        rollout_queue: Arc::default(),
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
        let queue = Arc::new(WorkQueue::default());
        (
            NamespaceScope {
                namespace,
                tenants,
                queue,
            },
            writer,
        )
    };
    namespaces.into_iter().map(scope).unzip()
}

fn class_loop(
    ctx: &Arc<Context>,
    client: Client,
    health: Health,
    writer: Writer<TenantClass>,
    synced: CancellationToken,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let class_reconciler = Arc::new(ClassReconciler::new(ctx.clone()));
    let config = LoopConfig::default().concurrency(MAX_CONCURRENT_CLASSES);
    let reconciler = Controller::for_stream(
        class_watch(client, health, &class_reconciler, writer, synced),
        ctx.classes.clone(),
    )
    .with_config(config)
    .reconcile_on(ctx.class_queue.clone().stream_at_intervals(CLASS_INTERVAL))
    .graceful_shutdown_on(stop.clone().cancelled_owned())
    .run(
        class::reconcile::reconcile,
        |_, _, _| Action::requeue(STARTUP_RETRY),
        class_reconciler,
    );
    tokio::spawn(reconciler.for_each(|_| future::ready(())))
}

/// Reconciles the rollouts of the classes that are queued.
fn rollout_loop(ctx: &Arc<Context>, stop: &CancellationToken) -> JoinHandle<()> {
    let config = LoopConfig::default().concurrency(MAX_CONCURRENT_CLASSES);
    let queue = ctx.rollout_queue.clone();
    let reconciler = Controller::for_stream(stream::pending(), ctx.classes.clone())
        .with_config(config)
        .reconcile_on(queue.stream_at_intervals(ROLLOUT_INTERVAL))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            rollout::reconcile::reconcile,
            |_, _, _| Action::requeue(STARTUP_RETRY),
            ctx.clone(),
        );
    tokio::spawn(reconciler.for_each(|_| future::ready(())))
}

fn tenant_loop(
    ctx: &Arc<Context>,
    client: Client,
    health: Health,
    scope: &NamespaceScope,
    writer: Writer<CachedTenant>,
    synced: CancellationToken,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let concurrency = u16::try_from(ctx.config.reconcile.concurrency.get()).unwrap_or(u16::MAX);
    let namespace = scope.namespace.as_deref();
    let tenants = tenant_watch(ctx, client, health, namespace, writer, synced);
    let reconciler = Controller::for_stream(tenants, scope.tenants.clone())
        .with_config(LoopConfig::default().concurrency(concurrency))
        .reconcile_on(scope.queue.clone().stream())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            reconcile,
            |_, _, _| Action::requeue(STARTUP_RETRY),
            ctx.clone(),
        );
    tokio::spawn(reconciler.for_each(|_| future::ready(())))
}

fn default_migrations(config: &Config) -> Result<MigrationSet, MigrationSetError> {
    match &config.migrations.dir {
        Some(dir) => MigrationSet::from_directory(dir),
        None => MigrationSet::built_in(),
    }
}

async fn installation(
    config: &Config,
    cluster: &dyn ClusterApi,
    stop: &CancellationToken,
) -> Result<InstallationId, RunError> {
    if let Some(id) = &config.kube.installation_id {
        return Ok(id.clone());
    }
    loop {
        match cluster.cluster_uid().await {
            Ok(uid) => return InstallationId::parse(&uid).map_err(RunError::InstallationId),
            Err(error @ ClusterError::Unavailable { .. }) if !stop.is_cancelled() => {
                warn!(error = %error_chain(&error), "failed to read the cluster's identity; retrying");
                stop.run_until_cancelled(tokio::time::sleep(STARTUP_RETRY))
                    .await;
            }
            Err(error) => return Err(RunError::Identity(error)),
        }
    }
}

/// Loads the key and the migrations of every class, before the first Tenant is reconciled.
async fn load_classes(ctx: &Context, stop: &CancellationToken) {
    let served = ctx
        .classes
        .state()
        .into_iter()
        .filter(|class| ctx.serves(class));
    for class in served {
        while let Some(Err(error)) = stop.run_until_cancelled(ctx.load_class(&class)).await {
            warn!(
                class.name = %class.name_any(),
                error = %error_chain(&error),
                "failed to load the class; retrying"
            );
            if stop
                .run_until_cancelled(tokio::time::sleep(STARTUP_RETRY))
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

/// Counts the Tenants by phase whenever the metrics are read.
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
