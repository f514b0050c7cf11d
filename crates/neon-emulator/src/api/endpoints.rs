//! Computes: listing, reading and deleting them.

mod create;
mod lifecycle;
mod update;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{EndpointEnvelope, EndpointList, EndpointOperations, OperationAction};

pub(super) use self::create::{create, new_row};
pub(super) use self::lifecycle::{restart, start, suspend};
pub(super) use self::update::update;
use super::error::ApiError;
use super::extract::{Injected, Path};
use super::{Api, operation_plan, view};
use crate::compute;
use crate::store::{Store, StoreError};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
) -> Result<Json<EndpointList>, ApiError> {
    let row = api.store.project(&project).await?;
    let endpoints = api.store.endpoints(&project).await?;
    let endpoints = endpoints
        .iter()
        .map(|endpoint| view::endpoint(&api, &row, endpoint))
        .collect::<Result<_, _>>()?;
    Ok(Json(EndpointList { endpoints }))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, endpoint)): Path<(ProjectId, EndpointId)>,
) -> Result<Json<EndpointEnvelope>, ApiError> {
    let project_row = api.store.project(&project).await?;
    let row = api.store.endpoint(&project, &endpoint).await?;
    let endpoint = view::endpoint(&api, &project_row, &row)?;
    Ok(Json(EndpointEnvelope { endpoint }))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, endpoint)): Path<(ProjectId, EndpointId)>,
    Injected(injection): Injected,
) -> Result<Response, ApiError> {
    api.store.project(&project).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let mut project_row = Store::lock_project(&mut tx, &project, now).await?;
    let mut row = match Store::lock_endpoint(&mut tx, &project, &endpoint).await {
        Err(StoreError::NotFound(_)) => return Ok(StatusCode::NO_CONTENT.into_response()),
        row => row?,
    };
    let branch: BranchId = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let mut plan = Vec::new();
    if compute::suspend(&mut tx, &mut row, &api.sessions, now).await? {
        plan.push(operation_plan::step(
            OperationAction::SuspendCompute,
            &branch,
            Some(&endpoint),
            api.latency.suspend_compute_ms,
        ));
    }
    Store::delete_endpoint(&mut tx, &row.id).await?;
    project_row.updated_at_us = now;
    Store::save_project(&mut tx, &project_row).await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    api.sessions
        .terminate_endpoint(project.as_str(), endpoint.as_str());
    let response = EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row)?,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok(Json(response).into_response())
}

/// A branch has at most one read-write compute.
pub(super) fn read_write_exists() -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "READ_WRITE_ENDPOINT_ALREADY_EXISTS",
        "the branch has a read_write endpoint already, and can have only one",
    )
}
