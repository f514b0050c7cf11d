//! What all passes share.

use std::sync::Arc;

use crds::TenantClass;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{Semaphore, mpsc};

use crate::accounts::Accounts;
use crate::backoff::Backoffs;
use crate::cache::{PackedTenant, Recent, Secrets};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::events::Events;
use crate::identity::InstallationId;
use crate::schema::MigrationLimits;
use crate::schemas::Schemas;
use crate::telemetry::Metrics;

/// What all passes share.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Which projects are ours.
    pub installation: InstallationId,
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// The Tenants, a store for each watch.
    pub tenants: Vec<Store<PackedTenant>>,
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
    /// Where events go.
    pub events: Events,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Wakes Tenants that something outside their own objects concerns.
    pub wake: mpsc::Sender<ObjectRef<PackedTenant>>,
}

impl Context {
    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<Arc<TenantClass>> {
        self.classes.get(&ObjectRef::new(name))
    }

    /// Every Tenant that is watched.
    pub fn all_tenants(&self) -> impl Iterator<Item = Arc<PackedTenant>> + '_ {
        self.tenants.iter().flat_map(Store::state)
    }
}
