//! Plans the operations of a change, and builds the responses that list them.

use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{Operation, OperationAction};

use super::{Api, ApiError};
use crate::clock::{Micros, from_millis};
use crate::compute;
use crate::store::{
    EndpointKind, EndpointRow, OperationRow, PlannedOperation, Store, StoreError, Tx,
};

/// The operations as the response to the call that scheduled them shows them: in progress, however
/// short they are.
pub(super) fn as_scheduled(rows: &[OperationRow]) -> Result<Vec<Operation>, StoreError> {
    rows.iter()
        .enumerate()
        .map(|(index, row)| row.when_scheduled(index == 0))
        .collect()
}

/// One operation on a branch and, optionally, on one of its computes.
pub(super) fn step(
    action: OperationAction,
    branch: &BranchId,
    endpoint: Option<&EndpointId>,
    milliseconds: u64,
) -> PlannedOperation {
    PlannedOperation {
        action,
        branch: branch.clone(),
        endpoint: endpoint.cloned(),
        duration: from_millis(milliseconds),
    }
}

/// An operation that creates a branch's contents, followed by the start of each of its computes.
pub(super) fn with_computes(
    api: &Api,
    creation: OperationAction,
    branch: &BranchId,
    endpoints: &[EndpointRow],
) -> Result<Vec<PlannedOperation>, StoreError> {
    let mut plan = vec![step(creation, branch, None, api.latency.create_timeline_ms)];
    for row in endpoints {
        if row.branch_id == branch.as_str() {
            let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
            plan.push(step(
                OperationAction::StartCompute,
                branch,
                Some(&id),
                api.latency.start_compute_ms,
            ));
        }
    }
    Ok(plan)
}

/// The branch's read-write compute, which applies changes to PostgreSQL.
pub(super) fn read_write_compute<'a>(
    endpoints: &'a [EndpointRow],
    branch: &BranchId,
) -> Option<&'a EndpointRow> {
    endpoints
        .iter()
        .find(|row| row.branch_id == branch.as_str() && row.kind == EndpointKind::ReadWrite)
}

/// The operation that applies a change of roles or databases to a branch's compute. Empty if the
/// branch has no read-write compute.
pub(super) async fn apply_config(
    api: &Api,
    project: &ProjectId,
    branch: &BranchId,
) -> Result<Vec<PlannedOperation>, ApiError> {
    let endpoints = api.store.endpoints(project).await?;
    let Some(endpoint) = read_write_compute(&endpoints, branch) else {
        return Ok(Vec::new());
    };
    let id = endpoint.id.parse().map_err(StoreError::corrupt)?;
    Ok(vec![step(
        OperationAction::ApplyConfig,
        branch,
        Some(&id),
        api.latency.apply_config_ms,
    )])
}

/// Suspends the computes of a branch that is being deleted, and plans the operations of the
/// deletion.
pub(super) async fn branch_deletion(
    api: &Api,
    tx: &mut Tx,
    project: &ProjectId,
    branch: &BranchId,
    now: Micros,
) -> Result<Vec<PlannedOperation>, ApiError> {
    let mut plan = Vec::new();
    for mut row in Store::lock_endpoints(tx, project).await? {
        if row.branch_id != branch.as_str() {
            continue;
        }
        let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
        if !compute::suspend(tx, &mut row, &api.sessions, now).await? {
            continue;
        }
        plan.push(step(
            OperationAction::SuspendCompute,
            branch,
            Some(&id),
            api.latency.suspend_compute_ms,
        ));
    }
    plan.push(step(
        OperationAction::DeleteTimeline,
        branch,
        None,
        api.latency.create_timeline_ms,
    ));
    Ok(plan)
}
