//! Plans the deletion of a Tenant. It waits only for the account, and for certainty about a
//! creation request whose response was lost.

use crds::{DeletionPolicy, Reason};
use neon_client::ids::ProjectId;

use super::duplicates::{is_unused_request, plan_duplicates_of_deleted};
use super::{
    LIST_IF_NEVER_LISTED, ReleaseReason, Step, invalid_project_id, resolve_pending_creation,
    wait_or_stall,
};
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;
use crate::tenant::ownership::{Ownership, recorded_ownership};

pub(super) fn plan_deletion(policy: DeletionPolicy, observed: &ObservedState) -> Step {
    if observed.deletion_protected {
        return Step::Stalled(deletion_protected());
    }
    match (
        plan_unprotected_deletion(policy, observed),
        &observed.deletion_held,
    ) {
        (Step::DeleteProject(_), Some(issue)) => Step::Stalled(issue.clone()),
        (step, _) => step,
    }
}

fn plan_unprotected_deletion(policy: DeletionPolicy, observed: &ObservedState) -> Step {
    let status = &observed.status;
    let pending = status.creation.is_some();
    // `Retain` protects data. A project that a lost answer may have left behind has none, and it
    // would never be found again, so it is deleted even then.
    if policy == DeletionPolicy::Retain && (status.project.is_some() || !pending) {
        return Step::RemoveFinalizer(ReleaseReason::Retained);
    }
    // A call of the account may never be answered, so look at the annotation before any.
    if observed.orphan {
        return Step::RemoveFinalizer(ReleaseReason::Orphaned);
    }
    if let Some(invalid) = status
        .project
        .as_ref()
        .filter(|project| project.id.parse::<ProjectId>().is_err())
    {
        return Step::Stalled(invalid_project_id(&invalid.id));
    }
    // Without the account, nothing proves that there is no project: the status may be lost or old.
    if let Err(issue) = &observed.account {
        return wait_or_stall(issue);
    }
    if policy == DeletionPolicy::Retain {
        return plan_retained_request(observed);
    }
    let (recorded, otherwise) = match recorded_project(observed) {
        Recorded::None => (None, ReleaseReason::Deleted),
        Recorded::Own(id) => (Some(id), ReleaseReason::Deleted),
        Recorded::Foreign => (None, ReleaseReason::NotOwned),
        Recorded::Unknown(step) => return step,
    };
    if let Some(step) = plan_duplicates_of_deleted(observed, recorded.as_ref()) {
        return step;
    }
    match recorded.or_else(|| marked_project(observed)) {
        Some(project) if is_forgettable(observed, &project) => Step::AnnotateProject(project),
        Some(project) => Step::DeleteProject(project),
        None if observed.listing.as_of.is_none() => LIST_IF_NEVER_LISTED,
        None => resolve_pending_creation(status, &observed.listing, observed.now)
            .unwrap_or(Step::RemoveFinalizer(otherwise)),
    }
}

fn deletion_protected() -> Issue {
    Issue::new(
        Component::Project,
        Reason::DeletionProtected,
        "the Tenant is protected from deletion: to delete it, set spec.deletionProtection to false; to keep its \
         project, set spec.deletionPolicy to Retain as well",
    )
}

/// The deletion of a Tenant with policy `Retain` while the outcome of its creation request is
/// unknown. Only an unused project of that request is deleted: the status may have been restored
/// over that of a Tenant whose project is in use.
fn plan_retained_request(observed: &ObservedState) -> Step {
    let marked = || {
        observed
            .listing
            .marked
            .iter()
            .filter(|project| Some(&project.id) != observed.deleted.as_ref())
    };
    let mut unused = marked().filter(|project| is_unused_request(&observed.status, project));
    if let Some(project) = unused.next() {
        // The listing may be older than the project's first use, which this step checks.
        return Step::DeleteDuplicate {
            project: project.id.clone(),
            named: false,
        };
    }
    if observed.listing.as_of.is_none() {
        return LIST_IF_NEVER_LISTED;
    }
    let reason = if marked().next().is_some() {
        ReleaseReason::Retained
    } else {
        ReleaseReason::Deleted
    };
    resolve_pending_creation(&observed.status, &observed.listing, observed.now)
        .unwrap_or(Step::RemoveFinalizer(reason))
}

/// The project in the status of a Tenant that is being deleted.
enum Recorded {
    /// There is none, or it is deleted.
    None,
    Own(ProjectId),
    /// It belongs to another Tenant, so it is not deleted.
    Foreign,
    /// This step has to tell first.
    Unknown(Step),
}

fn recorded_project(observed: &ObservedState) -> Recorded {
    let Some(project) = &observed.status.project else {
        return Recorded::None;
    };
    let Ok(id) = project.id.parse::<ProjectId>() else {
        return Recorded::None;
    };
    if Some(&id) == observed.deleted.as_ref() {
        return Recorded::None;
    }
    match recorded_ownership(observed, project, &id) {
        Ownership::Own => Recorded::Own(id),
        Ownership::Refused(_) => Recorded::Foreign,
        Ownership::Unlisted => Recorded::Unknown(LIST_IF_NEVER_LISTED),
        Ownership::Unclaimed => Recorded::Unknown(Step::Claim {
            project: id,
            acquire: false,
        }),
    }
}

/// Whether the project's id must be recorded in the Tenant's annotation before the project is
/// deleted. Without that record, if the status is lost, only the project's name identifies it, and a
/// copy made by another user has the same name. Only an unused project of an unanswered request needs
/// no such record.
fn is_forgettable(observed: &ObservedState, project: &ProjectId) -> bool {
    let is_recorded = || {
        let recorded = observed.status.project.as_ref();
        recorded.is_some_and(|recorded| recorded.id == project.as_str())
    };
    let is_unused = || {
        let mut marked = observed.listing.marked.iter();
        marked.any(|marked| marked.id == *project && is_unused_request(&observed.status, marked))
    };
    observed.annotated_project.as_ref() != Some(project) && (is_recorded() || !is_unused())
}

fn marked_project(observed: &ObservedState) -> Option<ProjectId> {
    observed
        .listing
        .marked
        .iter()
        .map(|marked| marked.id.clone())
        .find(|id| Some(id) != observed.deleted.as_ref())
}
