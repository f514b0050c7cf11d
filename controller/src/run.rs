//! The reconciler: watches, caches and the loops over them. Runs while this replica holds the Lease, and no longer.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::{FIELD_MANAGER, TenantClass, labels};
use futures::{Stream, StreamExt, TryStreamExt, future};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::controller::{Action, Config as LoopConfig, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::core::PartialObjectMeta;
use kube::runtime::{PredicateConfig, WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::accounts::{Account, Accounts};
use crate::backoff::Backoffs;
use crate::cache::{PackedTenant, Recent, Secrets};
use crate::classes::{self, Classes};
use crate::cluster::{Cluster, ClusterError};
use crate::config::Config;
use crate::context::Context;
use crate::events::Events;
use crate::failure::chain;
use crate::health::{HEARTBEAT_INTERVAL, Health, Role};
use crate::identity::{InstallationId, InvalidInstallationId};
use crate::observe::{begin, observe};
use crate::plan::{Step, plan};
use crate::reconcile::reconcile;
use crate::schema::{MigrationLimits, SchemaSet, SchemaSetError};
use crate::schemas::Schemas;
use crate::telemetry::Metrics;

/// Tenants that wait to be woken; whoever wakes more waits.
const WAKE_QUEUE_MAX: usize = 1_024;
/// Objects of one page when a watch begins.
const WATCH_PAGE_OBJECTS: u32 = 500;
/// Projects that may be changed at once: each may wake a compute.
const UPDATES_MAX: usize = 8;
/// Changes of a class's Tenants within this time count as one.
const CLASS_DEBOUNCE: Duration = Duration::from_secs(1);
/// How often it is looked whether an account's listing is due.
const LISTING_TICK: Duration = Duration::from_secs(1);
/// First wait after a listing that failed.
const LISTING_RETRY: Duration = Duration::from_secs(30);
/// Wait between attempts to read what the start needs.
const START_RETRY: Duration = Duration::from_secs(2);

/// What the reconciler is started with.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// A client of the Kubernetes API.
    pub client: Client,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where signs of life go.
    pub health: Health,
    /// When this is cancelled, no new work begins; running steps go on to their end.
    pub stop: CancellationToken,
}

/// Why the reconciler could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The migrations that the controller brings along, or its directory, cannot be read.
    #[error("the migrations cannot be used")]
    Migrations(#[source] SchemaSetError),
    /// The cluster's identity cannot be read, and the settings give no installation id.
    #[error("the uid of namespace kube-system cannot be read: allow it, or set installation-id")]
    Identity(#[source] ClusterError),
    /// The cluster's identity is no installation id.
    #[error("the uid of namespace kube-system cannot serve as installation id: set installation-id")]
    InstallationId(#[source] InvalidInstallationId),
}

/// Reconciles until it is stopped. Returns when the last running pass has ended.
pub async fn run(parts: Parts) -> Result<(), RunError> {
    let Parts { config, client, metrics, health, stop } = parts;
    let cluster = Cluster::new(client.clone(), &config.kube.namespace);
    let built_in = built_in(&config).map_err(RunError::Migrations)?;
    info!(schema.version = built_in.target_version(), schema.digest = built_in.digest(), "Migrations are read");
    let installation = installation(&config, &cluster, &stop).await?;
    let tracker = TaskTracker::new();

    let scopes: Vec<Option<String>> = if config.kube.watch_namespaces.is_empty() {
        vec![None]
    } else {
        config.kube.watch_namespaces.iter().cloned().map(Some).collect()
    };
    let (stores, writers): (Vec<Store<PackedTenant>>, Vec<Writer<PackedTenant>>) =
        scopes.iter().map(|_| reflector::store()).unzip();
    let (class_store, class_writer) = reflector::store::<TenantClass>();
    let (wake, woken) = mpsc::channel(WAKE_QUEUE_MAX);
    let events = Events::start(client.clone(), config.lease.identity.clone(), config.kube.call_deadline, stop.clone());
    let ctx = Arc::new(Context {
        accounts: Accounts::new(config.neon.clone(), installation.clone(), metrics.clone()),
        schemas: Schemas::new(built_in),
        migration_limits: MigrationLimits {
            connect_total: config.schema.connect_timeout,
            lock_timeout: config.schema.lock_timeout,
            statement_timeout: config.schema.statement_timeout,
            ..MigrationLimits::default()
        },
        migrations: Semaphore::new(config.schema.concurrency.get()),
        updates: Semaphore::new(UPDATES_MAX),
        backoffs: Backoffs::new(config.retry.backoff_min, config.retry.backoff_max),
        tenants: stores.clone(),
        classes: class_store.clone(),
        secrets: Secrets::default(),
        recent: Recent::default(),
        installation,
        cluster,
        events,
        metrics,
        wake,
        config,
    });
    count_phases(&ctx);

    let classes = Arc::new(Classes::new(ctx.clone()));
    let (class_wake, class_woken) = mpsc::channel(WAKE_QUEUE_MAX);
    let classes_filled = CancellationToken::new();
    let class_stream = class_watch(&ctx, &classes, class_writer, &tracker, &stop, classes_filled.clone());
    let class_loop = Controller::for_stream(class_stream, class_store.clone())
        .with_config(LoopConfig::default().debounce(CLASS_DEBOUNCE).concurrency(4))
        .reconcile_on(receiver(class_woken))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(classes::reconcile, |_, _, _| Action::requeue(START_RETRY), classes.clone());
    let class_loop = tokio::spawn(class_loop.for_each(|_| future::ready(())));
    tracker.spawn(stop.clone().run_until_cancelled_owned(own_objects(ctx.clone(), class_wake.clone())));

    if stop.run_until_cancelled(classes_filled.cancelled()).await.is_none() {
        return Ok(());
    }
    load_classes(&ctx, &stop).await;

    let mut loops = Vec::new();
    let mut tenants_filled = Vec::new();
    let woken = hand_out(woken, &scopes, &tracker, &stop);
    for ((scope, writer), (store, woken)) in scopes.iter().zip(writers).zip(stores.into_iter().zip(woken)) {
        let secrets = secret_watch(ctx.clone(), scope.clone());
        let filled = CancellationToken::new();
        tenants_filled.push(filled.clone());
        let tenants = tenant_watch(&ctx, scope.as_deref(), writer, class_wake.clone(), filled);
        let concurrency = u16::try_from(ctx.config.limits.concurrency.get()).unwrap_or(u16::MAX);
        let reconciler = Controller::for_stream(tenants, store)
            .with_config(LoopConfig::default().concurrency(concurrency))
            .reconcile_on(secrets)
            .reconcile_on(woken)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(reconcile, |_, _, _| Action::requeue(START_RETRY), ctx.clone());
        loops.push(tokio::spawn(reconciler.for_each(|_| future::ready(()))));
    }
    tracker.spawn(stop.clone().run_until_cancelled_owned(list_accounts(ctx.clone(), class_wake)));
    tracker.spawn(stop.clone().run_until_cancelled_owned(heartbeat(ctx.clone(), health, tenants_filled)));
    info!(installation.id = %ctx.installation, "Reconciling");

    future::join_all(loops).await;
    let _ = class_loop.await;
    tracker.close();
    tracker.wait().await;
    Ok(())
}

fn built_in(config: &Config) -> Result<SchemaSet, SchemaSetError> {
    match &config.schema.migrations_dir {
        Some(dir) => SchemaSet::from_directory(dir),
        None => SchemaSet::built_in(),
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
                warn!("The cluster's identity cannot be read yet: {}", chain(&error));
                stop.run_until_cancelled(tokio::time::sleep(START_RETRY)).await;
            }
            Err(error) => return Err(RunError::Identity(error)),
        }
    }
}

/// Every class's key and migrations, before the first Tenant is looked at.
async fn load_classes(ctx: &Context, stop: &CancellationToken) {
    for class in ctx.classes.state() {
        while let Err(error) = classes::load(ctx, &class).await {
            warn!(class.name = %class.name_any(), "A TenantClass cannot be read yet: {}", chain(&error));
            if stop.run_until_cancelled(tokio::time::sleep(START_RETRY)).await.is_none() {
                return;
            }
        }
    }
}

fn watch_config() -> watcher::Config {
    watcher::Config::default().page_size(WATCH_PAGE_OBJECTS)
}

/// Cancels `filled` once the store behind a watch holds everything there is. A store's own `wait_until_ready` wakes only the last of
/// those who wait, and the loop over the store is one of them: a second would make one of the two wait for ever.
fn signal_filled<K>(event: &Event<K>, filled: &CancellationToken) {
    if matches!(event, Event::InitDone) {
        filled.cancel();
    }
}

/// The Tenants, whenever somebody asks something of them. Their classes count along.
fn tenant_watch(
    ctx: &Arc<Context>,
    scope: Option<&str>,
    writer: Writer<PackedTenant>,
    class_wake: mpsc::Sender<ObjectRef<TenantClass>>,
    filled: CancellationToken,
) -> impl Stream<Item = Result<PackedTenant, watcher::Error>> + use<> {
    let client = ctx.cluster.client();
    let api: Api<PackedTenant> = match scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    watch(api, watch_config())
        .default_backoff()
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_filled(event, &filled);
            let (Event::Apply(tenant) | Event::InitApply(tenant) | Event::Delete(tenant)) = event else { return };
            // A full queue means that the class is looked at soon anyway.
            let _ = class_wake.try_send(ObjectRef::new(tenant.class_name()));
        })
        .inspect_err(|error| warn!("The watch on Tenants was interrupted: {}", chain(error)))
        .applied_objects()
        .predicate_filter(|tenant: &PackedTenant| Some(tenant.wish_hash()), PredicateConfig::default())
}

