//! Gives a Tenant a project that existed before it: one that it adopts, or that belonged to an
//! earlier Tenant of the same namespace and name.

use crds::{Effective, Reason};
use neon_client::ErrorKind;
use neon_client::ids::ProjectId;
use neon_client::model::{Endpoint, Project};

use super::claim::claim;
use super::compute::read_write_compute;
use super::create::{Origin, read_listed_project, record_project, start_timings};
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::identity::ProjectMark;
use crate::issue::{Component, Issue};
use crate::tenant::desired::DesiredState;
use crate::tenant::observed::{ObservedClaim, ObservedState};
use crate::tenant::ownership::ownership_issue;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

/// Claims and records the project that the spec names.
pub(super) async fn adopt(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "adopt the project";
    start_timings(rec);
    let project = match rec.neon()?.project(id).await {
        Ok(project) => project,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(adoption_mismatch(format!(
                "the account has no project {id}: create a new Tenant with the right spec.adopt.projectId"
            )));
        }
        Err(error) => return Err(ReconcileError::neon(Component::Project, ACTION, error)),
    };
    if !take_over(rec, observed, project, Origin::Adopted, ACTION).await? {
        return Ok(());
    }
    rec.publish_event(&ControllerEvent::ProjectAdopted { project: id });
    Ok(())
}

/// Claims and records the project of an earlier Tenant of the same namespace and name. An update
/// then puts this Tenant's mark into the project's name.
pub(super) async fn reclaim(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "take the project back";
    let account = rec.account()?;
    start_timings(rec);
    let Some(project) = read_listed_project(rec, id, ACTION).await? else {
        return Ok(());
    };
    // The name may have changed since the listing.
    if ownership_issue(observed, id, ProjectMark::parse(&project.name).as_ref()).is_some() {
        account.record_write(&project)?;
        return Ok(());
    }
    if take_over(rec, observed, project, Origin::Reclaimed, ACTION).await? {
        rec.publish_event(&ControllerEvent::ProjectReclaimed { project: id });
    }
    Ok(())
}

/// Claims and records an existing project. Returns whether the Tenant got it.
async fn take_over(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    project: Project,
    origin: Origin,
    action: &'static str,
) -> Result<bool, ReconcileError> {
    let account = rec.account()?;
    let id = &project.id;
    account.record_write(&project)?;
    check_matches(rec, &project)?;
    let compute = read_write_compute(rec, id, action).await?;
    claim(rec, id, true).await?;
    if rec.state.claim != Some(ObservedClaim::Own) {
        return Ok(false);
    }
    let effective = effective_of_existing(rec.desired()?, &project, compute.as_ref());
    record_project(rec, &project, compute.as_ref(), origin, Some(effective));
    // From now on, the project's region and version apply instead of the class's defaults.
    rec.resolve_intent();
    let updating = Issue::new(
        Component::Project,
        Reason::UpdatingProject,
        "the project is recorded; applying its settings, Secret and schema",
    );
    rec.save_status(observed, &StatusOutcome::InProgress(updating))
        .await?;
    Ok(true)
}

/// Whether the project has the region and the version that the spec names.
fn check_matches(rec: &Reconciliation<'_>, project: &Project) -> Result<(), ReconcileError> {
    let (spec, id) = (&rec.tenant.spec, &project.id);
    if let Some(region) = spec
        .region
        .as_deref()
        .filter(|region| *region != project.region_id.as_str())
    {
        return Err(adoption_mismatch(format!(
            "project {id} is in region {}, but spec.region is {region}",
            project.region_id
        )));
    }
    if let Some(version) = spec
        .postgres_version
        .filter(|version| *version != i32::from(project.pg_version))
    {
        return Err(adoption_mismatch(format!(
            "project {id} runs Postgres {}, but spec.postgresVersion is {version}",
            project.pg_version
        )));
    }
    Ok(())
}

fn adoption_mismatch(message: String) -> ReconcileError {
    ReconcileError::permanent(Component::Project, Reason::AdoptionMismatch, message)
}

/// The settings in effect in an existing project, as far as the desired state sets
/// them.
fn effective_of_existing(
    desired: &DesiredState,
    project: &Project,
    compute: Option<&Endpoint>,
) -> Effective {
    let wanted = desired.effective();
    let settings = project.settings.clone().unwrap_or_default();
    let quota = settings.quota.unwrap_or_default();
    let limit = |wanted: Option<i64>, current: Option<u64>| {
        wanted
            .and(current)
            .and_then(|current| i64::try_from(current).ok())
            .filter(|current| *current > 0)
    };
    let size =
        |wanted: Option<f64>, current: fn(&Endpoint) -> f64| wanted.and(compute.map(current));
    Effective {
        region: project.region_id.to_string(),
        postgres_version: i32::from(project.pg_version),
        compute: crds::Compute {
            min_cu: size(wanted.compute.min_cu, |compute| {
                compute.autoscaling_limit_min_cu.as_f64()
            }),
            max_cu: size(wanted.compute.max_cu, |compute| {
                compute.autoscaling_limit_max_cu.as_f64()
            }),
            suspend_timeout_seconds: wanted
                .compute
                .suspend_timeout_seconds
                .and(compute.map(|compute| compute.suspend_timeout_seconds)),
        },
        quota: crds::Quota {
            active_time_seconds: limit(wanted.quota.active_time_seconds, quota.active_time_seconds),
            compute_time_seconds: limit(
                wanted.quota.compute_time_seconds,
                quota.compute_time_seconds,
            ),
            written_data_bytes: limit(wanted.quota.written_data_bytes, quota.written_data_bytes),
            data_transfer_bytes: limit(wanted.quota.data_transfer_bytes, quota.data_transfer_bytes),
            logical_size_bytes: limit(wanted.quota.logical_size_bytes, quota.logical_size_bytes),
        },
        history_retention_seconds: wanted
            .history_retention_seconds
            .and(project.history_retention_seconds.map(i64::from)),
        allowed_ips: match &desired.allowed_ips {
            Some(_) => settings
                .allowed_ips
                .and_then(|allowed| allowed.ips)
                .unwrap_or_default(),
            None => Vec::new(),
        },
        ..wanted
    }
}
