//! The cluster as the app sees it: a Tenant a workspace, in a namespace of their own.
//!
//! Two watches keep what the app has to know in memory ([`Tenants::view`] makes no call), so ten thousand Tenants cost some megabytes
//! and an API server that is away costs nothing but news. [`pools`] is the only place that opens tenants' databases.
//!
//! The app never makes a Tenant again whose uid it once knew, and never changes one that is not its own.

mod availability;
mod cache;
mod cluster;
pub mod connect;
pub mod pools;
mod throttle;
mod view;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use availability::Unavailable;
pub use cluster::{Applied, CALL_DEADLINE, ClusterError, Deletion, FIELD_MANAGER, Renaming, Seen};
pub use pools::{PoolCounts, PoolLimits, Pools, TenantDatabase};
pub use view::{Note, Project, SCHEMA_NEEDED, TenantName, TenantView, Took, WORKSPACE_LABEL};

use crate::workspaces::Workspace;
use cache::Cache;
use cluster::{Cluster, ReadSecret};
use throttle::Throttle;
use watches::Health;

/// Tenants that one process applies at once. Each holds its workspace's row and so a connection to the main database, for as long as the
/// API server takes: while it does not answer, the others are left to pages and jobs.
pub const APPLIED_AT_ONCE_MAX: usize = 4;
/// How long a place among them is waited for. Nothing is held meanwhile.
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// The Tenants of the app's namespace. Cloning it is cheap.
#[derive(Clone)]
pub struct Tenants(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    cache: Cache,
    tenants: Health,
    secrets: Health,
    reconciles: Throttle,
    applying: Semaphore,
}

/// How the watches are doing, for `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchState {
    /// Whether everything was listed once: before that, a Tenant that is not known may still be there.
    pub is_filled: bool,
    /// Since when there has been no news from the API server; what was known still serves.
    pub interrupted_since: Option<Timestamp>,
    /// Tenants known.
    pub tenants: usize,
}

impl Tenants {
    /// Begins to watch, until `stop`. Returns at once: [`Self::filled`] says when the first lists are complete.
    pub fn start(
        client: Client,
        namespace: &str,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let tenants = Self(Arc::new(Inner {
            cluster: Cluster::new(client.clone(), namespace),
            cache: Cache::default(),
            tenants: Health::default(),
            secrets: Health::default(),
            reconciles: Throttle::default(),
            applying: Semaphore::new(APPLIED_AT_ONCE_MAX),
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

    /// Waits until both first lists are complete.
    pub async fn filled(&self) {
        self.0.tenants.filled.cancelled().await;
        self.0.secrets.filled.cancelled().await;
    }

    /// How the watches are doing.
    pub fn watch_state(&self) -> WatchState {
        let (tenants, secrets) = (&self.0.tenants, &self.0.secrets);
        WatchState {
            is_filled: tenants.filled.is_cancelled() && secrets.filled.is_cancelled(),
            interrupted_since: match (tenants.interrupted_since(), secrets.interrupted_since()) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            tenants: self.0.cache.tenant_count(),
        }
    }

    /// The Tenant as the watch last saw it. `None`: there is none of that name, or the first list is not complete.
    pub fn view(&self, name: &TenantName) -> Option<Arc<TenantView>> {
        self.0.cache.tenant(name)
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<TenantView>> {
        self.0.cache.tenants()
    }

    /// The Tenant as it is now, and again whenever it changes. Whoever is slow misses versions in between, never the newest.
    pub fn changes(
        &self,
        name: &TenantName,
    ) -> impl Stream<Item = Option<Arc<TenantView>>> + Send + use<> {
        self.0.cache.follow(name)
    }

    /// Whether the workspace's database can be used now, and why not.
    pub fn available(&self, workspace: &Workspace) -> Result<Arc<TenantView>, Unavailable> {
        let view = self.view(&TenantName::of(&workspace.id));
        let is_filled = self.0.tenants.filled.is_cancelled();
        availability::of(workspace, view, is_filled, Timestamp::now())
    }

    /// Makes the workspace's Tenant if there is none, and returns it. Call it only while the workspace is `creating`.
    pub async fn apply(&self, workspace: &Workspace) -> Result<Applied, ClusterError> {
        self.0.cluster.apply(workspace).await
    }

    /// Waits for the right to apply a Tenant while a row of the main database is held, until it is dropped: [`APPLIED_AT_ONCE_MAX`] of
    /// this process do. `None`: the others take too long, as they do while the API server does not answer.
    pub async fn place_to_apply(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.0.applying.acquire();
        tokio::time::timeout(PLACE_WAIT, place).await.ok()?.ok()
    }

    /// The Tenant as the API server has it now, to be changed only if it still is so.
    pub async fn see(&self, name: &TenantName) -> Result<Option<Seen>, ClusterError> {
        self.0.cluster.see(name).await
    }

    /// Gives the Tenant that was seen its workspace's name.
    pub async fn rename(
        &self,
        workspace: &Workspace,
        seen: Seen,
    ) -> Result<Renaming, ClusterError> {
        self.0.cluster.rename(workspace, seen).await
    }

    /// The Tenant as the API server has it now.
    pub async fn look(&self, name: &TenantName) -> Result<Option<TenantView>, ClusterError> {
        self.0.cluster.tenant(name).await
    }

    /// Asks for the deletion of the Tenant with this uid, and of no other of its name. It goes when its database is gone.
    pub async fn delete(&self, name: &TenantName, uid: &str) -> Result<Deletion, ClusterError> {
        self.0.cluster.delete(name, uid).await
    }

    fn secret_version(&self, name: &str) -> Option<Box<str>> {
        self.0.cache.secret_version(name)
    }

    async fn read_secret(&self, name: &str) -> Result<Option<ReadSecret>, ClusterError> {
        self.0.cluster.secret(name).await
    }

    /// Asks the controller to look at the database itself, after a login that failed. Asking again within a minute does nothing.
    pub async fn ask_for_reconcile(&self, tenant: &TenantView) {
        if !self.0.reconciles.may(&tenant.name) {
            return;
        }
        let asked = self
            .0
            .cluster
            .ask_for_reconcile(&tenant.name, &tenant.uid, Timestamp::now());
        if let Err(error) = asked.await {
            warn!(
                tenant.name = %tenant.name,
                error = &error as &dyn std::error::Error,
                "The controller could not be asked to look at the database"
            );
        }
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tenants")
            .field("state", &self.watch_state())
            .finish_non_exhaustive()
    }
}
