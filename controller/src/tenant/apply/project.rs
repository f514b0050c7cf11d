//! Inspects, updates and deletes a project.

use crds::Reason;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use neon_client::ErrorKind;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::{Endpoint, UpdateEndpoint, UpdateProject};

use super::compute::{no_read_write_compute, read_write_compute, record_compute};
use super::credentials::check_database;
use crate::accounts::is_unused;
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::issue::{Component, Issue};
use crate::tenant::desired::ComputeSettings;
use crate::tenant::drift::compute_differs;
use crate::tenant::observed::{ObservedCompute, ObservedState};
use crate::tenant::plan::settings_changes;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

/// Deletes a project with the Tenant's mark that is not the recorded one: one that a user named, or
/// an unused one that a request whose response was lost created.
pub(super) async fn delete_duplicate(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
    named: bool,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "delete a duplicate project";
    let account = rec.account()?;
    let neon = rec.neon()?;
    let event = if named {
        let deleting = Issue::new(
            Component::Project,
            Reason::DuplicateProject,
            format!("deleting project {id}, as the annotation requests"),
        );
        rec.save_status(observed, &StatusOutcome::InProgress(deleting))
            .await?;
        ControllerEvent::NamedDuplicateDeleted { project: id }
    } else {
        // The listing may be minutes old.
        match neon.project(id).await {
            Ok(project) if is_unused(&project) => {}
            Ok(project) => {
                account.record_write(&project)?;
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                account.record_deletion(id);
                return Ok(());
            }
            Err(error) => return Err(ReconcileError::neon(Component::Project, ACTION, error)),
        }
        ControllerEvent::UnusedDuplicateDeleted { project: id }
    };
    match neon.delete_project(id).await {
        Ok(()) => rec.publish_event(&event),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(ReconcileError::neon(Component::Project, ACTION, error)),
    }
    account.record_deletion(id);
    rec.state.deleted = Some(id.clone());
    Ok(())
}

pub(super) async fn delete_project(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    admit_deletion(rec)?;
    match rec.neon()?.delete_project(id).await {
        Ok(()) => rec.publish_event(&ControllerEvent::ProjectDeleted { project: id }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let deleted = account.is_deleted(id).await.map_err(|error| {
                ReconcileError::neon(
                    Component::Project,
                    "look for the project among the deleted ones",
                    error,
                )
            })?;
            if !deleted {
                return Err(unknown_project(id));
            }
        }
        Err(error) => {
            return Err(ReconcileError::neon(
                Component::Project,
                "delete the project",
                error,
            ));
        }
    }
    account.record_deletion(id);
    rec.state.deleted = Some(id.clone());
    Ok(())
}

/// Neon does not find a project that the account has never shown. Another account may own it.
fn unknown_project(id: &ProjectId) -> ReconcileError {
    ReconcileError::permanent(
        Component::Project,
        Reason::ProjectNotFound,
        format!(
            "Neon does not find project {id}, and neither an earlier listing nor the list of deleted projects shows it: \
             check that the class's API key belongs to the account that owns the project"
        ),
    )
}

/// Fails if the deletion is part of a mass deletion that no user has confirmed.
fn admit_deletion(rec: &Reconciliation<'_>) -> Result<(), ReconcileError> {
    let (ctx, Some(class), Some(request)) = (rec.ctx, &rec.class, rec.deletion_request()) else {
        return Ok(());
    };
    let name = class.name_any();
    let admitted = ctx.deletion_holds.admit(
        &name,
        class.spec.mass_deletion,
        request,
        ctx.pending_deletions(&name),
        ctx.tenants_of(&name).count(),
        ctx.clock.now(),
    );
    admitted.map_err(|issue| {
        // The class reports the hold.
        ctx.class_queue.enqueue(ObjectRef::from_obj(&**class));
        issue.into()
    })
}

/// Reads the compute of a project, and makes sure that its database still exists.
pub(super) async fn inspect(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let Some(endpoint) = read_write_compute(rec, id, "read the project's compute").await? else {
        return Err(no_read_write_compute(rec, Component::Project, id));
    };
    let compute = observed_compute(&endpoint);
    let desired = rec.desired()?;
    let compute_matches = !compute_differs(compute.settings, desired.compute);
    record_compute(rec, &endpoint);
    check_database(rec, id).await?;
    if let Some(project) = &mut rec.status.project
        && let Some(listed) = &observed.listing.own
        && compute_matches
    {
        project.checked_at = Some(listed.updated_at.clone());
    }
    rec.ctx.inspections.record(rec.uid, rec.ctx.clock.now());
    rec.state.compute = Some(compute);
    Ok(())
}

fn observed_compute(endpoint: &Endpoint) -> ObservedCompute {
    ObservedCompute {
        id: endpoint.id.clone(),
        settings: ComputeSettings {
            min: Some(endpoint.autoscaling_limit_min_cu),
            max: Some(endpoint.autoscaling_limit_max_cu),
            suspend_timeout_seconds: Some(endpoint.suspend_timeout_seconds),
        },
    }
}

/// Applies the desired settings that differ to the project and, if given, to its compute. Plans of
/// Neon reject settings that they do not offer, even at their current values, so nothing else is
/// sent. Both calls set absolute values, so they can be repeated. The number of concurrent updates is limited, because
/// each may wake a compute.
pub(super) async fn update(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
    compute: Option<&EndpointId>,
) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    // A user waits for an edit of this Tenant, but not for the correction of drift or an edit of
    // the class.
    let edited = rec.status.observed_generation != rec.tenant.metadata.generation;
    let neon = if edited {
        rec.neon()?
    } else {
        rec.neon()?.background()
    };
    let _permit = rec.ctx.project_updates.acquire().await;
    let desired = rec.desired()?.clone();
    let mut changes = settings_changes(&desired, observed);
    if compute.is_none() {
        changes.compute = UpdateEndpoint::default();
    }
    // The compute comes first: after a failure in between, the project's defaults for computes still
    // differ, so that the next reconciliation reads the compute again.
    if let Some(compute) = compute {
        let updated = neon
            .update_endpoint(id, compute, changes.compute.clone())
            .await
            .map_err(|error| {
                ReconcileError::neon(Component::Project, "update the compute", error)
            })?;
        rec.state.compute = Some(observed_compute(&updated.endpoint));
    }
    let listed = observed.listing.own.as_ref();
    let mut updated_at = listed.map(|listed| listed.updated_at.clone());
    if changes.project != UpdateProject::default() {
        let update = neon.update_project(id, changes.project.clone());
        let updated = update.await.map_err(|error| {
            ReconcileError::neon(Component::Project, "update the project's settings", error)
        })?;
        account.record_write(&updated.project)?;
        updated_at = Some(updated.project.updated_at.to_string());
    }
    if let Some(project) = &mut rec.status.project {
        if !project.adopted {
            project.name.clone_from(&observed.project_name);
        }
        if rec.state.compute.is_some() && updated_at.is_some() {
            project.checked_at = updated_at;
        }
    }
    rec.state.settings_sent = Some(changes);
    rec.ctx.connection_refusals.forget(rec.uid);
    rec.status.effective = Some(desired.effective());
    rec.publish_event(&ControllerEvent::ProjectUpdated { project: id });
    Ok(())
}
