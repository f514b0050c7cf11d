//! Writes the status of the Tenant, and reports when it becomes ready or stalls.

use crds::{ConditionType, Reason, Tenant, TenantStatus, annotations, find_condition};
use neon_client::ids::ProjectId;
use tracing::{info, warn};

use super::Reconciliation;
use crate::cache::ObservedSecret;
use crate::cluster::ClusterError;
use crate::error::{ReconcileError, Retry};
use crate::events::ControllerEvent;
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;
use crate::tenant::status::{
    StatusInput, StatusOutcome, build_status, follow_target, is_available,
};

impl Reconciliation<'_> {
    /// The status that reports the outcome.
    pub fn next_status(&self, observed: &ObservedState, outcome: &StatusOutcome) -> TenantStatus {
        let mut status = self.status.clone();
        if let (Some(schema), Ok(target)) = (&mut status.schema, &observed.schema) {
            let project = self.status.project.as_ref();
            let project = project.map(|project| project.id.as_str());
            follow_target(schema, target, project, outcome);
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

    /// If a deletion cannot proceed, adds instructions for completing it without access to the account.
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
            connected: self.state.connected,
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
