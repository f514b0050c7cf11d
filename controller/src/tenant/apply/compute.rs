//! Reads the compute of a project.

use crds::Reason;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{Endpoint, EndpointType};

use crate::error::ReconcileError;
use crate::issue::Component;
use crate::tenant::reconciliation::Reconciliation;

/// The read-write compute of a project: the recorded one or, if it no longer exists, the oldest.
/// `action` names the operation in errors.
pub(super) async fn read_write_compute(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
    action: &str,
) -> Result<Option<Endpoint>, ReconcileError> {
    let computes = rec.neon()?.list_endpoints(id).await;
    let computes =
        computes.map_err(|error| ReconcileError::neon(Component::Project, action, error))?;
    let recorded = rec
        .status
        .project
        .as_ref()
        .and_then(|project| project.endpoint_id.as_deref());
    let mut writers: Vec<Endpoint> = computes
        .into_iter()
        .filter(|compute| compute.endpoint_type == EndpointType::ReadWrite)
        .collect();
    // The oldest compute was created with the project; later ones belong to branches that users
    // created.
    writers.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let index = recorded
        .and_then(|id| writers.iter().position(|compute| compute.id.as_str() == id))
        .unwrap_or(0);
    Ok((index < writers.len()).then(|| writers.swap_remove(index)))
}

/// The compute that the status records, with its branch. The Secret, the status and the database that
/// is migrated are all of this branch, also after another branch became the default.
pub(super) fn recorded_compute(rec: &Reconciliation<'_>) -> Option<(BranchId, EndpointId)> {
    let project = rec.status.project.as_ref()?;
    let branch = project.branch_id.as_ref()?.parse().ok()?;
    Some((branch, project.endpoint_id.as_ref()?.parse().ok()?))
}

pub(super) fn no_read_write_compute(component: Component, id: &ProjectId) -> ReconcileError {
    ReconcileError::permanent(
        component,
        Reason::ComputeMissing,
        format!("project {id} has no read-write compute: add one to its default branch in Neon"),
    )
}
