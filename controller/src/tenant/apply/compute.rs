//! Reads and suspends the compute of a project.

use std::time::Duration;

use crds::Reason;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{Endpoint, EndpointType};
use service_kit::error_chain;
use tracing::debug;

use crate::error::ReconcileError;
use crate::issue::Component;
use crate::tenant::reconciliation::Reconciliation;

/// Longest time for suspending a compute, including the wait for the account's rate limit. After that,
/// an application may have reconnected.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The read-write compute of a project: the recorded one or, if it no longer exists, the oldest of the
/// recorded branch. `action` names the operation in errors.
pub(super) async fn read_write_compute(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    action: &str,
) -> Result<Option<Endpoint>, ReconcileError> {
    let computes = rec.neon()?.list_endpoints(id).await;
    let computes =
        computes.map_err(|error| ReconcileError::neon(Component::Project, action, error))?;
    let recorded = rec.status.project.as_ref();
    let is_recorded = |compute: &Endpoint| {
        let recorded = recorded.and_then(|project| project.endpoint_id.as_deref());
        recorded == Some(compute.id.as_str())
    };
    // The computes of other branches serve other data. Without a recorded branch, the oldest compute
    // is the one that was created with the project.
    let branch = recorded.and_then(|project| project.branch_id.as_deref());
    let usable = computes.into_iter().filter(|compute| {
        compute.endpoint_type == EndpointType::ReadWrite
            && (is_recorded(compute)
                || branch.is_none_or(|branch| branch == compute.branch_id.as_str()))
    });
    Ok(usable.min_by(|a, b| {
        let key = |compute: &Endpoint| (!is_recorded(compute), compute.created_at);
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    }))
}

/// Suspends the recorded compute without waiting for the response, because the calls of a large rollout
/// exceed the account's rate limit. If the call fails, the compute only runs until Neon suspends it.
pub(super) fn suspend(rec: &Reconciliation<'_>, id: &ProjectId) {
    let (Some((_, compute)), Ok(account)) = (recorded_compute(rec), rec.account()) else {
        return;
    };
    // With a key of another account, the call fails.
    let client = account.client().background();
    let call = client.suspend_endpoint(id, &compute);
    let id = id.clone();
    tokio::spawn(async move {
        match tokio::time::timeout(SUSPEND_TIMEOUT, call).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(
                project.id = %id,
                error = %error_chain(&error),
                "failed to suspend the compute after the migration"
            ),
            Err(_) => debug!(project.id = %id, "did not suspend the compute in time"),
        }
    });
}

/// The compute that the status records, with its branch. The Secret, the status and the database that
/// is migrated are all of this branch, even after another branch has become the default.
pub(super) fn recorded_compute(rec: &Reconciliation<'_>) -> Option<(BranchId, EndpointId)> {
    let project = rec.status.project.as_ref()?;
    let branch = project.branch_id.as_ref()?.parse().ok()?;
    Some((branch, project.endpoint_id.as_ref()?.parse().ok()?))
}

/// Records the compute that the Tenant uses. After a change, the Secret still contains the former host.
pub(super) fn record_compute(rec: &mut Reconciliation<'_>, compute: &Endpoint) {
    let Some(project) = &mut rec.status.project else {
        return;
    };
    if project.endpoint_id.as_deref() != Some(compute.id.as_str()) {
        rec.status.connection = None;
    }
    project.endpoint_id = Some(compute.id.to_string());
    project.branch_id = Some(compute.branch_id.to_string());
}

pub(super) fn no_read_write_compute(
    rec: &Reconciliation<'_>,
    component: Component,
    id: &ProjectId,
) -> ReconcileError {
    let branch = rec
        .status
        .project
        .as_ref()
        .and_then(|project| project.branch_id.as_deref());
    let message = match branch {
        Some(branch) => format!(
            "project {id} has no read-write compute on branch {branch}, which this Tenant uses: add one in Neon; if the \
             branch was deleted, delete this Tenant with deletionPolicy Retain, apply it again, and let it take the project \
             back"
        ),
        None => {
            format!("project {id} has no read-write compute: add one to its default branch in Neon")
        }
    };
    ReconcileError::permanent(component, Reason::ComputeMissing, message)
}
