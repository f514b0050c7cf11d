//! Gives a Tenant its project: creates it, or recovers one that an earlier request created.

use std::time::Duration;

use crds::{CreationIntent, Effective, LostCreation, ProjectStatus, Reason, TenantStatus, Timings};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use neon_client::ids::ProjectId;
use neon_client::model::{CreateProject, Endpoint, EndpointType, FirstBranch, Project};
use neon_client::{ErrorKind, NotAfter};
use tokio::time::Instant;

use super::compute::read_write_compute;
use super::credentials::store_credentials;
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::issue::{Component, Issue};
use crate::tenant::desired::DesiredState;
use crate::tenant::drift::{compute_defaults, creation_settings};
use crate::tenant::observed::ObservedState;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::{StatusOutcome, millis_between};

/// A creation request is sent within this time after its intent was recorded, or not at all.
const SEND_WINDOW: Duration = Duration::from_secs(10);
/// Requests without an answer that the status keeps.
const MAX_LOST_CREATIONS: usize = 8;

/// Resolution of `metadata.creationTimestamp`.
const CREATION_RESOLUTION: Duration = Duration::from_secs(1);

/// Records the intent, then creates the project.
///
/// This order makes a crash harmless: the recorded intent says under which name a project may exist
/// and until when one may still appear. The wait for the account's quota comes first, so that the
/// recorded times are current.
pub(super) async fn create(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    attempt: i32,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "create the project";
    let account = rec.account()?;
    let neon = rec.neon()?;
    let body = create_request(rec.desired()?, &observed.project_name);
    start_timings(rec);
    let permit = neon
        .reserve_creation()
        .await
        .map_err(|error| ReconcileError::neon(Component::Project, ACTION, error))?;

    let now = rec.ctx.clock.now();
    let not_after = add(now, SEND_WINDOW);
    let send_until = NotAfter::new(Instant::now() + SEND_WINDOW, not_after);
    remember_lost_creation(&mut rec.status);
    rec.status.creation = Some(CreationIntent {
        project_name: observed.project_name.clone(),
        requested_at: Some(MicroTime(now)),
        not_after: MicroTime(not_after),
        settled_at: MicroTime(add(
            not_after,
            rec.ctx.config.neon.create_verification_window,
        )),
        attempt,
    });
    let creating = Issue::new(
        Component::Project,
        Reason::CreatingProject,
        "creating the project",
    );
    rec.save_status(observed, &StatusOutcome::InProgress(creating))
        .await?;

    // This call cannot be repeated, so check the Lease again: the process may have been paused
    // until it expired.
    if !rec.ctx.guard.is_leader() {
        return Err(ReconcileError::not_leader(Component::Project));
    }
    let created = match neon.create_project(body, permit, send_until).await {
        Ok(created) => created,
        Err(error) if error.kind() == ErrorKind::Ambiguous => {
            return Err(ReconcileError::transient(
                Component::Project,
                Reason::VerifyingCreation,
                "no response to the creation request; checking whether its project appears in the account",
            )
            .with_source(error));
        }
        // Neon created nothing, so there is nothing to wait for.
        Err(error) => {
            rec.status.creation = None;
            return Err(ReconcileError::neon(Component::Project, ACTION, error));
        }
    };
    // The project is recorded even if the class must not use it, so that it is not lost.
    let usable = account.record_write(&created.project);
    let compute = created
        .endpoints
        .iter()
        .find(|compute| compute.endpoint_type == EndpointType::ReadWrite);
    let effective = rec.desired()?.effective();
    record_project(
        rec,
        &created.project,
        compute,
        Origin::Created,
        Some(effective),
    );
    if let Some(details) = created.connection_uris.first() {
        store_credentials(rec, &created.project.id, &details.connection_uri)?;
    }
    rec.publish_event(&ControllerEvent::ProjectCreated {
        project: &created.project.id,
    });
    // One status covers the Secret and the schema, which follow within this reconciliation.
    let migrating = Issue::new(
        Component::Schema,
        Reason::Migrating,
        "the project exists; writing its Secret and applying its schema",
    );
    rec.save_status(observed, &StatusOutcome::InProgress(migrating))
        .await?;
    usable.map_err(ReconcileError::from)
}

