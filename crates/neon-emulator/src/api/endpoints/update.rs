//! Changes the settings of a compute.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{
    ComputeUnits, EndpointEnvelope, EndpointOperations, OperationAction, UpdateEndpoint,
};

use super::read_write_exists;
use crate::api::error::ApiError;
use crate::api::extract::{Body, Injected, Path};
use crate::api::{Api, operation_plan, plan_limits, validate, view};
use crate::compute::Compute;
use crate::store::{EndpointKind, EndpointRow, Store, StoreError, Tx};

pub(in crate::api) async fn update(
    State(api): State<Arc<Api>>,
    Path((project, endpoint)): Path<(ProjectId, EndpointId)>,
    Injected(injection): Injected,
    Body(EndpointEnvelope { endpoint: update }): Body<EndpointEnvelope<UpdateEndpoint>>,
) -> Result<Json<EndpointOperations>, ApiError> {
    plan_limits::compute_update(api.plan_of_project(&project).await?, &update)?;
    validate::endpoint_update(&update)?;
    let update = if injection.ignores_settings {
        UpdateEndpoint::default()
    } else {
        update
    };
    let branch = api.store.endpoint(&project, &endpoint).await?.branch_id;
    let _branch_lock = api.sessions.lock_branch_exclusive(&branch).await;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let mut project_row = Store::lock_project(&mut tx, &project, now).await?;
    let mut row = Store::lock_endpoint(&mut tx, &project, &endpoint).await?;
    let compute = Compute::of(&row, &api.sessions, now);
    Store::record_usage(&mut tx, &mut row, compute.suspends_at, now).await?;
    if let Some(branch) = &update.branch_id {
        move_to_branch(&api, &mut tx, &project, &mut row, branch).await?;
    }
    let disables = update.disabled == Some(true) && !row.disabled;
    apply(&mut row, update);
    let size = |units: f64| ComputeUnits::new(units).map_err(StoreError::corrupt);
    validate::compute_sizes(size(row.min_cu)?, size(row.max_cu)?)?;
    row.updated_at_us = now;
    project_row.updated_at_us = now;
    Store::save_endpoint(&mut tx, &row).await?;
    Store::save_project(&mut tx, &project_row).await?;

    let branch: BranchId = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let step =
        |action, milliseconds| operation_plan::step(action, &branch, Some(&endpoint), milliseconds);
    let mut plan = vec![step(
        OperationAction::ApplyConfig,
        api.latency.apply_config_ms,
    )];
    if compute.is_idle() || disables {
        // An idle compute is started to apply the change, and suspended again.
        plan.push(step(
            OperationAction::SuspendCompute,
            api.latency.suspend_compute_ms,
        ));
    }
    let rows = Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    if disables {
        api.sessions
            .terminate_endpoint(project.as_str(), endpoint.as_str());
    }
    Ok(Json(EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row)?,
        operations: operation_plan::as_scheduled(&rows)?,
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
        let current = &mut row.settings.0;
        if settings.pg_settings.is_some() {
            current.pg_settings = settings.pg_settings;
        }
        if settings.pgbouncer_settings.is_some() {
            current.pgbouncer_settings = settings.pgbouncer_settings;
        }
        if settings.preload_libraries.is_some() {
            current.preload_libraries = settings.preload_libraries;
        }
    }
}

/// Moves a compute to another branch of its project.
async fn move_to_branch(
    api: &Api,
    tx: &mut Tx,
    project: &ProjectId,
    row: &mut EndpointRow,
    branch: &BranchId,
) -> Result<(), ApiError> {
    if row.branch_id == branch.as_str() {
        return Ok(());
    }
    api.store.branch(project, branch).await?;
    let others = Store::lock_endpoints(tx, project).await?;
    if row.kind == EndpointKind::ReadWrite
        && operation_plan::read_write_compute(&others, branch).is_some()
    {
        return Err(read_write_exists());
    }
    api.sessions.terminate_endpoint(project.as_str(), &row.id);
    branch.as_str().clone_into(&mut row.branch_id);
    Ok(())
}