/// The classes, whenever they change.
fn class_watch(
    ctx: &Arc<Context>,
    classes: &Arc<Classes>,
    writer: Writer<TenantClass>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
    filled: CancellationToken,
) -> impl Stream<Item = Result<TenantClass, watcher::Error>> + use<> {
    let api: Api<TenantClass> = Api::all(ctx.cluster.client());
    let (classes, tracker, stop) = (classes.clone(), tracker.clone(), stop.clone());
    watch(api, watch_config())
        .default_backoff()
        .modify(|class| class.metadata.managed_fields = None)
        .reflect(writer)
        .inspect_ok(move |event| {
            signal_filled(event, &filled);
            if let Event::Delete(class) = event {
                let (classes, name) = (classes.clone(), class.name_any());
                let stop = stop.clone();
                tracker.spawn(async move { stop.run_until_cancelled(classes.forget(&name)).await });
            }
        })
        .inspect_err(|error| warn!("The watch on TenantClasses was interrupted: {}", chain(error)))
        .applied_objects()
}

/// The Tenants whose Secrets changed.
fn secret_watch(
    ctx: Arc<Context>,
    scope: Option<String>,
) -> impl Stream<Item = ObjectRef<PackedTenant>> + Send + 'static {
    let client = ctx.cluster.client();
    let api: Api<PartialObjectMeta<Secret>> = match &scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let selector = format!("{}={FIELD_MANAGER}", labels::MANAGED_BY);
    watch(api, watch_config().labels(&selector))
        .default_backoff()
        .filter_map(move |event| {
            future::ready(match event {
                Ok(event) => Some(futures::stream::iter(ctx.secrets.observe(scope.as_deref(), event))),
                Err(error) => {
                    warn!("The watch on Secrets was interrupted: {}", chain(&error));
                    None
                }
            })
        })
        .flatten()
}

