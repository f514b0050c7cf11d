//! Keeping a project as it is wished.

use crds::Reason;
use neon_client::ErrorKind;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::{Endpoint, UpdateEndpoint, UpdateProject};

use super::create::{compute_of, endpoint_defaults, settings};
use crate::error::Failure;
use crate::tenant::desired::ComputeWish;
use crate::tenant::observed::{EndpointFacts, Facts};
use crate::tenant::reconciliation::Pass;
use crate::tenant::status::Area;

/// Deletes a second project of our own making. Its name bears the Tenant's mark and the status names another: it is the
/// late child of a request whose answer was lost, and nobody ever had its credentials.
pub(super) async fn remove_twin(pass: &mut Pass<'_>, id: &ProjectId) -> Result<(), Failure> {
    let account = pass.account()?;
    match account.neon().projects().delete(id).send().await {
        Ok(_) => pass.say(
            Reason::DuplicateProjectDeleted,
            &format!(
                "removed project {id}, which an earlier request created late; it was never in use"
            ),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::neon(
                Area::Project,
                "removing a second project",
                &error,
            ));
        }
    }
    account.deleted(id);
    Ok(())
}

/// Asks for a project by id that the listings lack, and recovers it if it was deleted.
pub(super) async fn confirm_gone(pass: &mut Pass<'_>, id: &ProjectId) -> Result<(), Failure> {
    let account = pass.account()?;
    let neon = account.neon();
    match neon.projects().get(id).send().await {
        Ok(project) if project.deleted_at.is_none() => {
            account.wrote(&project);
            pass.hand.confirmed = true;
            return Ok(());
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::neon(
                Area::Project,
                "looking for the project",
                &error,
            ));
        }
    }
    match neon.projects().recover(id).send().await {
        Ok(recovered) => {
            account.wrote(&recovered.project);
            pass.hand.confirmed = true;
            pass.say(
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
            Err(Failure::lasting(
                Area::Project,
                Reason::ProjectNotFound,
                format!(
                    "project {id} is not in the account any more and Neon cannot recover it: to go on with an empty \
                     database, delete this Tenant and apply it again"
                ),
            ))
        }
        Err(error) => Err(Failure::neon(
            Area::Project,
            "recovering the project",
            &error,
        )),
    }
}

/// Looks at the compute, since something about the project changed.
pub(super) async fn inspect(
    pass: &mut Pass<'_>,
    facts: &Facts,
    id: &ProjectId,
) -> Result<(), Failure> {
    const DOING: &str = "looking at the project's compute";
    let Some(endpoint) = compute_of(pass, id, DOING).await? else {
        return Err(Failure::lasting(
            Area::Project,
            Reason::NeonRequestRejected,
            format!(
                "project {id} has no compute that takes writes: add one to its default branch in Neon"
            ),
        ));
    };
    let seen = endpoint_facts(&endpoint);
    let wish = pass.wish()?;
    let settled = !seen.differs_from(wish);
    let adopted = facts
        .status
        .project
        .as_ref()
        .is_some_and(|project| project.adopted);
    let listed = facts.listing.own.as_ref();
    let unchanged =
        listed.is_none_or(|listed| !listed.differs_from(wish, &facts.project_name, adopted));
    if let Some(project) = &mut pass.status.project {
        project.endpoint_id = Some(endpoint.id.to_string());
        project.branch_id = Some(endpoint.branch_id.to_string());
        if settled && unchanged {
            project.checked_at = listed.map(|listed| listed.updated_at.clone());
        }
    }
    pass.hand.endpoint = Some(seen);
    Ok(())
}

fn endpoint_facts(endpoint: &Endpoint) -> EndpointFacts {
    EndpointFacts {
        id: endpoint.id.clone(),
        compute: ComputeWish {
            min: Some(endpoint.autoscaling_limit_min_cu),
            max: Some(endpoint.autoscaling_limit_max_cu),
            suspend_timeout_seconds: Some(endpoint.suspend_timeout_seconds),
        },
    }
}

/// Brings settings and compute to what is wished. Both calls name the values to be reached: doing them twice is doing them
/// once. Edits of a whole class at once are paced, since each may wake a compute.
pub(super) async fn update(
    pass: &mut Pass<'_>,
    facts: &Facts,
    id: &ProjectId,
    compute: Option<&EndpointId>,
) -> Result<(), Failure> {
    let account = pass.account()?;
    // An edit of this Tenant has somebody waiting for it; drift and edits of the class have not.
    let edited = pass.status.observed_generation != pass.tenant.metadata.generation;
    let neon = if edited {
        account.neon()
    } else {
        account.neon_housekeeping()
    };
    let _turn = pass.ctx.updates.acquire().await;
    let wish = pass.wish()?.clone();
    let adopted = pass
        .status
        .project
        .as_ref()
        .is_some_and(|project| project.adopted);
    let changes = UpdateProject {
        name: (!adopted).then(|| facts.project_name.clone()),
        settings: Some(settings(&wish)),
        default_endpoint_settings: Some(endpoint_defaults(&wish)),
        history_retention_seconds: wish.history_retention_seconds,
    };
    let updated = neon.projects().update(id, changes).send().await;
    let updated = updated
        .map_err(|error| Failure::neon(Area::Project, "changing the project's settings", &error))?;
    account.wrote(&updated.project);
    if let Some(endpoint) = compute {
        let changes = UpdateEndpoint {
            autoscaling_limit_min_cu: wish.compute.min,
            autoscaling_limit_max_cu: wish.compute.max,
            suspend_timeout_seconds: wish.compute.suspend_timeout_seconds,
            ..UpdateEndpoint::default()
        };
        let resized = neon.endpoints(id).update(endpoint, changes).send().await;
        let resized = resized
            .map_err(|error| Failure::neon(Area::Project, "changing the compute", &error))?;
        pass.hand.endpoint = Some(endpoint_facts(&resized.endpoint));
    }
    if let Some(project) = &mut pass.status.project {
        if !project.adopted {
            project.name.clone_from(&facts.project_name);
        }
        // The answer shows nothing of the compute. Unless that is known too, it is looked at next: a change of it by
        // somebody else, made before this one, would never be seen again.
        let known = pass.hand.endpoint.is_some();
        project.checked_at = known.then(|| updated.project.updated_at.to_string());
    }
    pass.status.effective = Some(wish.effective());
    pass.say(
        Reason::ProjectUpdated,
        &format!("changed project {id} to what is wished"),
    );
    Ok(())
}
