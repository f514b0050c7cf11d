//! Keeping a project as it is wished.

use crds::Reason;
use neon_client::ErrorKind;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::{Endpoint, UpdateEndpoint, UpdateProject};

use super::create::{compute_of, endpoint_defaults, settings};
use crate::error::ReconcileError;
use crate::tenant::desired::ComputeSettings;
use crate::tenant::observed::{ObservedCompute, ObservedState};
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::Component;

/// Deletes a second project of our own making. Its name bears the Tenant's mark and the status names another: it is the
/// late child of a request whose answer was lost, and nobody ever had its credentials.
pub(super) async fn delete_duplicate(rec: &mut Reconciliation<'_>, id: &ProjectId) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    match account.client().projects().delete(id).send().await {
        Ok(_) => rec.say(
            Reason::DuplicateProjectDeleted,
            &format!(
                "removed project {id}, which an earlier request created late; it was never in use"
            ),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(ReconcileError::neon(
                Component::Project,
                "removing a second project",
                &error,
            ));
        }
    }
    account.record_deletion(id);
    Ok(())
}

/// Asks for a project by id that the listings lack, and recovers it if it was deleted.
pub(super) async fn verify_missing(rec: &mut Reconciliation<'_>, id: &ProjectId) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    let neon = account.client();
    match neon.projects().get(id).send().await {
        Ok(project) if project.deleted_at.is_none() => {
            account.record_write(&project);
            rec.state.project_found = true;
            return Ok(());
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(ReconcileError::neon(
                Component::Project,
                "looking for the project",
                &error,
            ));
        }
    }
    match neon.projects().recover(id).send().await {
        Ok(recovered) => {
            account.record_write(&recovered.project);
            rec.state.project_found = true;
            rec.say(
                Reason::ProjectRecovered,
                &format!("recovered project {id}, which was deleted outside Kubernetes"),
            );
            Ok(())
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::PreconditionFailed
            ) =>
        {
            Err(ReconcileError::permanent(
                Component::Project,
                Reason::ProjectNotFound,
                format!(
                    "project {id} is not in the account any more and Neon cannot recover it: to go on with an empty \
                     database, delete this Tenant and apply it again"
                ),
            ))
        }
        Err(error) => Err(ReconcileError::neon(
            Component::Project,
            "recovering the project",
            &error,
        )),
    }
}

/// Looks at the compute, since something about the project changed.
pub(super) async fn inspect(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    const DOING: &str = "looking at the project's compute";
    let Some(endpoint) = compute_of(rec, id, DOING).await? else {
        return Err(ReconcileError::permanent(
            Component::Project,
            Reason::NeonRequestRejected,
            format!(
                "project {id} has no compute that takes writes: add one to its default branch in Neon"
            ),
        ));
    };
    let seen = observed_compute(&endpoint);
    let desired = rec.desired()?;
    let settled = !seen.differs_from(desired);
    let adopted = observed
        .status
        .project
        .as_ref()
        .is_some_and(|project| project.adopted);
    let listed = observed.listing.own.as_ref();
    let unchanged =
        listed.is_none_or(|listed| !listed.differs_from(desired, &observed.project_name, adopted));
    if let Some(project) = &mut rec.status.project {
        project.endpoint_id = Some(endpoint.id.to_string());
        project.branch_id = Some(endpoint.branch_id.to_string());
        if settled && unchanged {
            project.checked_at = listed.map(|listed| listed.updated_at.clone());
        }
    }
    rec.state.endpoint = Some(seen);
    Ok(())
}

fn observed_compute(endpoint: &Endpoint) -> ObservedCompute {
    ObservedCompute {
        id: endpoint.id.clone(),
        compute: ComputeSettings {
            min: Some(endpoint.autoscaling_limit_min_cu),
            max: Some(endpoint.autoscaling_limit_max_cu),
            suspend_timeout_seconds: Some(endpoint.suspend_timeout_seconds),
        },
    }
}

/// Brings settings and compute to what is wished. Both calls name the values to be reached: doing them twice is doing them
/// once. Edits of a whole class at once are paced, since each may wake a compute.
pub(super) async fn update(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
    compute: Option<&EndpointId>,
) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    // An edit of this Tenant has somebody waiting for it; drift and edits of the class have not.
    let edited = rec.status.observed_generation != rec.tenant.metadata.generation;
    let neon = if edited {
        account.client()
    } else {
        account.background_client()
    };
    let _turn = rec.ctx.updates.acquire().await;
    let desired = rec.desired()?.clone();
    let adopted = rec
        .status
        .project
        .as_ref()
        .is_some_and(|project| project.adopted);
    let changes = UpdateProject {
        name: (!adopted).then(|| observed.project_name.clone()),
        settings: Some(settings(&desired)),
        default_endpoint_settings: Some(endpoint_defaults(&desired)),
        history_retention_seconds: desired.history_retention_seconds,
    };
    let updated = neon.projects().update(id, changes).send().await;
    let updated = updated
        .map_err(|error| ReconcileError::neon(Component::Project, "changing the project's settings", &error))?;
    account.record_write(&updated.project);
    if let Some(endpoint) = compute {
        let changes = UpdateEndpoint {
            autoscaling_limit_min_cu: desired.compute.min,
            autoscaling_limit_max_cu: desired.compute.max,
            suspend_timeout_seconds: desired.compute.suspend_timeout_seconds,
            ..UpdateEndpoint::default()
        };
        let resized = neon.endpoints(id).update(endpoint, changes).send().await;
        let resized = resized
            .map_err(|error| ReconcileError::neon(Component::Project, "changing the compute", &error))?;
        rec.state.endpoint = Some(observed_compute(&resized.endpoint));
    }
    if let Some(project) = &mut rec.status.project {
        if !project.adopted {
            project.name.clone_from(&observed.project_name);
        }
        // The answer shows nothing of the compute. Unless that is known too, it is looked at next: a change of it by
        // somebody else, made before this one, would never be seen again.
        let known = rec.state.endpoint.is_some();
        project.checked_at = known.then(|| updated.project.updated_at.to_string());
    }
    rec.status.effective = Some(desired.effective());
    rec.say(
        Reason::ProjectUpdated,
        &format!("changed project {id} to what is wished"),
    );
    Ok(())
}
