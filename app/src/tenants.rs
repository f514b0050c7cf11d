//! The app's view of the cluster: one Tenant per workspace, in a namespace of their own.
//!
//! Two watches keep the Tenants and the versions of their Secrets in memory, so [`Tenants::view`]
//! makes no API call. Ten thousand Tenants take a few megabytes. During an outage of the API server
//! the app keeps working with the last known state. [`pools`] is the only module that opens tenant
//! databases.
//!
//! The app never recreates a Tenant whose UID it has recorded, and never changes a Tenant that does
//! not belong to one of its workspaces.

mod availability;
mod cache;
mod cluster;
pub mod pools;
mod statement_timeout;
mod throttle;
mod view;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use kube::Client;
use service_kit::error_chain;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use availability::Unavailable;
pub use cluster::{
    AppliedTenant, CALL_TIMEOUT, ClusterError, DeleteOutcome, FIELD_MANAGER, ObservedTenant,
    RenameOutcome,
};
pub use pools::{PoolCounts, PoolLimits, Pools, TenantDatabase, is_full};
pub use statement_timeout::{begin_with_timeout, is_statement_timeout};
pub use view::{
    ConditionSummary, MIN_SCHEMA_VERSION, ProjectRef, ProvisioningTimings, TenantName, TenantView,
    WORKSPACE_LABEL,
};

use crate::domain::Workspace;
use cache::Cache;
use cluster::{Cluster, ReadSecret};
use throttle::Throttle;
use watches::WatchState;

/// Maximum number of Tenants that one process applies concurrently. Each apply holds its
/// workspace's row, and so one connection to the main database, until the API server answers. The
/// limit leaves the other connections to pages and jobs while the API server does not respond.
pub const MAX_CONCURRENT_APPLIES: usize = 4;
/// How long [`Tenants::acquire_apply_permit`] waits. The caller holds no row or connection
/// meanwhile.
const APPLY_PERMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum time between two requests to reconcile the same Tenant.
const RECONCILE_INTERVAL: Duration = Duration::from_mins(1);
/// Minimum time between two records of the use of the same Tenant. Neon reports uses in between, some
/// minutes later.
const USE_INTERVAL: Duration = Duration::from_hours(1);
/// The same while the database has an older schema than the app needs: it is not opened, so Neon reports
/// no use.
const BLOCKED_USE_INTERVAL: Duration = Duration::from_mins(1);

/// Whether a query failed because it names a table or column that the tenant's database does not
/// have. The app runs before all tenants are migrated.
pub fn lacks_migration(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else {
        return false;
    };
    // undefined_table and undefined_column.
    matches!(error.code().as_deref(), Some("42P01" | "42703"))
}

/// The Tenants of the app's namespace. Cheap to clone.
#[derive(Clone)]
pub struct Tenants(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    cache: Cache,
    tenants: WatchState,
    secrets: WatchState,
    reconciles: Throttle,
    uses: Throttle,
    blocked_uses: Throttle,
    apply_permits: Semaphore,
}

/// State of the watches, for `/readyz` and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchStatus {
    /// Whether both initial lists are complete. Until then, a Tenant missing from the cache may
    /// still exist.
    pub is_synced: bool,
    /// When the connection to the API server was lost. The cached state keeps serving.
    pub disconnected_since: Option<Timestamp>,
    /// Number of Tenants in the cache.
    pub tenants: usize,
}