/// Keeps the window of a request that got no answer, before its intent is removed or replaced.
fn remember_lost_creation(status: &mut TenantStatus) {
    let Some(request) = status.creation.take() else {
        return;
    };
    let Some(requested_at) = request.requested_at else {
        return;
    };
    status.lost_creations.push(LostCreation {
        requested_at,
        settled_at: request.settled_at,
    });
    let excess = status
        .lost_creations
        .len()
        .saturating_sub(MAX_LOST_CREATIONS);
    status.lost_creations.drain(..excess);
}

fn add(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

pub(super) fn start_timings(rec: &mut Reconciliation<'_>) {
    let now = rec.began_at;
    let created = rec.tenant.metadata.creation_timestamp.as_ref();
    let started_at = started_at(created.map(|time| time.0), now);
    rec.status.timings.get_or_insert_with(|| Timings {
        started_at: Some(MicroTime(started_at)),
        ..Timings::default()
    });
}

/// When a Tenant was created, as precisely as it is known: the API server records whole seconds, so
/// it was created within the second that begins at `created`.
fn started_at(created: Option<Timestamp>, now: Timestamp) -> Timestamp {
    match created {
        Some(created) => now.min(add(created, CREATION_RESOLUTION)),
        None => now,
    }
}

/// Plans of Neon reject settings that they do not offer, even at their default values, so the request
/// contains only what the Tenant or its class sets.
fn create_request(desired: &DesiredState, name: &str) -> CreateProject {
    CreateProject {
        region_id: Some(desired.region.clone()),
        pg_version: Some(desired.postgres_version),
        branch: Some(FirstBranch {
            database_name: Some(desired.database.clone()),
            role_name: Some(desired.owner.clone()),
            ..FirstBranch::default()
        }),
        settings: creation_settings(desired),
        default_endpoint_settings: compute_defaults(desired.compute),
        history_retention_seconds: desired.history_retention_seconds,
        store_passwords: Some(true),
        ..CreateProject::named(name)
    }
}

/// Reads a project that the listing contains; `None` if it has been deleted since.
pub(super) async fn read_listed_project(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    action: &'static str,
) -> Result<Option<Project>, ReconcileError> {
    match rec.neon()?.project(id).await {
        Ok(project) => Ok(Some(project)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            rec.account()?.record_deletion(id);
            Ok(None)
        }
        Err(error) => Err(ReconcileError::neon(Component::Project, action, error)),
    }
}

/// Records a project that an earlier request of this Tenant created.
pub(super) async fn recover_created(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "read the project that an earlier request created";
    let account = rec.account()?;
    start_timings(rec);
    let Some(project) = read_listed_project(rec, id, ACTION).await? else {
        return Ok(());
    };
    account.record_write(&project)?;
    let compute = read_write_compute(rec, id, ACTION).await?;
    // Without a recorded request, the status was lost, and the database may have data.
    let origin = match rec.status.creation {
        Some(_) => Origin::Created,
        None => Origin::Reclaimed,
    };
    remember_lost_creation(&mut rec.status);
    // The settings that it was created with are unknown, so record none; an update follows.
    record_project(rec, &project, compute.as_ref(), origin, None);
    rec.publish_event(&ControllerEvent::CreatedProjectFound { project: id });
    Ok(())
}

/// How a Tenant got its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Created,
    Adopted,
    Reclaimed,
}

pub(super) fn record_project(
    rec: &mut Reconciliation<'_>,
    project: &Project,
    compute: Option<&Endpoint>,
    origin: Origin,
    effective: Option<Effective>,
) {
    rec.status.project = Some(ProjectStatus {
        id: project.id.to_string(),
        region: project.region_id.to_string(),
        name: project.name.clone(),
        branch_id: compute.map(|compute| compute.branch_id.to_string()),
        endpoint_id: compute.map(|compute| compute.id.to_string()),
        adopted: origin == Origin::Adopted,
        reclaimed: origin == Origin::Reclaimed,
        checked_at: Some(project.updated_at.to_string()),
    });
    rec.status.creation = None;
    rec.status.connection = None;
    rec.status.effective = effective;
    let now = rec.ctx.clock.now();
    if let Some(timings) = &mut rec.status.timings
        && timings.project_ms.is_none()
    {
        timings.project_ms = timings
            .started_at
            .as_ref()
            .map(|start| millis_between(start.0, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_ready_counts_from_the_creation_within_a_second() {
        let at = |ms: i64| Timestamp::from_millisecond(1_000_000 + ms).unwrap();
        let created = Some(at(0));
        assert_eq!(started_at(created, at(250)), at(250));
        assert_eq!(started_at(created, at(90_000)), at(1_000));
        assert_eq!(started_at(None, at(250)), at(250));
    }
}
