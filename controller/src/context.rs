//! What all passes share.

use std::sync::Arc;

use crds::TenantClass;
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::backoff::Backoffs;
use crate::cache::{CachedTenant, SecretCache, WriteThroughCache};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::events::Events;
use crate::identity::InstallationId;
use crate::leadership::LeaderGuard;
use crate::migration_sources::MigrationSources;
use crate::migrations::MigrationLimits;
use crate::telemetry::Metrics;
use crate::triggers::WorkQueue;

/// What all passes share.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Which projects are ours.
    pub installation: InstallationId,
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// What is watched: all namespaces, or some.
    pub scopes: Vec<NamespaceScope>,
    /// The classes.
    pub classes: Store<TenantClass>,
    /// The Secrets' metadata, as far as it matters.
    pub secrets: SecretCache,
    /// Our own last writes.
    pub own_writes: WriteThroughCache,
    /// The Neon accounts.
    pub accounts: Accounts,
    /// The classes' migrations.
    pub migration_sources: MigrationSources,
    /// Limits of a migration.
    pub migration_limits: MigrationLimits,
    /// Databases that may be open at once.
    pub migrations: Semaphore,
    /// Projects that may be changed at once.
    pub updates: Semaphore,
    /// How long Tenants wait that failed.
    pub backoffs: Backoffs,
    /// Whether this process still holds the Lease. A process that was frozen may find out late that it does not.
    pub guard: LeaderGuard,
    /// Where events go.
    pub events: Events,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled once every watch has told of all that is there. Before, Tenants cannot be counted.
    pub caches_synced: CancellationToken,
    /// Classes that want to be looked at.
    pub class_queue: Arc<WorkQueue<ObjectRef<TenantClass>>>,
}

/// The Tenants of one watch.
pub struct NamespaceScope {
    /// The namespace; `None`: all.
    pub namespace: Option<String>,
    /// Its Tenants.
    pub tenants: Store<CachedTenant>,
    /// Those of them that something outside their own objects concerns.
    pub wake: Arc<WorkQueue<ObjectRef<CachedTenant>>>,
}

impl Context {
    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<Arc<TenantClass>> {
        self.classes.get(&ObjectRef::new(name))
    }

    /// Every Tenant that is watched.
    pub fn all_tenants(&self) -> impl Iterator<Item = Arc<CachedTenant>> + '_ {
        self.scopes.iter().flat_map(|scope| scope.tenants.state())
    }

    /// The Tenant as it is in the cache now, if it is still the same and not another of its name.
    pub fn tenant(&self, tenant: &CachedTenant) -> Option<Arc<CachedTenant>> {
        let key = ObjectRef::from_obj(tenant);
        let cached = self.scope_of(&key)?.tenants.get(&key)?;
        (cached.meta().uid == tenant.meta().uid).then_some(cached)
    }

    fn scope_of(&self, tenant: &ObjectRef<CachedTenant>) -> Option<&NamespaceScope> {
        let watches =
            |scope: &&NamespaceScope| scope.namespace.is_none() || scope.namespace == tenant.namespace;
        self.scopes.iter().find(watches)
    }

    /// Asks for a pass over a Tenant.
    pub fn wake(&self, tenant: ObjectRef<CachedTenant>) {
        if let Some(scope) = self.scope_of(&tenant) {
            scope.wake.ask(tenant);
        }
    }
}
