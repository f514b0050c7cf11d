//! How a Tenant goes. It waits for nothing but the account, and for certainty about a creation whose answer was lost.

use crds::DeletionPolicy;
use neon_client::ids::ProjectId;

use super::{ReleaseReason, LIST_IF_NEVER_LISTED, Step, missing, no_project_id, resolve_pending_creation};
use crate::tenant::observed::{ObservedAccount, ObservedState};

pub(super) fn plan_deletion(policy: DeletionPolicy, observed: &ObservedState) -> Step {
    let status = &observed.status;
    if let Some(unreadable) = observed
        .status
        .project
        .as_ref()
        .filter(|project| project.id.parse::<ProjectId>().is_err())
    {
        return if observed.orphan {
            Step::RemoveFinalizer(ReleaseReason::Orphaned)
        } else {
            Step::Stalled(no_project_id(&unreadable.id))
        };
    }
    let owned = owned_project(observed);
    let outstanding = status.creation.is_some();
    // What is retained is a tenant's data. A project that a lost answer may have left behind has none, and nobody would ever
    // know of it: it goes the way of `Delete`.
    if policy == DeletionPolicy::Retain && !(status.project.is_none() && outstanding) {
        return Step::RemoveFinalizer(ReleaseReason::Retained);
    }
    if let ObservedAccount::Unusable(issue) = &observed.account {
        if owned.is_none() && !outstanding {
            return Step::RemoveFinalizer(ReleaseReason::Deleted);
        }
        return if observed.orphan {
            Step::RemoveFinalizer(ReleaseReason::Orphaned)
        } else {
            missing(issue)
        };
    }
    match owned {
        Some(project) => Step::DeleteProject(project),
        None if observed.listing.as_of.is_none() => LIST_IF_NEVER_LISTED,
        None => resolve_pending_creation(status, &observed.listing, observed.now).unwrap_or(Step::RemoveFinalizer(ReleaseReason::Deleted)),
    }
}

/// The project to delete with the Tenant: the recorded one, or one that bears its mark.
fn owned_project(observed: &ObservedState) -> Option<ProjectId> {
    let recorded = observed
        .status
        .project
        .as_ref()
        .and_then(|project| project.id.parse().ok());
    let gone = observed.deleted.as_ref();
    recorded.filter(|id| Some(id) != gone).or_else(|| {
        observed
            .listing
            .marked
            .iter()
            .map(|seen| seen.id.clone())
            .find(|id| Some(id) != gone)
    })
}
