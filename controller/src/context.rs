//! What all passes share.

use std::sync::Arc;

use crds::TenantClass;
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::backoff::Backoffs;
use crate::cache::{PackedTenant, Recent, Secrets};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::events::Events;
use crate::identity::InstallationId;
use crate::leadership::Guard;
use crate::migration_sources::Schemas;
use crate::migrations::MigrationLimits;
use crate::telemetry::Metrics;
use crate::triggers::Wake;

/// What all passes share.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Which projects are ours.
    pub installation: InstallationId,
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// What is watched: all namespaces, or some.
    pub scopes: Vec<Scope>,
    /// The classes.
    pub classes: Store<TenantClass>,
    /// The Secrets' metadata, as far as it matters.
    pub secrets: Secrets,
    /// Our own last writes.
    pub recent: Recent,
    /// The Neon accounts.
    pub accounts: Accounts,
    /// The classes' migrations.
    pub schemas: Schemas,
    /// Limits of a migration.
    pub migration_limits: MigrationLimits,
    /// Databases that may be open at once.
    pub migrations: Semaphore,
    /// Projects that may be changed at once.
    pub updates: Semaphore,
    /// How long Tenants wait that failed.
    pub backoffs: Backoffs,
    /// Whether this process still holds the Lease. A process that was frozen may find out late that it does not.
    pub guard: Guard,
    /// Where events go.
    pub events: Events,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled once every watch has told of all that is there. Before, Tenants cannot be counted.
    pub filled: CancellationToken,
    /// Classes that want to be looked at.
    pub class_wake: Arc<Wake<ObjectRef<TenantClass>>>,
}

/// The Tenants of one watch.
pub struct Scope {
    /// The namespace; `None`: all.
    pub namespace: Option<String>,
    /// Its Tenants.
    pub tenants: Store<PackedTenant>,
    /// Those of them that something outside their own objects concerns.
    pub wake: Arc<Wake<ObjectRef<PackedTenant>>>,
}

impl Context {
    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<Arc<TenantClass>> {
        self.classes.get(&ObjectRef::new(name))
    }

    /// Every Tenant that is watched.
    pub fn all_tenants(&self) -> impl Iterator<Item = Arc<PackedTenant>> + '_ {
        self.scopes.iter().flat_map(|scope| scope.tenants.state())
    }

    /// The Tenant as it is in the cache now, if it is still the same and not another of its name.
    pub fn tenant(&self, tenant: &PackedTenant) -> Option<Arc<PackedTenant>> {
        let key = ObjectRef::from_obj(tenant);
        let cached = self.scope_of(&key)?.tenants.get(&key)?;
        (cached.meta().uid == tenant.meta().uid).then_some(cached)
    }

    fn scope_of(&self, tenant: &ObjectRef<PackedTenant>) -> Option<&Scope> {
        let watches =
            |scope: &&Scope| scope.namespace.is_none() || scope.namespace == tenant.namespace;
        self.scopes.iter().find(watches)
    }

    /// Asks for a pass over a Tenant.
    pub fn wake(&self, tenant: ObjectRef<PackedTenant>) {
        if let Some(scope) = self.scope_of(&tenant) {
            scope.wake.ask(tenant);
        }
    }
}
