//! What all reconciliations share: settings, caches, clients and limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{Tenant, TenantClass};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::backoff::Backoffs;
use crate::cache::{CachedTenant, RolloutCache, SecretCache, WriteThroughCache};
use crate::clock::WallClock;
use crate::cluster::{ClusterApi, ClusterError};
use crate::config::Config;
use crate::connection_refusals::ConnectionRefusals;
use crate::events::Events;
use crate::identity::{InstallationId, TenantUid};
use crate::inspections::Inspections;
use crate::leadership::LeaderGuard;
use crate::mass_deletion::{DeletionHolds, DeletionRequest};
use crate::migration_slots::MigrationSlots;
use crate::migration_sources::MigrationSources;
use crate::migrations::Migrator;
use crate::password_refusals::PasswordRefusals;
use crate::reported_problems::ReportedProblems;
use crate::rollout_concurrency::RolloutConcurrency;
use crate::secret_repairs::SecretRepairs;
use crate::telemetry::Metrics;
use crate::unapplied_settings::UnappliedSettings;
use crate::work_queue::WorkQueue;

/// What all reconciliations share.
pub struct Context {
    pub config: Config,
    /// Identifies the projects of this installation.
    pub installation: InstallationId,
    pub cluster: Arc<dyn ClusterApi>,
    pub clock: WallClock,
    /// The watched namespaces: a single scope for all, or one for each.
    pub scopes: Vec<NamespaceScope>,
    pub classes: Store<TenantClass>,
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
    pub rollouts: RolloutCache,
    /// Metadata of the connection Secrets.
    pub secrets: SecretCache,
    /// Tenants as our own last writes returned them.
    pub own_writes: WriteThroughCache,
    /// Neon accounts of the classes.
    pub accounts: Accounts,
    pub migration_sources: MigrationSources,
    pub migrator: Arc<dyn Migrator>,
    /// Limits the databases that are migrated concurrently.
    pub migration_slots: MigrationSlots,
    /// How many Tenants the rollouts migrate at the same time.
    pub rollout_concurrency: RolloutConcurrency,
    /// Limits the projects that are updated concurrently.
    pub project_updates: Semaphore,
    /// Which deletions of Tenants wait for a confirmation.
    pub deletion_holds: DeletionHolds,
    /// Recent repairs of the connection Secrets.
    pub secret_repairs: SecretRepairs,
    /// Refusals of passwords that Neon reveals.
    pub password_refusals: PasswordRefusals,
    /// Connections that Neon refused.
    pub connection_refusals: ConnectionRefusals,
    /// Settings that Neon accepted without applying them.
    pub unapplied_settings: UnappliedSettings,
    pub reported_problems: ReportedProblems,
    /// Whose compute is read next.
    pub inspections: Inspections,
    /// Backoff of Tenants whose reconciliation failed.
    pub backoffs: Backoffs,
    /// Whether this process still holds the Lease. A process that was paused may find out late that
    /// it does not.
    pub guard: LeaderGuard,
    pub events: Events,
    pub metrics: Arc<Metrics>,
    /// Cancelled to shut down: running reconciliations end after their current step.
    pub stopping: CancellationToken,
    /// Cancelled once every watch has delivered its initial list. Tenants cannot be counted before.
    pub caches_synced: CancellationToken,
    pub class_queue: Arc<WorkQueue<ObjectRef<TenantClass>>>,
    /// Notified when a watch shows that a Tenant is being deleted.
    pub deletion_requested: Notify,
    /// Classes whose rollouts are to be reconciled.
    pub rollout_queue: Arc<WorkQueue<ObjectRef<TenantClass>>>,
}

/// The Tenants of one watch.
pub struct NamespaceScope {
    /// `None` for all namespaces.
    pub namespace: Option<String>,
    pub tenants: Store<CachedTenant>,
    /// Tenants to reconcile although they did not change themselves.
    pub queue: Arc<WorkQueue<ObjectRef<CachedTenant>>>,
}

