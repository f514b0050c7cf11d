//! One reconciliation of a Tenant: what it has learned so far, and how it writes the status.
//!
//! A [`Reconciliation`] lives as long as the loop in [`reconcile`](super::reconcile). Everything
//! that the next one needs is in the Tenant's status, in its Secret and in Neon.

use std::sync::Arc;

use crds::{
    ConditionType, ConnectionDetails, Reason, Tenant, TenantClass, TenantStatus, annotations,
    find_condition,
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::EventType;
use neon_client::ids::ProjectId;
use tracing::{info, warn};

use crate::accounts::Account;
use crate::cache::{NamespacedName, ObservedSecret};
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::error::{ReconcileError, Retry};
use crate::events::ControllerEvent;
use crate::identity::TenantUid;
use crate::issue::{Component, Issue};
use crate::mass_deletion::DeletionRequest;
use crate::migrations::MigrationSet;
use crate::neon::NeonApi;
use crate::tenant::desired::DesiredState;
use crate::tenant::drift::SettingsChanges;
use crate::tenant::intent::Intent;
use crate::tenant::observed::{ObservedClaim, ObservedCompute, ObservedState};
use crate::tenant::status::{
    StatusInput, StatusOutcome, build_status, follow_target, is_available,
};

pub struct Reconciliation<'a> {
    pub ctx: &'a Context,
    pub key: NamespacedName,
    pub uid: TenantUid,
    /// The Tenant, as the API server last returned it.
    pub tenant: Tenant,
    /// The status to write; ahead of `tenant.status` between writes.
    pub status: TenantStatus,
    pub class: Option<Arc<TenantClass>>,
    /// The class's account, if it can be used.
    pub account: Option<Arc<Account>>,
    /// The client of the account, once it is certain that its key belongs to the account of the
    /// class's projects.
    pub checked_client: Option<Arc<dyn NeonApi>>,
    /// The class's migrations, if they are valid.
    pub migrations: Option<MigrationSet>,
    pub intent: Intent,
    pub state: ReconcileState,
}

/// What earlier steps of the reconciliation learned.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent of each other"
)]
pub struct ReconcileState {
    /// Credentials, and the project they belong to.
    pub credentials: Option<(ProjectId, ConnectionDetails)>,
    pub compute: Option<ObservedCompute>,
    /// The settings that were last sent to Neon.
    pub settings_sent: Option<SettingsChanges>,
    /// Whether the finalizer was added to the class.
    pub class_has_finalizer: bool,
    /// Whether the project was read by id and found.
    pub project_found: bool,
    /// Whether the project was recovered since this was last reset.
    pub project_recovered: bool,
    /// Who has claimed the project that the Tenant adopts or takes back.
    pub claim: Option<ObservedClaim>,
    /// The project that was deleted, or found deleted.
    pub deleted: Option<ProjectId>,
    /// The Secret as a write found it, where the cache did not know it.
    pub secret: Option<ObservedSecret>,
    /// Whether the Secret's content was read and is not what the controller would write.
    pub secret_differs: bool,
    /// Whether the database rejected the password.
    pub password_rejected: bool,
    /// Whether `credentials` were read from Neon after a rejection.
    pub password_read: bool,
    pub password_reset: bool,
}

impl<'a> Reconciliation<'a> {
    pub fn new(ctx: &'a Context, uid: TenantUid, tenant: Tenant) -> Self {
        let class = ctx.class(&tenant.spec.class_name);
        let account = ctx.accounts.for_class(&tenant.spec.class_name);
        let migrations = ctx.migration_sources.for_class(&tenant.spec.class_name);
        let status = tenant.status.clone().unwrap_or_default();
        let intent = resolve(ctx, &tenant, &status, class.as_deref());
        Self {
            ctx,
            key: NamespacedName::of(&tenant),
            uid,
            intent,
            status,
            account: account.and_then(Result::ok),
            checked_client: None,
            migrations: migrations.and_then(Result::ok),
            state: ReconcileState::default(),
            class,
            tenant,
        }
    }
}

