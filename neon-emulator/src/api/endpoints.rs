//! Computes: looking at them and changing them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon::ids::{EndpointId, ProjectId};
use neon::model::{
    ComputeUnits, EndpointEnvelope, EndpointList, EndpointOperations, EndpointState,
    OperationAction, UpdateEndpoint,
};

use super::error::ApiError;
use super::extract::{Body, Injected, Path};
use super::{Api, validate, view};
use crate::clock::from_millis;
use crate::store::{EndpointRow, Planned, Store, StoreError};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
) -> Result<Json<EndpointList>, ApiError> {
    let row = api.store.project(&project).await?;
    let endpoints = api.store.endpoints(&project).await?;
    let now = api.clock.now();
    let endpoints = endpoints
        .iter()
        .map(|endpoint| view::endpoint(&api, &row, endpoint, now))
        .collect::<Result<_, _>>()?;
    Ok(Json(EndpointList { endpoints }))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, endpoint)): Path<(ProjectId, EndpointId)>,
) -> Result<Json<EndpointEnvelope>, ApiError> {
    let project_row = api.store.project(&project).await?;
    let row = api.store.endpoint(&project, &endpoint).await?;
    let endpoint = view::endpoint(&api, &project_row, &row, api.clock.now())?;
    Ok(Json(EndpointEnvelope { endpoint }))
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((project, endpoint)): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
    Body(EndpointEnvelope { endpoint: update }): Body<EndpointEnvelope<UpdateEndpoint>>,
) -> Result<Json<EndpointOperations>, ApiError> {
    validate::endpoint_update(&update)?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let mut project_row = Store::lock_project(&mut tx, &project, now).await?;
    let mut row = Store::lock_endpoint(&mut tx, &project, &endpoint).await?;
    let was_idle = view::endpoint_state(&row, api.sessions.count(project.as_str()), now)
        == EndpointState::Idle;
    let disables = update.disabled == Some(true) && !row.disabled;
    apply(&mut row, update);
    let size = |units: f64| ComputeUnits::new(units).map_err(StoreError::corrupt);
    validate::sizes(size(row.min_cu)?, size(row.max_cu)?)?;
    row.updated_at_us = now;
    project_row.updated_at_us = now;
    Store::save_endpoint(&mut tx, &row).await?;
    Store::save_project(&mut tx, &project_row).await?;

    let branch = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let step = |action, milliseconds| Planned {
        action,
        branch: neon::ids::BranchId::clone(&branch),
        endpoint: Some(endpoint.clone()),
        takes: from_millis(milliseconds),
    };
    let mut plan = vec![step(
        OperationAction::ApplyConfig,
        api.latency.apply_config_ms,
    )];
    if was_idle || disables {
        // A compute that slept is woken for the change and goes back to sleep.
        plan.push(step(
            OperationAction::SuspendCompute,
            api.latency.suspend_compute_ms,
        ));
    }
    let rows = Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    tx.commit().await?;
    if disables {
        api.sessions.cut(project.as_str());
    }
    let operations = rows
        .iter()
        .enumerate()
        .map(|(place, row)| row.at_its_start(place == 0))
        .collect::<Result<_, _>>()?;
    Ok(Json(EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row, now)?,
        operations,
    }))
}

fn apply(row: &mut EndpointRow, update: UpdateEndpoint) {
    if let Some(size) = update.autoscaling_limit_min_cu {
        row.min_cu = size.as_f64();
    }
    if let Some(size) = update.autoscaling_limit_max_cu {
        row.max_cu = size.as_f64();
    }
    if let Some(seconds) = update.suspend_timeout_seconds {
        row.suspend_timeout_seconds = seconds;
    }
    if let Some(disabled) = update.disabled {
        row.disabled = disabled;
    }
    if let Some(passwordless) = update.passwordless_access {
        row.passwordless_access = passwordless;
    }
    if update.name.is_some() {
        row.name = update.name;
    }
    if let Some(settings) = update.settings {
        let kept = &mut row.settings.0;
        if settings.pg_settings.is_some() {
            kept.pg_settings = settings.pg_settings;
        }
        if settings.pgbouncer_settings.is_some() {
            kept.pgbouncer_settings = settings.pgbouncer_settings;
        }
        if settings.preload_libraries.is_some() {
            kept.preload_libraries = settings.preload_libraries;
        }
    }
}
