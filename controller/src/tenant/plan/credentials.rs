//! Plans the connection Secret of a Tenant with a project.

use crds::Reason;
use neon_client::ids::ProjectId;

use super::{STALE_SECRET_POLL_INTERVAL, Step};
use crate::cache::ObservedSecret;
use crate::issue::{Component, Issue};
use crate::tenant::desired::DesiredState;
use crate::tenant::observed::ObservedState;

pub(super) fn plan_credentials(desired: &DesiredState, observed: &ObservedState) -> Option<Step> {
    let project = observed.status.project.as_ref()?;
    let id: ProjectId = project.id.parse().ok()?;
    match &observed.secret {
        ObservedSecret::Restored { project } if *project == Some(id.clone()) => {
            Some(Step::WriteSecret(id))
        }
        ObservedSecret::NotOwned | ObservedSecret::Restored { .. } => {
            Some(Step::Stalled(Issue::new(
                Component::Credentials,
                Reason::SecretConflict,
                format!(
                    "Secret {0} exists and does not belong to this Tenant: delete it, or set another name in \
                 spec.connectionSecret.name",
                    desired.secret_name
                ),
            )))
        }
        ObservedSecret::OwnedByPredecessor => Some(Step::Wait {
            until: Some(observed.now + STALE_SECRET_POLL_INTERVAL),
            issue: Issue::new(
                Component::Credentials,
                Reason::UpdatingSecret,
                format!(
                    "waiting for the deletion of Secret {} of an earlier Tenant with this name",
                    desired.secret_name
                ),
            ),
        }),
        ObservedSecret::Owned {
            intact: true,
            project: owner,
            ca_digest,
            resource_version,
        } if *owner == Some(id.clone())
            && *ca_digest == observed.ca_digest
            && !observed.password_rejected
            && !observed.secret_differs
            && observed.status.connection.is_some()
            && observed
                .status
                .binding
                .as_ref()
                .is_some_and(|binding| binding.name == desired.secret_name) =>
        {
            let checked = observed.status.binding.as_ref();
            let unchanged =
                checked.is_some_and(|binding| binding.resource_version == *resource_version);
            (!unchanged).then(|| repair_or_wait(Step::CheckSecret(id), desired, observed))
        }
        _ if is_repair(desired, observed) => {
            Some(repair_or_wait(Step::WriteSecret(id), desired, observed))
        }
        _ => Some(Step::WriteSecret(id)),
    }
}

/// Whether the controller has already written the Secret, so that another client changed it, or the
/// connection in the status.
fn is_repair(desired: &DesiredState, observed: &ObservedState) -> bool {
    let written = observed
        .status
        .binding
        .as_ref()
        .is_some_and(|binding| binding.name == desired.secret_name);
    written && !observed.password_rejected && !observed.secret_differs
}

/// The step, unless another client keeps changing the Secret.
fn repair_or_wait(step: Step, desired: &DesiredState, observed: &ObservedState) -> Step {
    match observed.secret_repair_at {
        Some(until) if until > observed.now => Step::Wait {
            until: Some(until),
            issue: Issue::new(
                Component::Credentials,
                Reason::SecretContested,
                format!(
                    "another client keeps changing Secret {} or status.connection; the controller checks them again at \
                     {until:.0}: stop the other client; if it needs this Secret, set another name in \
                     spec.connectionSecret.name",
                    desired.secret_name
                ),
            ),
        },
        _ => step,
    }
}