impl Reconciliation<'_> {
    /// The desired state, for steps that are planned only if there is one.
    pub fn desired(&self) -> Result<&DesiredState, ReconcileError> {
        match &self.intent {
            Intent::Provision(Ok(desired)) => Ok(desired),
            Intent::Provision(Err(issue)) => Err(issue.clone().into()),
            Intent::Delete(_) => Err(ReconcileError::transient(
                Component::Project,
                Reason::Deleting,
                "the Tenant is being deleted",
            )),
        }
    }

    /// Resolves the intent again, after the status has changed.
    pub fn resolve_intent(&mut self) {
        self.intent = resolve(self.ctx, &self.tenant, &self.status, self.class.as_deref());
    }

    /// The account, for steps that are planned only if there is one.
    pub fn account(&self) -> Result<Arc<Account>, ReconcileError> {
        self.account.clone().ok_or_else(|| {
            ReconcileError::transient(
                Component::Project,
                Reason::AccountUnreachable,
                "the class no longer has a usable Neon account",
            )
        })
    }

    /// The client for calls that a user waits for. Steps that call Neon are preceded by the check of
    /// the key; the client keeps this key if the account gets another one meanwhile.
    pub fn neon(&self) -> Result<Arc<dyn NeonApi>, ReconcileError> {
        self.checked_client.clone().ok_or_else(|| {
            ReconcileError::transient(
                Component::Project,
                Reason::AccountUnreachable,
                "the API key of the account has not been checked yet",
            )
        })
    }

    /// Id of the account that the class's projects belong to, once it is recorded.
    pub fn bound_account(&self) -> Option<&str> {
        let status = self.class.as_ref()?.status.as_ref()?;
        status.account.as_ref().map(|account| account.id.as_str())
    }

    pub fn deleting(&self) -> bool {
        self.tenant.metadata.deletion_timestamp.is_some()
    }

    /// The Tenant's deletion, if it was requested.
    pub fn deletion_request(&self) -> Option<DeletionRequest> {
        let requested_at = self.tenant.metadata.deletion_timestamp.as_ref()?.0;
        Some(DeletionRequest {
            tenant: self.uid,
            requested_at,
        })
    }

    /// A reference to the Tenant, for events.
    pub fn reference(&self) -> ObjectReference {
        self.tenant.object_ref(&())
    }

    /// Id of the recorded project.
    pub fn project(&self) -> Option<ProjectId> {
        self.status
            .project
            .as_ref()
            .and_then(|project| project.id.parse().ok())
    }

    /// Publishes an event and logs it.
    pub fn publish_event(&self, event: &ControllerEvent<'_>) {
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let (reason, note) = (event.reason(), event.note());
        match event.event_type() {
            EventType::Normal => info!(
                tenant.namespace = %namespace,
                tenant.name = %name,
                %reason,
                %note,
                "published event"
            ),
            EventType::Warning => warn!(
                tenant.namespace = %namespace,
                tenant.name = %name,
                %reason,
                %note,
                "published warning event"
            ),
        }
        self.ctx.events.publish(self.reference(), event);
    }

    /// The Secret of that name, from the cache and from what this reconciliation learned.
    pub fn observed_secret(&self, name: &str) -> ObservedSecret {
        if let Some(secret) = &self.state.secret {
            return secret.clone();
        }
        let key = self.key_of(name);
        self.ctx.secrets.lookup(&key, self.uid, &self.key.name)
    }

    /// Key of another object in the Tenant's namespace.
    pub fn key_of(&self, name: &str) -> NamespacedName {
        NamespacedName {
            namespace: self.key.namespace.clone(),
            name: name.into(),
        }
    }

    /// The status that reports the outcome.
    pub fn next_status(&self, observed: &ObservedState, outcome: &StatusOutcome) -> TenantStatus {
        let mut status = self.status.clone();
        if let (Some(schema), Ok(target)) = (&mut status.schema, &observed.schema) {
            follow_target(schema, target);
        }
        build_status(
            status,
            &self.with_way_out(outcome),
            self.status_input(observed),
        )
    }

    /// Writes the status if it changed.
    pub async fn save_status(
        &mut self,
        observed: &ObservedState,
        outcome: &StatusOutcome,
    ) -> Result<(), ReconcileError> {
        let next = self.next_status(observed, outcome);
        let outcome = &self.with_way_out(outcome);
        self.report_readiness_change(&next, outcome);
        if self.tenant.status.as_ref() == Some(&next) {
            self.status = next;
        } else {
            self.write_status(&next)
                .await
                .map_err(|error| ReconcileError::cluster(Component::Project, error))?;
            // The API server stores times with less precision, so continue with its version.
            self.status = self.tenant.status.clone().unwrap_or(next);
        }
        Ok(())
    }

    /// Adds to a deletion that cannot proceed how to complete it without the account.
    fn with_way_out(&self, outcome: &StatusOutcome) -> StatusOutcome {
        let add = |issue: &Issue| {
            // The annotation does not override the protection.
            let no_way_out = matches!(
                issue.reason,
                Reason::Deleting | Reason::VerifyingCreation | Reason::DeletionProtected
            );
            if !self.deleting() || no_way_out {
                return issue.clone();
            }
            Issue {
                message: format!(
                    "{}; to delete the Tenant and leave its project in Neon, set the annotation {} to \"true\"",
                    issue.message,
                    annotations::ORPHAN
                ),
                ..issue.clone()
            }
        };
        match outcome {
            StatusOutcome::Ready => StatusOutcome::Ready,
            StatusOutcome::Suspended => StatusOutcome::Suspended,
            StatusOutcome::InProgress(issue) => StatusOutcome::InProgress(add(issue)),
            StatusOutcome::Stalled(issue) => StatusOutcome::Stalled(add(issue)),
        }
    }

    fn status_input(&self, observed: &ObservedState) -> StatusInput {
        let project = self
            .status
            .project
            .as_ref()
            .map(|project| project.id.as_str());
        let credentials = match &observed.secret {
            ObservedSecret::Owned {
                intact: true,
                project: owner,
                ..
            } => owner.as_ref().map(ProjectId::as_str) == project && self.status.binding.is_some(),
            _ => false,
        };
        let schema = match (&observed.schema, project) {
            (Ok(target), Some(project)) => target.is_reached(self.status.schema.as_ref(), project),
            _ => false,
        };
        StatusInput {
            generation: self.tenant.metadata.generation,
            deleting: self.deleting(),
            credentials,
            schema,
            now: self.ctx.clock.now(),
        }
    }

    async fn write_status(&mut self, next: &TenantStatus) -> Result<(), ClusterError> {
        let written = match self.ctx.cluster.write_status(&self.tenant, next).await {
            // The Tenant was edited in the meantime. If its status is still the one that this
            // reconciliation started with, no other process acts on the Tenant, and
            // `observedGeneration` shows which spec the new status describes.
            Err(ClusterError::Conflict { what }) => {
                let current = self.ctx.cluster.tenant(&self.key).await?;
                if current.metadata.uid != self.tenant.metadata.uid
                    || current.status != self.tenant.status
                {
                    return Err(ClusterError::Conflict { what });
                }
                self.ctx.cluster.write_status(&current, next).await?
            }
            other => other?,
        };
        self.adopt_version(written);
        Ok(())
    }

    /// Continues with the version of the Tenant that a write returned. The intent and the
    /// generation remain those of the spec that the reconciliation started with; a newer spec
    /// triggers another reconciliation.
    pub fn adopt_version(&mut self, written: Tenant) {
        self.ctx.own_writes.record_write(self.uid, written.clone());
        let generation = self.tenant.metadata.generation;
        self.tenant = written;
        self.tenant.metadata.generation = generation;
    }

    /// Logs and publishes a change of the `Ready` condition.
    fn report_readiness_change(&self, next: &TenantStatus, outcome: &StatusOutcome) {
        let before = find_condition(&self.status.conditions, ConditionType::Ready);
        let after = find_condition(&next.conditions, ConditionType::Ready);
        if let (Some(before), Some(after)) = (before, after)
            && before.reason == after.reason
            && before.message == after.message
        {
            return;
        }
        match outcome {
            StatusOutcome::Stalled(issue) => {
                warn!(
                    tenant.namespace = %self.key.namespace,
                    tenant.name = %self.key.name,
                    tenant.available = is_available(next),
                    reason = %issue.reason,
                    issue = issue.message,
                    "tenant stalled"
                );
                self.ctx
                    .events
                    .publish(self.reference(), &ControllerEvent::TenantStalled(issue));
            }
            StatusOutcome::Ready => {
                let ready_ms = next.timings.as_ref().and_then(|timings| timings.ready_ms);
                info!(
                    tenant.namespace = %self.key.namespace,
                    tenant.name = %self.key.name,
                    ready_ms,
                    "tenant ready"
                );
            }
            StatusOutcome::InProgress(_) | StatusOutcome::Suspended => {}
        }
    }
}

