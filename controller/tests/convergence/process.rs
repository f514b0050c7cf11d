//! The controller's process: the shipped reconcilers with caches of their own. A crash drops it with
//! everything that it knows.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use controller::accounts::{Accounts, Priority};
use controller::backoff::Backoffs;
use controller::cache::{CachedTenant, RolloutCache, SecretCache, WriteThroughCache};
use controller::class::reconcile::{ClassReconciler, reconcile as reconcile_class};
use controller::clock::WallClock;
use controller::config::{self, Config, HostInfo};
use controller::connection_refusals::ConnectionRefusals;
use controller::context::{Context, NamespaceScope};
use controller::events::{EventQueue, Events};
use controller::identity::TenantUid;
use controller::inspections::{Candidate, Inspections};
use controller::leadership::LeaderGuard;
use controller::mass_deletion::DeletionHolds;
use controller::migration_slots::MigrationSlots;
use controller::migration_sources::MigrationSources;
use controller::migrations::MigrationSet;
use controller::neon::NeonApi as _;
use controller::password_refusals::PasswordRefusals;
use controller::reported_problems::ReportedProblems;
use controller::rollout::reconcile::reconcile as reconcile_rollouts;
use controller::rollout_concurrency::RolloutConcurrency;
use controller::secret_repairs::SecretRepairs;
use controller::telemetry::Metrics;
use controller::tenant::reconcile::{Completion, reconcile_once};
use controller::unapplied_settings::UnappliedSettings;
use controller::work_queue::WorkQueue;
use crds::{Reason, TenantClass};
use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::{PartialObjectMeta, PartialObjectMetaExt as _};
use kube::runtime::reflector::{self, ObjectRef, store::Writer};
use kube::runtime::watcher::Event;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::{NAMESPACE, SimulatedCluster, TENANT};
use crate::databases::SimulatedDatabases;
use crate::neon::SimulatedNeon;
use crate::world::{VERIFICATION_WINDOW, WatchEvent, World, installation};

/// If a reconciliation makes no progress for this long, it waits for a held listing, which then gets
/// its answer.
const STUCK_AFTER: Duration = Duration::from_mins(2);

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

pub(crate) static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let window = format!("{}s", VERIFICATION_WINDOW.as_secs());
    let args = [
        "tenant-controller",
        "--namespace=controller",
        "--lease-identity=simulation",
        "--neon-create-verification-window",
        window.as_str(),
        // A fixed backoff: a run depends on nothing but its events.
        "--backoff-min=2s",
        "--backoff-max=2s",
    ];
    let args = args.into_iter().map(Into::into);
    config::load(args, &BTreeMap::new(), &HostInfo::default()).expect("valid settings")
});

pub(crate) struct Process {
    world: World,
    ctx: Arc<Context>,
    classes: Writer<TenantClass>,
    tenants: Writer<CachedTenant>,
    class_reconciler: Arc<ClassReconciler>,
    reconciliation: Option<BoxFuture<'static, Option<Completion>>>,
    listing: Option<BoxFuture<'static, ()>>,
    published: EventQueue,
}

/// How far a reconciliation got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has made the calls that it may make and continues later.
    Paused,
    Completed(Completion),
    /// There is no Tenant.
    Idle,
    Crashed,
}

