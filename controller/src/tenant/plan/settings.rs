//! Plans the settings of a Tenant's project and compute.

use crds::{ProjectStatus, Reason};
use neon_client::ids::ProjectId;
use neon_client::model::UpdateEndpoint;

use super::Step;
use crate::accounts::ObservedProject;
use crate::issue::{Component, Issue};
use crate::tenant::desired::DesiredState;
use crate::tenant::drift::{
    compute_changes, compute_defaults_differ, compute_differs, project_changes, project_differs,
};
use crate::tenant::observed::ObservedState;
use crate::unapplied_settings::SettingsChanges;

/// The step for a project that the listing shows.
pub(super) fn plan_listed_settings(
    id: ProjectId,
    project: &ProjectStatus,
    listed: &ObservedProject,
    desired: &DesiredState,
    observed: &ObservedState,
) -> Option<Step> {
    // The compute is not part of the listing. If Neon has not applied the project's defaults, a
    // difference in them says nothing about the compute.
    let must_inspect = project.checked_at.is_none()
        || observed.inspection_due
        || compute_defaults_differ(listed, desired)
            && !compute_edited(desired, observed)
            && observed.settings_sent.is_none();
    if must_inspect && observed.compute.is_none() {
        return Some(Step::Inspect(id));
    }
    let drifted = project_differs(listed, desired, &observed.project_name, project.adopted)
        || compute_drifted(desired, observed);
    if has_pending_change(desired, observed) {
        return Some(plan_update(id, desired, observed));
    }
    if remain_unapplied(drifted, desired, observed) {
        return Some(Step::Stalled(settings_not_applied(&id)));
    }
    drifted.then(|| plan_update(id, desired, observed))
}

/// Whether exactly the settings that were sent still differ. A compute that was not read again counts
/// as unchanged.
fn remain_unapplied(drifted: bool, desired: &DesiredState, observed: &ObservedState) -> bool {
    let Some(sent) = &observed.settings_sent else {
        return false;
    };
    let changes = settings_changes(desired, observed);
    let (remains, same_compute) = match observed.compute {
        Some(_) => (drifted, sent.compute == changes.compute),
        None => (drifted || sent.compute != UpdateEndpoint::default(), true),
    };
    remains && same_compute && sent.project == changes.project
}

/// Neon accepted an update without an error, but its response shows other settings.
fn settings_not_applied(id: &ProjectId) -> Issue {
    Issue::new(
        Component::Project,
        Reason::SettingsNotApplied,
        format!(
            "Neon accepted the settings of project {id} but did not apply all of them: compare the spec with the project \
             in Neon, and check what the account's plan allows"
        ),
    )
}

fn compute_drifted(desired: &DesiredState, observed: &ObservedState) -> bool {
    observed
        .compute
        .as_ref()
        .is_some_and(|compute| compute_differs(compute.settings, desired.compute))
}

pub(super) fn plan_update(
    project: ProjectId,
    desired: &DesiredState,
    observed: &ObservedState,
) -> Step {
    let update_compute = compute_drifted(desired, observed) || compute_edited(desired, observed);
    let compute = observed
        .compute
        .as_ref()
        .map(|compute| compute.id.clone())
        .or_else(|| {
            observed
                .status
                .project
                .as_ref()
                .and_then(|project| project.endpoint_id.as_ref())
                .and_then(|id| id.parse().ok())
        });
    match compute {
        None if update_compute => Step::Inspect(project),
        compute => Step::Update {
            project,
            compute: compute.filter(|_| update_compute),
        },
    }
}

/// Whether the compute settings in effect are not the desired ones. After a lost answer, those in
/// effect are unknown.
fn compute_edited(desired: &DesiredState, observed: &ObservedState) -> bool {
    let in_effect = observed.status.effective.as_ref();
    let in_effect = in_effect.map(|effective| effective.compute);
    in_effect.unwrap_or_default() != desired.effective().compute
}

/// The settings of the project and its compute that differ.
pub fn settings_changes(desired: &DesiredState, observed: &ObservedState) -> SettingsChanges {
    let project = observed.status.project.as_ref();
    let compute = observed.compute.as_ref().map(|compute| compute.settings);
    let compute = compute_changes(compute, desired.compute);
    SettingsChanges {
        project: project_changes(
            observed.listing.own.as_ref(),
            desired,
            &observed.project_name,
            project.is_some_and(|project| project.adopted),
        ),
        compute: UpdateEndpoint {
            autoscaling_limit_min_cu: compute.min,
            autoscaling_limit_max_cu: compute.max,
            suspend_timeout_seconds: compute.suspend_timeout_seconds,
            ..UpdateEndpoint::default()
        },
    }
}

/// Whether a setting that must be sent to Neon differs between the configuration in effect and the
/// desired one.
pub(super) fn has_pending_change(desired: &DesiredState, observed: &ObservedState) -> bool {
    let Some(in_effect) = &observed.status.effective else {
        return true;
    };
    let wanted = desired.effective();
    let project = observed.status.project.as_ref();
    let renamed =
        project.is_some_and(|project| !project.adopted && project.name != observed.project_name);
    renamed
        || in_effect.compute != wanted.compute
        || in_effect.quota != wanted.quota
        || in_effect.history_retention_seconds != wanted.history_retention_seconds
        || in_effect.allowed_ips != wanted.allowed_ips
}
