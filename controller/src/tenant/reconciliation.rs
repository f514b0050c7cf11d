//! One pass over one Tenant: what it holds in its hands between steps, and how it writes the status down.
//!
//! Nothing here outlives the pass. What the next one must know stands in the Tenant's status, in its Secret and in Neon.

use std::sync::Arc;

use crds::{
    ConditionType, ConnectionDetails, Reason, Tenant, TenantClass, TenantStatus, find_condition,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use neon_client::ids::ProjectId;

use crate::accounts::Account;
use crate::cache::NamespacedName;
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::error::ReconcileError;
use crate::identity::TenantUid;
use crate::migrations::MigrationSet;
use crate::tenant::desired::DesiredState;
use crate::tenant::observed::{ObservedCompute, ObservedState, Schema, ObservedSecret};
use crate::tenant::plan::Intent;
use crate::tenant::status::{Component, StatusInput, StatusOutcome, is_available, report};

/// A pass over one Tenant.
pub struct Reconciliation<'a> {
    /// What all passes share.
    pub ctx: &'a Context,
    /// Namespace and name.
    pub key: NamespacedName,
    /// UID.
    pub uid: TenantUid,
    /// The Tenant, as the API server last returned it.
    pub tenant: Tenant,
    /// The status being worked out.
    pub status: TenantStatus,
    /// Its class.
    pub class: Option<Arc<TenantClass>>,
    /// Its account, when it can be used.
    pub account: Option<Arc<Account>>,
    /// The class's migrations, when they can be read.
    pub schema: Option<MigrationSet>,
    /// What is to become of it.
    pub intent: Intent,
    /// What earlier steps of this pass found out.
    pub state: ReconcileState,
}

/// What a pass found out and does not have to ask again.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a discovery of its own, and any combination can be met"
)]
pub struct ReconcileState {
    /// Credentials, and the project they belong to.
    pub credentials: Option<(ProjectId, ConnectionDetails)>,
    /// The project's compute.
    pub endpoint: Option<ObservedCompute>,
    /// Whether the class was just marked as in use.
    pub class_has_finalizer: bool,
    /// Whether the project answered when asked for by id.
    pub project_found: bool,
    /// The project that was deleted, or found deleted.
    pub deleted: Option<ProjectId>,
    /// What the Secret turned out to be when it was written, although no cache said so.
    pub secret: Option<ObservedSecret>,
    /// Whether the database refused the password.
    pub password_rejected: bool,
    /// Whether the credentials in hand were just read from Neon.
    pub password_read: bool,
    /// Whether the password was just reset.
    pub password_reset: bool,
}