impl Process {
    /// Starts a process, whose caches contain the current objects.
    pub(crate) fn start(world: &World) -> Self {
        let (class_store, mut classes) = reflector::store();
        let (tenant_store, mut tenants) = reflector::store();
        let clock = WallClock::new({
            let world = world.clone();
            move || world.state().now()
        });
        let neon = SimulatedNeon::new(world);
        let (events, published) = Events::queue();
        let default_migrations = MigrationSet::from_files([("1_unused.sql", "select 1")]);
        let ctx = Arc::new(Context {
            config: CONFIG.clone(),
            installation: installation(),
            cluster: Arc::new(SimulatedCluster(world.clone())),
            clock: clock.clone(),
            scopes: vec![NamespaceScope {
                namespace: None,
                tenants: tenant_store,
                queue: Arc::new(WorkQueue::default()),
            }],
            classes: class_store,
            namespaces: reflector::store().0,
            rollouts: RolloutCache::default(),
            secrets: SecretCache::default(),
            own_writes: WriteThroughCache::default(),
            accounts: Accounts::new(
                CONFIG.neon.clone(),
                installation(),
                clock,
                Box::new(move |_, org_id, key| neon.with_access(org_id, key)),
            ),
            migration_sources: MigrationSources::new(default_migrations.expect("a valid set")),
            migrator: Arc::new(SimulatedDatabases(world.clone())),
            migration_slots: MigrationSlots::new(1, 1),
            rollout_concurrency: RolloutConcurrency::default(),
            project_updates: Semaphore::new(1),
            deletion_holds: DeletionHolds::default(),
            secret_repairs: SecretRepairs::default(),
            password_refusals: PasswordRefusals::default(),
            connection_refusals: ConnectionRefusals::default(),
            unapplied_settings: UnappliedSettings::default(),
            reported_problems: ReportedProblems::default(),
            inspections: Inspections::default(),
            backoffs: Backoffs::new(CONFIG.reconcile.backoff_min, CONFIG.reconcile.backoff_max),
            guard: LeaderGuard::new(|| true),
            events,
            metrics: METRICS.clone(),
            stopping: CancellationToken::new(),
            caches_synced: CancellationToken::new(),
            class_queue: Arc::default(),
            deletion_requested: Notify::new(),
            rollout_queue: Arc::default(),
        });
        let mut state = world.state();
        state.watch_events.clear();
        classes.apply_watcher_event(&Event::Apply(state.class.clone()));
        if let Some(tenant) = state.tenant.clone() {
            let tenant = state.watched(tenant);
            let cached = CachedTenant::try_from(tenant).expect("a valid Tenant");
            tenants.apply_watcher_event(&Event::Apply(cached));
        }
        for rollout in state.rollouts.values() {
            ctx.rollouts.apply_event(Event::Apply(rollout.clone()));
        }
        ctx.secrets.apply_event(None, Event::Init);
        for secret in state.secrets.values() {
            ctx.secrets
                .apply_event(None, Event::InitApply(metadata(secret)));
        }
        ctx.secrets.apply_event(None, Event::InitDone);
        drop(state);
        ctx.caches_synced.cancel();
        Self {
            world: world.clone(),
            class_reconciler: Arc::new(ClassReconciler::new(ctx.clone())),
            ctx,
            classes,
            tenants,
            reconciliation: None,
            listing: None,
            published,
        }
    }

    /// Delivers the changes that the watches have not delivered yet.
    pub(crate) fn deliver_watch_events(&mut self) {
        for rollout in self.world.state().rollouts.values() {
            self.ctx.rollouts.apply_event(Event::Apply(rollout.clone()));
        }
        let events = std::mem::take(&mut self.world.state().watch_events);
        for event in events {
            match event {
                WatchEvent::Class(class) => {
                    self.classes.apply_watcher_event(&Event::Apply(class));
                }
                WatchEvent::Tenant(tenant) => {
                    let cached = CachedTenant::try_from(tenant).expect("a valid Tenant");
                    let event = Event::Apply(cached.clone());
                    self.tenants.apply_watcher_event(&event);
                    self.ctx.own_writes.evict_observed(&cached);
                }
                WatchEvent::TenantDeleted(tenant) => {
                    let cached = CachedTenant::try_from(tenant).expect("a valid Tenant");
                    let event = Event::Delete(cached.clone());
                    self.tenants.apply_watcher_event(&event);
                    self.ctx.own_writes.evict_observed(&cached);
                }
                WatchEvent::Secret(secret) => {
                    let event = Event::Apply(metadata(&secret));
                    self.ctx.secrets.apply_event(None, event);
                }
                WatchEvent::SecretDeleted(secret) => {
                    let event = Event::Delete(metadata(&secret));
                    self.ctx.secrets.apply_event(None, event);
                }
            }
        }
    }

