//! Starts, suspends and restarts computes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{EndpointOperations, OperationAction};

use crate::api::error::ApiError;
use crate::api::extract::{Injected, Path};
use crate::api::{Api, operation_plan, view};
use crate::clock::{Micros, from_millis};
use crate::compute::{self, Compute};
use crate::faults::Injection;
use crate::store::{Store, StoreError};

pub(in crate::api) async fn start(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(injection): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    apply_action(&api, ids, &injection, LifecycleAction::Start).await
}

pub(in crate::api) async fn suspend(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(injection): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    apply_action(&api, ids, &injection, LifecycleAction::Suspend).await
}

pub(in crate::api) async fn restart(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(injection): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    apply_action(&api, ids, &injection, LifecycleAction::Restart).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifecycleAction {
    Start,
    Suspend,
    Restart,
}

async fn apply_action(
    api: &Api,
    (project, endpoint): (ProjectId, EndpointId),
    injection: &Injection,
    action: LifecycleAction,
) -> Result<Json<EndpointOperations>, ApiError> {
    let branch = api.store.endpoint(&project, &endpoint).await?.branch_id;
    let _branch_lock = api.sessions.lock_branch_exclusive(&branch).await;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let mut row = Store::lock_endpoint(&mut tx, &project, &endpoint).await?;
    if row.disabled && action != LifecycleAction::Suspend {
        return Err(ApiError::invalid("the compute is disabled"));
    }
    let branch: BranchId = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let step =
        |action, milliseconds| operation_plan::step(action, &branch, Some(&endpoint), milliseconds);
    let mut plan = Vec::new();
    let was_active = !Compute::of(&row, &api.sessions, now).is_idle();
    if action != LifecycleAction::Start
        && compute::suspend(&mut tx, &mut row, &api.sessions, now).await?
    {
        plan.push(step(
            OperationAction::SuspendCompute,
            api.latency.suspend_compute_ms,
        ));
    }
    if action == LifecycleAction::Restart || (action == LifecycleAction::Start && !was_active) {
        let before = plan.iter().map(|step| step.duration).sum::<Micros>();
        let duration = before.saturating_add(from_millis(api.latency.start_compute_ms));
        compute::wake(&mut tx, &mut row, &api.sessions, duration, now).await?;
        plan.push(step(
            OperationAction::StartCompute,
            api.latency.start_compute_ms,
        ));
    }
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    if action != LifecycleAction::Start {
        api.sessions
            .terminate_endpoint(project.as_str(), endpoint.as_str());
    }
    Ok(Json(EndpointOperations {
        endpoint: view::endpoint(api, &project_row, &row)?,
        operations: operation_plan::as_scheduled(&operations)?,
    }))
}
