//! How a Tenant goes. It waits for nothing but the account, and for certainty about a creation whose answer was lost.

use crds::DeletionPolicy;
use neon_client::ids::ProjectId;

use super::{Farewell, LIST_ONCE, Step, missing, no_project_id, settle};
use crate::tenant::observed::{AccountFacts, Facts};

pub(super) fn plan_deletion(policy: DeletionPolicy, facts: &Facts) -> Step {
    let status = &facts.status;
    if let Some(unreadable) = facts
        .status
        .project
        .as_ref()
        .filter(|project| project.id.parse::<ProjectId>().is_err())
    {
        return if facts.abandon {
            Step::LetGo(Farewell::Abandoned)
        } else {
            Step::Stall(no_project_id(&unreadable.id))
        };
    }
    let owned = owned_project(facts);
    let outstanding = status.creation.is_some();
    // What is retained is a tenant's data. A project that a lost answer may have left behind has none, and nobody would ever
    // know of it: it goes the way of `Delete`.
    if policy == DeletionPolicy::Retain && !(status.project.is_none() && outstanding) {
        return Step::LetGo(Farewell::Retained);
    }
    if let AccountFacts::Unusable(refusal) = &facts.account {
        if owned.is_none() && !outstanding {
            return Step::LetGo(Farewell::Gone);
        }
        return if facts.abandon {
            Step::LetGo(Farewell::Abandoned)
        } else {
            missing(refusal)
        };
    }
    match owned {
        Some(project) => Step::DeleteProject(project),
        None if facts.listing.as_of.is_none() => LIST_ONCE,
        None => settle(status, &facts.listing, facts.now).unwrap_or(Step::LetGo(Farewell::Gone)),
    }
}

/// The project to delete with the Tenant: the recorded one, or one that bears its mark.
fn owned_project(facts: &Facts) -> Option<ProjectId> {
    let recorded = facts
        .status
        .project
        .as_ref()
        .and_then(|project| project.id.parse().ok());
    let gone = facts.deleted.as_ref();
    recorded.filter(|id| Some(id) != gone).or_else(|| {
        facts
            .listing
            .marked
            .iter()
            .map(|seen| seen.id.clone())
            .find(|id| Some(id) != gone)
    })
}