impl Tenants {
    /// Starts the watches, which run until `stop` is cancelled. Returns immediately; await
    /// [`Self::wait_until_synced`] for the initial lists.
    pub fn start(
        client: Client,
        namespace: &str,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let tenants = Self(Arc::new(Inner {
            cluster: Cluster::new(client.clone(), namespace),
            cache: Cache::default(),
            tenants: WatchState::new("tenants"),
            secrets: WatchState::new("secrets"),
            reconciles: Throttle::new(RECONCILE_INTERVAL),
            uses: Throttle::new(USE_INTERVAL),
            blocked_uses: Throttle::new(BLOCKED_USE_INTERVAL),
            apply_permits: Semaphore::new(MAX_CONCURRENT_APPLIES),
        }));
        let watching = (tenants.0.clone(), client.clone(), namespace.to_owned());
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            let (inner, client, namespace) = watching;
            watches::tenants(client, &namespace, &inner.cache, &inner.tenants).await;
        }));
        let watching = (tenants.0.clone(), client, namespace.to_owned());
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            let (inner, client, namespace) = watching;
            watches::secrets(client, &namespace, &inner.cache, &inner.secrets).await;
        }));
        tenants
    }

    /// Waits until both initial lists are complete.
    pub async fn wait_until_synced(&self) {
        self.0.tenants.synced.cancelled().await;
        self.0.secrets.synced.cancelled().await;
    }

    pub fn watch_status(&self) -> WatchStatus {
        let (tenants, secrets) = (&self.0.tenants, &self.0.secrets);
        WatchStatus {
            is_synced: tenants.synced.is_cancelled() && secrets.synced.is_cancelled(),
            disconnected_since: match (
                tenants.health.disconnected_since(),
                secrets.health.disconnected_since(),
            ) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            tenants: self.0.cache.tenant_count(),
        }
    }

    /// The Tenant from the cache. `None` if no Tenant has this name or the initial list is
    /// incomplete.
    pub fn view(&self, name: &TenantName) -> Option<Arc<TenantView>> {
        self.0.cache.tenant(name)
    }

    /// All cached Tenants, in no particular order.
    pub fn all(&self) -> Vec<Arc<TenantView>> {
        self.0.cache.tenants()
    }

    /// The Tenant's current state, followed by every change. A slow subscriber may miss
    /// intermediate versions, but always gets the newest.
    pub fn changes(
        &self,
        name: &TenantName,
    ) -> impl Stream<Item = Option<Arc<TenantView>>> + Send + use<> {
        self.0.cache.subscribe(name)
    }

    /// Checks whether the workspace's database can be used now.
    pub fn available(&self, workspace: &Workspace) -> Result<Arc<TenantView>, Unavailable> {
        let view = self.view(&TenantName::of(&workspace.id));
        let is_synced = self.0.tenants.synced.is_cancelled();
        let available = availability::check(workspace, view.clone(), is_synced, Timestamp::now());
        if let (Err(Unavailable::SchemaOutdated { .. }), Some(view)) = (&available, view) {
            self.spawn_record_use(view, |inner| &inner.blocked_uses);
        }
        available
    }

    /// Creates the workspace's Tenant unless it exists, and returns it. Call this only while the
    /// workspace's state is `creating`.
    pub async fn apply(&self, workspace: &Workspace) -> Result<AppliedTenant, ClusterError> {
        self.0.cluster.apply(workspace).await
    }

    /// Waits for permission to apply a Tenant while holding a row of the main database. At most
    /// [`MAX_CONCURRENT_APPLIES`] permits exist per process. Returns `None` if none becomes free in
    /// time, for example because the API server does not respond.
    pub async fn acquire_apply_permit(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.0.apply_permits.acquire();
        tokio::time::timeout(APPLY_PERMIT_TIMEOUT, permit)
            .await
            .ok()?
            .ok()
    }

    /// Reads the Tenant from the API server, for a conditional update with [`Self::rename`].
    pub async fn observe(&self, name: &TenantName) -> Result<Option<ObservedTenant>, ClusterError> {
        self.0.cluster.observe(name).await
    }

    /// Sets the Tenant's display name to the workspace's name, unless the Tenant has changed since
    /// it was observed.
    pub async fn rename(
        &self,
        workspace: &Workspace,
        observed: ObservedTenant,
    ) -> Result<RenameOutcome, ClusterError> {
        self.0.cluster.rename(workspace, observed).await
    }

    /// Reads the Tenant from the API server.
    pub async fn get(&self, name: &TenantName) -> Result<Option<TenantView>, ClusterError> {
        self.0.cluster.tenant(name).await
    }

    /// Requests deletion of the Tenant with this UID; a Tenant of the same name with another UID is
    /// left alone. The Tenant disappears once its database is deleted.
    pub async fn delete(
        &self,
        name: &TenantName,
        uid: &str,
    ) -> Result<DeleteOutcome, ClusterError> {
        self.0.cluster.delete(name, uid).await
    }

    fn secret_version(&self, name: &str) -> Option<Box<str>> {
        self.0.cache.secret_version(name)
    }

    async fn read_secret(&self, name: &str) -> Result<Option<ReadSecret>, ClusterError> {
        self.0.cluster.secret(name).await
    }

    /// Asks the controller to check the database after a failed login. Does nothing if it was
    /// already asked for this Tenant within the last minute.
    pub async fn request_reconcile(&self, tenant: &TenantView) {
        if !self.0.reconciles.try_acquire(&tenant.name) {
            return;
        }
        if let Err(error) = self.0.cluster.request_reconcile(tenant).await {
            warn!(
                tenant.name = %tenant.name,
                error = %error_chain(&error),
                "failed to request a reconcile of the Tenant"
            );
        }
    }

    /// Records in the Tenant that its database is in use, so that a rollout with `wake: OnUse`
    /// migrates it. Does nothing if that was recorded within the last hour. Runs in the background, so
    /// that the request does not wait for the API server.
    fn record_use(&self, tenant: Arc<TenantView>) {
        self.spawn_record_use(tenant, |inner| &inner.uses);
    }

    fn spawn_record_use(&self, tenant: Arc<TenantView>, throttle: fn(&Inner) -> &Throttle) {
        if !throttle(&self.0).try_acquire(&tenant.name) {
            return;
        }
        let tenants = self.clone();
        tokio::spawn(async move {
            if let Err(error) = tenants.0.cluster.record_use(&tenant).await {
                warn!(
                    tenant.name = %tenant.name,
                    error = %error_chain(&error),
                    "failed to record the use of the Tenant"
                );
            }
        });
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tenants")
            .field("state", &self.watch_status())
            .finish_non_exhaustive()
    }
}