/// API keys and ConfigMaps with migrations, in the controller's own namespace: a change concerns the classes that name them.
async fn own_objects(ctx: Arc<Context>, class_wake: mpsc::Sender<ObjectRef<TenantClass>>) {
    let namespace = ctx.cluster.namespace().to_owned();
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(ctx.cluster.client(), &namespace);
    let config_maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(ctx.cluster.client(), &namespace);
    let secrets = changed_names(watch(secrets, watch_config())).map(|name| (true, name));
    let config_maps = changed_names(watch(config_maps, watch_config())).map(|name| (false, name));
    let mut changes = pin!(futures::stream::select(secrets, config_maps));
    while let Some((is_secret, name)) = changes.next().await {
        for class in ctx.classes.state() {
            let spec = &class.spec;
            let named = if is_secret {
                spec.neon.api_key_secret_ref.name == name
            } else {
                spec.migrations.config_map.as_ref().is_some_and(|config_map| config_map.name == name)
            };
            if named && class_wake.send(ObjectRef::from_obj(&*class)).await.is_err() {
                return;
            }
        }
    }
}

fn changed_names<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = String> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + 'static,
{
    events.default_backoff().touched_objects().filter_map(|object| {
        future::ready(match object {
            Ok(object) => Some(object.name_any()),
            Err(error) => {
                debug!("A watch in the controller's namespace was interrupted: {}", chain(&error));
                None
            }
        })
    })
}

