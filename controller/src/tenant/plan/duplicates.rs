//! Plans for a Tenant if the names of several projects contain its mark.
//!
//! A project that may contain data is never deleted because of its name: anyone with access to the
//! account can rename a project, and a status can be restored from an old backup. Unless a user
//! requests it, a duplicate is deleted only if it was created by a request of this Tenant whose
//! response was lost, and has never been used.

use crds::{Reason, TenantStatus, annotations};
use jiff::{SignedDuration, Timestamp};
use neon_client::ids::ProjectId;

use super::{Step, list_or_wait};
use crate::accounts::ObservedProject;
use crate::cache::ObservedSecret;
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;

/// Neon's creation times can be rounded down to a second.
const CREATION_TIME_RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The step for the projects that carry the Tenant's mark besides the recorded one.
pub(super) fn plan_duplicates(observed: &ObservedState, recorded: &ProjectId) -> Option<Step> {
    let adopted = |project: &crds::ProjectStatus| project.adopted;
    // An adopted project does not carry the mark, and its Tenant creates none that does.
    if observed.status.project.as_ref().is_some_and(adopted) {
        return None;
    }
    let duplicates = marked_except(observed, Some(recorded));
    let first = *duplicates.first()?;
    if let Some(named) = &observed.delete_duplicate {
        if let Some(step) = delete_named(named, &duplicates) {
            return Some(step);
        }
        // The user keeps the other project, which is recorded once this one is deleted.
        if named == recorded && duplicates.len() == 1 {
            return Some(if observed.deleted.as_ref() == Some(recorded) {
                Step::RecoverCreated(first.id.clone())
            } else {
                Step::DeleteDuplicate {
                    project: named.clone(),
                    named: true,
                }
            });
        }
    }
    let unused = |duplicate: &&&ObservedProject| {
        !holds_credentials(observed, &duplicate.id)
            && is_unused_request(&observed.status, duplicate)
    };
    match duplicates.iter().find(unused) {
        Some(duplicate) => delete_once_confirmed(&duplicate.id, observed),
        None => Some(Step::Stalled(duplicate_project(
            Some(recorded),
            &duplicates,
        ))),
    }
}

/// Deletes an unused duplicate once a complete listing shows it together with the recorded project.
/// `None` if the recorded project has to be checked first.
fn delete_once_confirmed(duplicate: &ProjectId, observed: &ObservedState) -> Option<Step> {
    if observed.listing.own_confirmed {
        return Some(Step::DeleteDuplicate {
            project: duplicate.clone(),
            named: false,
        });
    }
    if observed.listing.unavailable || observed.listing.own.is_none() {
        return None;
    }
    let issue = Issue::new(
        Component::Project,
        Reason::VerifyingCreation,
        format!(
            "project {duplicate} may be an unused duplicate; waiting for a complete listing that shows the recorded \
             project as well"
        ),
    );
    Some(list_or_wait(&observed.listing, observed.now, issue, None))
}

/// The project to record for a Tenant without a recorded one, if the listing shows any with its
/// mark.
pub(super) fn choose_project(observed: &ObservedState) -> Option<Step> {
    let marked = marked_except(observed, None);
    if let Some(named) = &observed.delete_duplicate
        && marked.len() > 1
        && let Some(step) = delete_named(named, &marked)
    {
        return Some(step);
    }
    let chosen = match marked.as_slice() {
        [] => return None,
        [only] => Some(only),
        // If several requests took effect, the oldest project is kept. The others are deleted as
        // duplicates once it is recorded.
        several
            if several
                .iter()
                .all(|project| is_unused_request(&observed.status, project)) =>
        {
            several
                .iter()
                .min_by_key(|project| (project.created_at, &project.id))
        }
        several => several
            .iter()
            .find(|project| holds_credentials(observed, &project.id)),
    };
    Some(match chosen {
        Some(project) => Step::RecoverCreated(project.id.clone()),
        None => Step::Stalled(duplicate_project(None, &marked)),
    })
}