fn resolve(
    ctx: &Context,
    tenant: &Tenant,
    status: &TenantStatus,
    class: Option<&TenantClass>,
) -> Intent {
    let restricted = class.is_some_and(|class| class.spec.allowed_namespaces.is_some());
    let labels = restricted.then(|| ctx.namespace_labels(tenant)).flatten();
    Intent::resolve(tenant, status, class, labels.as_ref())
}

impl From<&ReconcileError> for StatusOutcome {
    fn from(error: &ReconcileError) -> Self {
        match error.retry {
            Retry::OnChange | Retry::OnChangeOrAfter(_) => Self::Stalled(error.to_issue()),
            Retry::After(_) | Retry::Backoff | Retry::Conflict | Retry::NotLeader => {
                Self::InProgress(error.to_issue())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_permanent_error_stalls_the_tenant() {
        let outcome = |error: ReconcileError| StatusOutcome::from(&error);
        let (component, reason) = (Component::Schema, Reason::MigrationFailed);
        assert!(matches!(
            outcome(ReconcileError::transient(component, reason, "failed")),
            StatusOutcome::InProgress(_)
        ));
        assert!(matches!(
            outcome(ReconcileError::permanent(component, reason, "failed")),
            StatusOutcome::Stalled(_)
        ));
    }
}