/// Hands each woken Tenant to the loop that watches its namespace.
fn hand_out(
    mut woken: mpsc::Receiver<ObjectRef<PackedTenant>>,
    scopes: &[Option<String>],
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Vec<impl Stream<Item = ObjectRef<PackedTenant>> + Send + 'static + use<>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        scopes.iter().map(|_| mpsc::channel::<ObjectRef<PackedTenant>>(WAKE_QUEUE_MAX)).unzip();
    let scopes = scopes.to_vec();
    tracker.spawn(stop.clone().run_until_cancelled_owned(async move {
        while let Some(tenant) = woken.recv().await {
            let at = scopes.iter().position(|scope| scope.is_none() || *scope == tenant.namespace);
            if let Some(sender) = at.and_then(|at| senders.get(at))
                && sender.send(tenant).await.is_err()
            {
                return;
            }
        }
    }));
    receivers.into_iter().map(receiver).collect()
}

fn receiver<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

/// Lists each account when its time has come, and wakes the Tenants that then have something to do.
async fn list_accounts(ctx: Arc<Context>, class_wake: mpsc::Sender<ObjectRef<TenantClass>>) {
    let mut due: HashMap<usize, Instant> = HashMap::new();
    let mut tick = tokio::time::interval(LISTING_TICK);
    loop {
        tick.tick().await;
        let accounts = ctx.accounts.all();
        let known: HashSet<usize> = accounts.iter().map(|account| account.number()).collect();
        due.retain(|account, _| known.contains(account));
        for account in accounts {
            if due.get(&account.number()).is_some_and(|due| *due > Instant::now()) {
                continue;
            }
            let wait = match account.list_since(Timestamp::now(), account.neon_housekeeping()).await {
                Ok(()) => {
                    sweep(&ctx, &account).await;
                    ctx.accounts.listing_interval(&account)
                }
                Err(error) => {
                    warn!("An account could not be listed: {}", chain(&error));
                    LISTING_RETRY
                }
            };
            due.insert(account.number(), Instant::now() + wait);
            for class in ctx.classes.state() {
                let _ = class_wake.send(ObjectRef::from_obj(&*class)).await;
            }
        }
    }
}

/// Wakes the Tenants of an account for which the new listing means work. Most mean none, so the plan is asked first.
async fn sweep(ctx: &Arc<Context>, account: &Arc<Account>) {
    let start = Instant::now();
    let mut woken = 0_usize;
    for packed in ctx.all_tenants() {
        let Some(pass) = begin(ctx, &packed) else { continue };
        if !pass.account.as_ref().is_some_and(|own| Arc::ptr_eq(own, account)) {
            continue;
        }
        let step = plan(&pass.goal, &observe(&pass));
        drop(pass);
        if !matches!(step, Step::Rest | Step::Hold | Step::Stall(_) | Step::Wait { .. }) {
            woken += 1;
            if ctx.wake.send(ObjectRef::from_obj(&*packed)).await.is_err() {
                return;
            }
        }
    }
    debug!(tenants.woken = woken, took_ms = start.elapsed().as_millis(), "Compared the listing with the Tenants");
}

async fn heartbeat(ctx: Arc<Context>, health: Health, filled: Vec<CancellationToken>) {
    for store in filled {
        store.cancelled().await;
    }
    health.set_role(Role::Reconciling);
    info!(tenants = ctx.all_tenants().count(), "The caches are filled");
    let mut tick = tokio::time::interval(HEARTBEAT_INTERVAL);
    loop {
        tick.tick().await;
        health.reconciler_alive();
    }
}

/// The gauge of Tenants by phase, counted when somebody reads the metrics.
fn count_phases(ctx: &Arc<Context>) {
    let weak = Arc::downgrade(ctx);
    ctx.metrics.before_read(move |metrics| {
        if let Some(ctx) = weak.upgrade() {
            metrics.set_tenants(ctx.all_tenants().filter_map(|tenant| tenant.phase()).map(|phase| (phase, 1)));
        }
    });
}