    /// Number of events with this reason since the last call.
    pub(crate) fn count_events(&mut self, reason: Reason) -> usize {
        let published = std::iter::from_fn(|| self.published.try_recv().ok());
        published
            .filter(|(event, _)| event.reason == reason.as_str())
            .count()
    }

    pub(crate) fn is_reconciling(&self) -> bool {
        self.reconciliation.is_some()
    }

    /// Continues the running reconciliation, or starts one, until it completes or has made this many
    /// further calls.
    pub(crate) async fn reconcile(&mut self, calls: Option<u32>) -> Progress {
        if self.reconciliation.is_none() {
            self.reconciliation = Some(self.start_reconciliation());
        }
        self.world.allow_calls(calls);
        loop {
            let listing = OptionFuture::from(self.listing.as_mut());
            let Some(reconciliation) = &mut self.reconciliation else {
                return Progress::Idle;
            };
            tokio::select! {
                biased;
                () = self.world.crashed() => return Progress::Crashed,
                completion = reconciliation => {
                    self.reconciliation = None;
                    return completion.map_or(Progress::Idle, Progress::Completed);
                }
                Some(()) = listing => self.listing = None,
                () = self.world.paused() => return Progress::Paused,
                () = sleep(STUCK_AFTER) => {
                    assert!(self.listing.is_some(), "the reconciliation is stuck");
                    self.world.release_listings();
                }
            }
        }
    }

    /// A reconciliation of the Tenant, then of its class and of the class's rollouts.
    fn start_reconciliation(&self) -> BoxFuture<'static, Option<Completion>> {
        self.world.state().password_reset = false;
        let key = ObjectRef::new(TENANT).within(NAMESPACE);
        let cached = self.ctx.scopes[0].tenants.get(&key);
        let (ctx, class_reconciler) = (self.ctx.clone(), self.class_reconciler.clone());
        async move {
            let completion = match cached {
                Some(cached) => reconcile_once(&cached, &ctx).await,
                None => None,
            };
            if let Some(class) = ctx.class("default") {
                let Ok(_) = reconcile_class(class, class_reconciler).await;
            }
            if let Some(class) = ctx.class("default") {
                let Ok(_) = reconcile_rollouts(class, ctx.clone()).await;
            }
            completion
        }
        .boxed()
    }

    /// Starts a listing for drift detection, which shows what exists now.
    pub(crate) async fn begin_listing(&mut self) {
        if self.listing.is_some() {
            return;
        }
        let Some(Ok(account)) = self.ctx.accounts.for_class("default") else {
            return;
        };
        self.world.state().listings_held = true;
        self.request_inspection();
        let since = self.ctx.clock.now();
        let mut listing = async move {
            // An incomplete listing fails.
            let _ = account.list_since(since, Priority::Background).await;
        }
        .boxed();
        // The listing reads the projects when it is polled first.
        if futures::poll!(&mut listing).is_pending() {
            self.listing = Some(listing);
        }
    }

    /// Makes it the Tenant's turn to have its compute read.
    fn request_inspection(&self) {
        let uid = self
            .world
            .state()
            .tenant
            .as_ref()
            .and_then(ResourceExt::uid);
        if let Some(tenant) = uid.and_then(|uid| TenantUid::parse(&uid)) {
            let candidate = Candidate {
                tenant,
                changed: true,
            };
            let now = self.ctx.clock.now();
            self.ctx.inspections.choose([(candidate, ())], 1, now);
        }
    }

    /// Completes the listing.
    pub(crate) async fn end_listing(&mut self) {
        self.world.release_listings();
        // Without a reconciliation in between, which may hold the account's listing lock.
        if !self.is_reconciling()
            && let Some(listing) = self.listing.take()
        {
            listing.await;
        }
    }
}

fn metadata(secret: &Secret) -> PartialObjectMeta<Secret> {
    secret.metadata.clone().into_response_partial()
}
