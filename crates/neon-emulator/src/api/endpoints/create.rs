//! Creates computes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::{
    CreateEndpoint, EndpointEnvelope, EndpointOperations, EndpointType, OperationAction,
};

use super::read_write_exists;
use crate::api::error::ApiError;
use crate::api::extract::{Body, Injected, Path};
use crate::api::{Api, operation_plan, plan_limits, validate, view};
use crate::clock::{Micros, from_millis};
use crate::names;
use crate::store::{EndpointKind, EndpointRow, ProjectRow, Store, StoreError};

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Injected(injection): Injected,
    Body(EndpointEnvelope {
        endpoint: requested,
    }): Body<EndpointEnvelope<CreateEndpoint>>,
) -> Result<(StatusCode, Json<EndpointOperations>), ApiError> {
    plan_limits::compute_creation(api.plan_of_project(&project).await?, &requested)?;
    let branch = requested.branch_id.clone();
    api.store.branch(&project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let others = Store::lock_endpoints(&mut tx, &project).await?;
    let starts = now.saturating_add(from_millis(api.latency.start_compute_ms));
    let row = new_row(&project_row, &requested, starts, now)?;
    if row.kind == EndpointKind::ReadWrite
        && operation_plan::read_write_compute(&others, &branch).is_some()
    {
        return Err(read_write_exists());
    }
    Store::save_endpoint(&mut tx, &row).await?;
    let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
    let plan = [operation_plan::step(
        OperationAction::StartCompute,
        &branch,
        Some(&id),
        api.latency.start_compute_ms,
    )];
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    let response = EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row)?,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// A new compute that becomes ready at `ready_at`.
pub(in crate::api) fn new_row(
    project: &ProjectRow,
    requested: &CreateEndpoint,
    ready_at: Micros,
    now: Micros,
) -> Result<EndpointRow, ApiError> {
    let kind = match requested.endpoint_type {
        EndpointType::ReadWrite => EndpointKind::ReadWrite,
        EndpointType::ReadOnly => EndpointKind::ReadOnly,
        _ => {
            return Err(ApiError::bad_request(
                "endpoint.type must be read_write or read_only",
            ));
        }
    };
    if requested
        .region_id
        .as_ref()
        .is_some_and(|region| region.as_str() != project.region_id)
    {
        return Err(ApiError::invalid(
            "the region of a compute must be the region of its project",
        ));
    }
    let id = names::new_endpoint_id().map_err(|error| {
        tracing::error!(%error, "generated an invalid ID");
        ApiError::internal()
    })?;
    let defaults = &project.default_endpoint_settings.0;
    let (min_cu, max_cu) = validate::with_default_sizes(
        requested
            .autoscaling_limit_min_cu
            .or(defaults.autoscaling_limit_min_cu),
        requested
            .autoscaling_limit_max_cu
            .or(defaults.autoscaling_limit_max_cu),
    );
    validate::compute_sizes(min_cu, max_cu)?;
    let timeout = requested
        .suspend_timeout_seconds
        .or(defaults.suspend_timeout_seconds)
        .unwrap_or(0);
    validate::suspend_timeout(timeout)?;
    if let Some(name) = &requested.name {
        validate::endpoint_name(name)?;
    }
    let mut settings = requested.settings.clone().unwrap_or_default();
    if settings.pg_settings.is_none() {
        settings.pg_settings = Some(defaults.pg_settings.clone().unwrap_or_default());
    }
    Ok(EndpointRow {
        id: id.to_string(),
        project_id: project.id.clone(),
        branch_id: requested.branch_id.to_string(),
        name: requested.name.clone(),
        kind,
        min_cu: min_cu.as_f64(),
        max_cu: max_cu.as_f64(),
        suspend_timeout_seconds: timeout,
        disabled: requested.disabled.unwrap_or(false),
        passwordless_access: requested.passwordless_access.unwrap_or(true),
        settings: sqlx::types::Json(settings),
        ready_at_us: ready_at,
        suspended_at_us: None,
        usage_recorded_us: None,
        last_active_us: None,
        created_at_us: now,
        updated_at_us: now,
    })
}
