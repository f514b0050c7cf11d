//! Starts, suspends and restarts computes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{EndpointOperations, OperationAction};

use crate::api::error::ApiError;
use crate::api::extract::{Injected, Path};
use crate::api::{Api, change, view};
use crate::clock::{Micros, from_millis};
use crate::compute::{self, Compute};
use crate::faults::Verdict;
use crate::store::{Store, StoreError};

pub(in crate::api) async fn start(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    order(&api, ids, &verdict, Order::Start).await
}

pub(in crate::api) async fn suspend(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    order(&api, ids, &verdict, Order::Suspend).await
}

pub(in crate::api) async fn restart(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    order(&api, ids, &verdict, Order::Restart).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Start,
    Suspend,
    Restart,
}

async fn order(
    api: &Api,
    (project, endpoint): (ProjectId, EndpointId),
    verdict: &Verdict,
    order: Order,
) -> Result<Json<EndpointOperations>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let mut row = Store::lock_endpoint(&mut tx, &project, &endpoint).await?;
    if row.disabled && order != Order::Suspend {
        return Err(ApiError::invalid("the compute is disabled"));
    }
    let branch: BranchId = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let step = |action, milliseconds| change::step(action, &branch, Some(&endpoint), milliseconds);
    let mut plan = Vec::new();
    let was_active = !Compute::of(&row, &api.sessions, now).is_idle();
    if order != Order::Start && compute::suspend(&mut tx, &mut row, &api.sessions, now).await? {
        plan.push(step(
            OperationAction::SuspendCompute,
            api.latency.suspend_compute_ms,
        ));
    }
    if order == Order::Restart || (order == Order::Start && !was_active) {
        let before = plan.iter().map(|step| step.takes).sum::<Micros>();
        let takes = before.saturating_add(from_millis(api.latency.start_compute_ms));
        compute::wake(&mut tx, &mut row, &api.sessions, takes, now).await?;
        plan.push(step(
            OperationAction::StartCompute,
            api.latency.start_compute_ms,
        ));
    }
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    tx.commit().await?;
    if order != Order::Start {
        api.sessions
            .cut_endpoint(project.as_str(), endpoint.as_str());
    }
    Ok(Json(EndpointOperations {
        endpoint: view::endpoint(api, &project_row, &row)?,
        operations: change::started(&operations)?,
    }))
}