impl Reconciliation<'_> {
    /// The wish, on steps that are only planned with one.
    pub fn desired(&self) -> Result<&DesiredState, ReconcileError> {
        match &self.intent {
            Intent::Provision(Ok(desired)) => Ok(desired),
            Intent::Provision(Err(issue)) => Err(ReconcileError::permanent(
                Component::Project,
                issue.reason,
                issue.message.clone(),
            )),
            Intent::Delete(_) => Err(ReconcileError::transient(
                Component::Project,
                Reason::Deleting,
                "the Tenant is being deleted",
            )),
        }
    }

    /// The account, on steps that are only planned with one.
    pub fn account(&self) -> Result<Arc<Account>, ReconcileError> {
        self.account.clone().ok_or_else(|| {
            ReconcileError::transient(
                Component::Project,
                Reason::AccountUnreachable,
                "the class's account is not there any more",
            )
        })
    }

    /// Whether the Tenant is on its way out.
    pub fn deleting(&self) -> bool {
        self.tenant.metadata.deletion_timestamp.is_some()
    }

    /// The Tenant, as events refer to it.
    pub fn reference(&self) -> ObjectReference {
        self.tenant.object_ref(&())
    }

    /// The recorded project.
    pub fn project(&self) -> Option<ProjectId> {
        self.status
            .project
            .as_ref()
            .and_then(|project| project.id.parse().ok())
    }

    /// Says something in an event and in the log.
    pub fn say(&self, reason: Reason, note: &str) {
        tracing::info!(tenant.namespace = %self.key.namespace, tenant.name = %self.key.name, reason = %reason, "{note}");
        self.ctx.events.normal(self.reference(), reason, note);
    }

    /// What the Secret looks like: in the caches, and by what this pass found out.
    pub fn observed_secret(&self, name: &str) -> ObservedSecret {
        if let Some(secret) = &self.state.secret {
            return secret.clone();
        }
        let key = NamespacedName {
            namespace: self.key.namespace.clone(),
            name: name.into(),
        };
        self.ctx.secrets.lookup(&key, self.uid, &self.key.name)
    }

    /// Writes down where the pass stands, if that changes anything.
    pub async fn save(&mut self, observed: &ObservedState, outcome: &StatusOutcome) -> Result<(), ReconcileError> {
        let next = report(self.status.clone(), outcome, self.seen(observed));
        self.announce(&next, outcome);
        if self.tenant.status.as_ref() == Some(&next) {
            self.status = next;
        } else {
            self.write(&next)
                .await
                .map_err(|error| ReconcileError::cluster(Component::Project, &error))?;
            // As the API server keeps it: its times have less precision than ours.
            self.status = self.tenant.status.clone().unwrap_or(next);
        }
        Ok(())
    }

    fn seen(&self, observed: &ObservedState) -> StatusInput {
        let project = self
            .status
            .project
            .as_ref()
            .map(|project| project.id.as_str());
        let credentials = match (&self.intent, &observed.secret) {
            (
                _,
                ObservedSecret::Owned {
                    intact: true,
                    project: of,
                    ..
                },
            ) => of.as_ref().map(ProjectId::as_str) == project && self.status.binding.is_some(),
            _ => false,
        };
        let schema = self.status.schema.as_ref().is_some_and(|schema| {
            schema.project_id.as_deref() == project
                && match &observed.schema {
                    Schema::Target(target) => {
                        schema.version == Some(target.version)
                            && schema.checksum.as_ref() == Some(&target.digest)
                    }
                    Schema::Unusable(_) => false,
                }
        });
        StatusInput {
            generation: self.tenant.metadata.generation,
            credentials,
            schema,
            now: Timestamp::now(),
        }
    }

    async fn write(&mut self, next: &TenantStatus) -> Result<(), ClusterError> {
        let written = match self.ctx.cluster.write_status(&self.tenant, next).await {
            // Somebody edited the Tenant meanwhile. If the status is still the one this pass began with, nobody else
            // acts on the Tenant, and the new status says, by its generation, which spec it speaks of.
            Err(ClusterError::Conflict { what }) => {
                let fresh = self.ctx.cluster.tenant(&self.key).await?;
                if fresh.metadata.uid != self.tenant.metadata.uid
                    || fresh.status != self.tenant.status
                {
                    return Err(ClusterError::Conflict { what });
                }
                self.ctx.cluster.write_status(&fresh, next).await?
            }
            other => other?,
        };
        self.adopt_version(written);
        Ok(())
    }

    /// Goes on with the version of the Tenant that a write returned. The goal stays that of the spec the pass began with;
    /// a newer spec wakes the next pass.
    pub fn adopt_version(&mut self, written: Tenant) {
        self.ctx.own_writes.record_write(self.uid, written.clone());
        let generation = self.tenant.metadata.generation;
        self.tenant = written;
        self.tenant.metadata.generation = generation;
    }

    /// A change of the reason for not being ready is worth an event; the same reason again is not.
    fn announce(&self, next: &TenantStatus, outcome: &StatusOutcome) {
        let before = find_condition(&self.status.conditions, ConditionType::Ready);
        let after = find_condition(&next.conditions, ConditionType::Ready);
        let changed = match (before, after) {
            (Some(before), Some(after)) => {
                before.reason != after.reason || before.message != after.message
            }
            _ => true,
        };
        if !changed {
            return;
        }
        match outcome {
            StatusOutcome::Stalled(issue) | StatusOutcome::DeletionStalled(issue) => {
                tracing::warn!(
                    tenant.namespace = %self.key.namespace, tenant.name = %self.key.name, reason = %issue.reason,
                    tenant.available = is_available(next), "Tenant is stalled: {}", issue.message
                );
                self.ctx
                    .events
                    .warning(self.reference(), issue.reason, &issue.message);
            }
            StatusOutcome::Ready => {
                let ready_ms = next
                    .timings
                    .as_ref()
                    .and_then(|timings| timings.ready_ms)
                    .unwrap_or(0);
                tracing::info!(
                    tenant.namespace = %self.key.namespace, tenant.name = %self.key.name, ready_ms,
                    "Tenant is ready"
                );
            }
            StatusOutcome::InProgress(_) | StatusOutcome::Suspended | StatusOutcome::Deleting(_) => {}
        }
    }
}