impl Context {
    pub fn class(&self, name: &str) -> Option<Arc<TenantClass>> {
        self.classes.get(&ObjectRef::new(name))
    }

    /// Whether this controller reconciles the class and its Tenants.
    pub fn serves(&self, class: &TenantClass) -> bool {
        class.spec.controller_name == self.config.kube.controller_name
    }

    /// The labels of a Tenant's namespace; `None` if the watch has not delivered the namespace yet.
    pub fn namespace_labels(&self, tenant: &Tenant) -> Option<BTreeMap<String, String>> {
        let namespace = tenant.metadata.namespace.as_deref()?;
        let found = self.namespaces.get(&ObjectRef::new(namespace))?;
        Some(found.labels().clone())
    }

    /// Reads the API key and the migrations of a class, which its Tenants need.
    pub async fn load_class(&self, class: &TenantClass) -> Result<(), ClusterError> {
        let recorded = class.status.as_ref();
        self.deletion_holds.restore(
            &class.name_any(),
            recorded.and_then(|status| status.mass_deletion.as_ref()),
        );
        self.accounts.load(class, &*self.cluster).await?;
        self.migration_sources.load(class, &*self.cluster).await?;
        Ok(())
    }

    /// All watched Tenants.
    pub fn all_tenants(&self) -> impl Iterator<Item = Arc<CachedTenant>> + '_ {
        self.scopes.iter().flat_map(|scope| scope.tenants.state())
    }

    /// The watched Tenants of a class.
    pub fn tenants_of<'a>(
        &'a self,
        class: &'a str,
    ) -> impl Iterator<Item = Arc<CachedTenant>> + 'a {
        self.all_tenants()
            .filter(move |tenant| tenant.class_name() == class)
    }

    /// The deletions of the class's Tenants that have not completed.
    pub fn pending_deletions<'a>(
        &'a self,
        class: &'a str,
    ) -> impl Iterator<Item = DeletionRequest> + 'a {
        self.tenants_of(class).filter_map(|tenant| {
            Some(DeletionRequest {
                tenant: tenant.uid()?,
                requested_at: tenant.deletion_requested_at()?,
            })
        })
    }

    /// The latest cached version of the Tenant, unless another Tenant has taken its name.
    pub fn tenant(&self, tenant: &CachedTenant) -> Option<Arc<CachedTenant>> {
        let key = ObjectRef::from_obj(tenant);
        let cached = self.scope_of(&key)?.tenants.get(&key)?;
        (cached.uid() == tenant.uid()).then_some(cached)
    }

    /// Waits until a watch shows that the Tenant is being deleted, or no longer shows it.
    pub async fn deletion_of(&self, tenant: &Tenant) {
        let namespace = tenant.namespace().unwrap_or_default();
        let key = ObjectRef::<CachedTenant>::new(&tenant.name_any()).within(&namespace);
        let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        loop {
            // Created first, so that a change after the check is not missed.
            let requested = self.deletion_requested.notified();
            let cached = self
                .scope_of(&key)
                .and_then(|scope| scope.tenants.get(&key));
            let is_current = cached.is_some_and(|cached| {
                cached.uid() == uid && cached.deletion_requested_at().is_none()
            });
            if !is_current {
                return;
            }
            requested.await;
        }
    }

    /// The latest cached version of a Tenant.
    pub fn tenant_named(&self, namespace: &str, name: &str) -> Option<Arc<CachedTenant>> {
        let key = ObjectRef::new(name).within(namespace);
        self.scope_of(&key)?.tenants.get(&key)
    }

    /// Queues a Tenant for reconciliation.
    pub fn enqueue(&self, tenant: ObjectRef<CachedTenant>) {
        if let Some(scope) = self.scope_of(&tenant) {
            scope.queue.enqueue(tenant);
        }
    }

    fn scope_of(&self, tenant: &ObjectRef<CachedTenant>) -> Option<&NamespaceScope> {
        self.scopes
            .iter()
            .find(|scope| scope.namespace.is_none() || scope.namespace == tenant.namespace)
    }
}