/// The step of a deletion for projects that carry the mark, besides the recorded one. `None` if
/// there is no doubt that all of them are the Tenant's.
pub(super) fn plan_duplicates_of_deleted(
    observed: &ObservedState,
    recorded: Option<&ProjectId>,
) -> Option<Step> {
    let mut duplicates = marked_except(observed, recorded);
    duplicates.retain(|project| Some(&project.id) != observed.deleted.as_ref());
    // Without a recorded project, the only one is the Tenant's, unless the annotation names another:
    // that one may already be deleted, and this one may be another user's copy.
    let is_own = |project: &ObservedProject| {
        let annotated = observed.annotated_project.as_ref();
        annotated.is_none_or(|id| *id == project.id)
    };
    match duplicates.as_slice() {
        [] => return None,
        [only] if observed.status.project.is_none() && is_own(only) => return None,
        _ => {}
    }
    if let Some(named) = &observed.delete_duplicate
        && let Some(step) = delete_named(named, &duplicates)
    {
        return Some(step);
    }
    Some(
        match duplicates
            .iter()
            .find(|duplicate| is_unused_request(&observed.status, duplicate))
        {
            Some(duplicate) => Step::DeleteDuplicate {
                project: duplicate.id.clone(),
                named: false,
            },
            None => Step::Stalled(duplicate_project(recorded, &duplicates)),
        },
    )
}

/// Whether the project was created by a request of this Tenant whose response was lost, and has
/// never been used.
pub(super) fn is_unused_request(status: &TenantStatus, project: &ObservedProject) -> bool {
    project.unused
        && windows(status).any(|(start, end)| {
            project.created_at + CREATION_TIME_RESOLUTION >= start && project.created_at <= end
        })
}

/// When the projects of requests without an answer can have been created.
fn windows(status: &TenantStatus) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let pending = status.creation.iter().filter_map(|request| {
        let requested_at = request.requested_at.as_ref()?;
        Some((requested_at.0, request.settled_at.0))
    });
    let lost = status
        .lost_creations
        .iter()
        .map(|request| (request.requested_at.0, request.settled_at.0));
    pending.chain(lost)
}

/// The projects with the Tenant's mark in the order of their ids, without the given one.
fn marked_except<'a>(
    observed: &'a ObservedState,
    except: Option<&ProjectId>,
) -> Vec<&'a ObservedProject> {
    let mut marked: Vec<_> = observed
        .listing
        .marked
        .iter()
        .filter(|project| Some(&project.id) != except)
        .collect();
    marked.sort_by(|a, b| a.id.cmp(&b.id));
    marked
}

fn delete_named(named: &ProjectId, duplicates: &[&ObservedProject]) -> Option<Step> {
    duplicates
        .iter()
        .any(|duplicate| duplicate.id == *named)
        .then(|| Step::DeleteDuplicate {
            project: named.clone(),
            named: true,
        })
}

/// Whether the connection Secret contains the project's credentials, so that applications may use it.
fn holds_credentials(observed: &ObservedState, id: &ProjectId) -> bool {
    matches!(&observed.secret, ObservedSecret::Owned { project: Some(project), .. } if project == id)
}

fn duplicate_project(recorded: Option<&ProjectId>, marked: &[&ObservedProject]) -> Issue {
    let ids: Vec<&str> = recorded
        .into_iter()
        .chain(marked.iter().map(|project| &project.id))
        .map(ProjectId::as_str)
        .collect();
    let recorded = recorded.map_or_else(String::new, |id| format!(" (its status records {id})"));
    Issue::new(
        Component::Project,
        Reason::DuplicateProject,
        format!(
            "the names of projects {} all identify this Tenant{recorded}, and each of them may contain data: to delete \
             one, set the annotation {} to its id; to keep one that is not this Tenant's, rename it in Neon",
            ids.join(" and "),
            annotations::DELETE_DUPLICATE
        ),
    )
}
