//! Plans for a Tenant without a project that is not the first of its namespace and name: it takes
//! the earlier project back, starts with an empty database, or stalls.

use crds::{OnExistingProject, Reason, annotations};
use neon_client::ids::ProjectId;

use super::Step;
use crate::accounts::ObservedProject;
use crate::identity::ProjectMark;
use crate::issue::{Component, Issue};
use crate::tenant::desired::DesiredState;
use crate::tenant::observed::ObservedState;
use crate::tenant::ownership::{ownership_issue, unowned_namesakes};

/// The step for the project of an earlier Tenant; `None` if the Tenant starts with an empty
/// database.
pub(super) fn plan_existing(desired: &DesiredState, observed: &ObservedState) -> Option<Step> {
    if let Some(named) = observed
        .named_project
        .as_ref()
        .filter(|id| !observed.ignored_projects.contains(id))
    {
        return Some(plan_named(observed, named));
    }
    let existing = unowned_namesakes(observed);
    match (desired.on_existing_project, existing.as_slice()) {
        (_, []) | (OnExistingProject::Ignore, _) => None,
        (OnExistingProject::Adopt, [project]) => Some(Step::Reclaim(project.id.clone())),
        (OnExistingProject::Stall | OnExistingProject::Adopt, _) => {
            Some(Step::Stalled(existing_projects(&existing)))
        }
    }
}

/// The step for the project that the annotation or a restored Secret names.
fn plan_named(observed: &ObservedState, id: &ProjectId) -> Step {
    if let Some(listed) = &observed.listing.own {
        let mark = ProjectMark::parse(&listed.name);
        return ownership_issue(observed, id, mark.as_ref())
            .map_or_else(|| Step::Reclaim(id.clone()), Step::Stalled);
    }
    if observed.listing.unavailable {
        return Step::Wait {
            until: None,
            issue: Issue::new(
                Component::Project,
                Reason::ProjectUnavailable,
                format!("Neon currently cannot read project {id}"),
            ),
        };
    }
    Step::FindNamed(id.clone())
}

fn existing_projects(projects: &[&ObservedProject]) -> Issue {
    let ids: Vec<&str> = projects.iter().map(|project| project.id.as_str()).collect();
    let (noun, one) = match ids.as_slice() {
        [id] => ("project", *id),
        _ => ("projects", "ID"),
    };
    Issue::new(
        Component::Project,
        Reason::ExistingProject,
        format!(
            "{noun} {all} of an earlier Tenant with this namespace and name still exist{s}: to take {it} back, annotate \
             this Tenant with {take}={one}; to start with an empty database, annotate this Tenant with {ignore}={all}, or \
             delete the {noun} in Neon",
            all = ids.join(","),
            s = if ids.len() == 1 { "s" } else { "" },
            it = if ids.len() == 1 { "it" } else { "one" },
            take = annotations::PROJECT_ID,
            ignore = annotations::IGNORE_PROJECT,
        ),
    )
}
