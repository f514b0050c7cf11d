//! Plans the deletion of a Tenant. It waits only for the account, and for certainty about a
//! creation request whose answer was lost.

use crds::DeletionPolicy;
use neon_client::ids::ProjectId;

use super::{
    LIST_IF_NEVER_LISTED, ReleaseReason, Step, invalid_project_id, resolve_pending_creation,
    wait_or_stall,
};
use crate::tenant::observed::ObservedState;

pub(super) fn plan_deletion(policy: DeletionPolicy, observed: &ObservedState) -> Step {
    let status = &observed.status;
    if let Some(invalid) = status
        .project
        .as_ref()
        .filter(|project| project.id.parse::<ProjectId>().is_err())
    {
        return if observed.orphan {
            Step::RemoveFinalizer(ReleaseReason::Orphaned)
        } else {
            Step::Stalled(invalid_project_id(&invalid.id))
        };
    }
    let owned = owned_project(observed);
    let pending = status.creation.is_some();
    // `Retain` protects data. A project that a lost answer may have left behind has none, and it
    // would never be found again, so it is deleted even then.
    if policy == DeletionPolicy::Retain && (status.project.is_some() || !pending) {
        return Step::RemoveFinalizer(ReleaseReason::Retained);
    }
    if let Err(issue) = &observed.account {
        if owned.is_none() && !pending {
            return Step::RemoveFinalizer(ReleaseReason::Deleted);
        }
        return if observed.orphan {
            Step::RemoveFinalizer(ReleaseReason::Orphaned)
        } else {
            wait_or_stall(issue)
        };
    }
    match owned {
        Some(project) => Step::DeleteProject(project),
        None if observed.listing.as_of.is_none() => LIST_IF_NEVER_LISTED,
        None => resolve_pending_creation(status, &observed.listing, observed.now)
            .unwrap_or(Step::RemoveFinalizer(ReleaseReason::Deleted)),
    }
}

/// The project to delete with the Tenant: the recorded one, or one whose name carries the Tenant's
/// mark.
fn owned_project(observed: &ObservedState) -> Option<ProjectId> {
    let deleted = observed.deleted.as_ref();
    let recorded = observed
        .status
        .project
        .as_ref()
        .and_then(|project| project.id.parse().ok());
    recorded.filter(|id| Some(id) != deleted).or_else(|| {
        observed
            .listing
            .marked
            .iter()
            .map(|marked| marked.id.clone())
            .find(|id| Some(id) != deleted)
    })
}
