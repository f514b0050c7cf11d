//! Computes: looking at them and changing them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use neon::ids::{BranchId, EndpointId, ProjectId};
use neon::model::{
    ComputeUnits, CreateEndpoint, EndpointEnvelope, EndpointList, EndpointOperations, EndpointType,
    OperationAction, UpdateEndpoint,
};

use super::error::ApiError;
use super::extract::{Body, Injected, Path};
use super::{Api, change, validate, view};
use crate::clock::{Micros, from_millis};
use crate::compute::{self, Compute};
use crate::faults::Verdict;
use crate::names;
use crate::store::{EndpointRow, ProjectRow, Store, StoreError, Tx};

/// The kind of compute that a branch has one of at most.
pub(crate) const READ_WRITE: &str = "read_write";

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
    let compute = Compute::of(&row, &api.sessions, now);
    Store::settle(&mut tx, &mut row, compute.sleeps_at, now).await?;
    if let Some(branch) = &update.branch_id {
        moved(&api, &mut tx, &project, &mut row, branch).await?;
    }
    let disables = update.disabled == Some(true) && !row.disabled;
    apply(&mut row, update);
    let size = |units: f64| ComputeUnits::new(units).map_err(StoreError::corrupt);
    validate::sizes(size(row.min_cu)?, size(row.max_cu)?)?;
    row.updated_at_us = now;
    project_row.updated_at_us = now;
    Store::save_endpoint(&mut tx, &row).await?;
    Store::save_project(&mut tx, &project_row).await?;

    let branch: BranchId = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let step = |action, milliseconds| change::step(action, &branch, Some(&endpoint), milliseconds);
    let mut plan = vec![step(
        OperationAction::ApplyConfig,
        api.latency.apply_config_ms,
    )];
    if compute.is_idle() || disables {
        // A compute that slept is woken for the change and goes back to sleep.
        plan.push(step(
            OperationAction::SuspendCompute,
            api.latency.suspend_compute_ms,
        ));
    }
    let rows = Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    tx.commit().await?;
    if disables {
        api.sessions
            .cut_endpoint(project.as_str(), endpoint.as_str());
    }
    Ok(Json(EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row)?,
        operations: change::started(&rows)?,
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

/// Gives a compute to another branch of its project.
async fn moved(
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
    if row.kind == READ_WRITE && change::writer(&others, branch).is_some() {
        return Err(second_writer());
    }
    api.sessions.cut_endpoint(project.as_str(), &row.id);
    branch.as_str().clone_into(&mut row.branch_id);
    Ok(())
}

/// A branch has one compute that writes at most.
pub(super) fn second_writer() -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "READ_WRITE_ENDPOINT_ALREADY_EXISTS",
        "the branch has a read_write endpoint already, and can have only one",
    )
}

/// A new compute, started at a moment.
pub(super) fn new_row(
    project: &ProjectRow,
    wanted: &CreateEndpoint,
    ready_at: Micros,
    now: Micros,
) -> Result<EndpointRow, ApiError> {
    if !matches!(
        wanted.endpoint_type,
        EndpointType::ReadWrite | EndpointType::ReadOnly
    ) {
        return Err(ApiError::bad_request(
            "endpoint.type must be read_write or read_only",
        ));
    }
    if wanted
        .region_id
        .as_ref()
        .is_some_and(|region| region.as_str() != project.region_id)
    {
        return Err(ApiError::invalid(
            "a compute runs in the region of its project",
        ));
    }
    let id = names::new_endpoint_id().map_err(|error| {
        tracing::error!(%error, "A new id was not one");
        ApiError::internal()
    })?;
    let defaults = &project.default_endpoint_settings.0;
    let (min_cu, max_cu) = validate::filled(
        wanted
            .autoscaling_limit_min_cu
            .or(defaults.autoscaling_limit_min_cu),
        wanted
            .autoscaling_limit_max_cu
            .or(defaults.autoscaling_limit_max_cu),
    );
    validate::sizes(min_cu, max_cu)?;
    let timeout = wanted
        .suspend_timeout_seconds
        .or(defaults.suspend_timeout_seconds)
        .unwrap_or(0);
    validate::suspend_timeout(timeout)?;
    if let Some(name) = &wanted.name {
        validate::endpoint_name(name)?;
    }
    let mut settings = wanted.settings.clone().unwrap_or_default();
    if settings.pg_settings.is_none() {
        settings.pg_settings = Some(defaults.pg_settings.clone().unwrap_or_default());
    }
    Ok(EndpointRow {
        id: id.to_string(),
        project_id: project.id.clone(),
        branch_id: wanted.branch_id.to_string(),
        name: wanted.name.clone(),
        kind: wanted.endpoint_type.as_str().to_owned(),
        min_cu: min_cu.as_f64(),
        max_cu: max_cu.as_f64(),
        suspend_timeout_seconds: timeout,
        disabled: wanted.disabled.unwrap_or(false),
        passwordless_access: wanted.passwordless_access.unwrap_or(true),
        settings: sqlx::types::Json(settings),
        ready_at_us: ready_at,
        suspended_at_us: None,
        settled_us: None,
        last_active_us: None,
        created_at_us: now,
        updated_at_us: now,
    })
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Injected(verdict): Injected,
    Body(EndpointEnvelope { endpoint: wanted }): Body<EndpointEnvelope<CreateEndpoint>>,
) -> Result<(StatusCode, Json<EndpointOperations>), ApiError> {
    let branch = wanted.branch_id.clone();
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let others = Store::lock_endpoints(&mut tx, &project).await?;
    let starts = now.saturating_add(from_millis(api.latency.start_compute_ms));
    let row = new_row(&project_row, &wanted, starts, now)?;
    if row.kind == READ_WRITE && change::writer(&others, &branch).is_some() {
        return Err(second_writer());
    }
    Store::save_endpoint(&mut tx, &row).await?;
    let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
    let plan = [change::step(
        OperationAction::StartCompute,
        &branch,
        Some(&id),
        api.latency.start_compute_ms,
    )];
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    tx.commit().await?;
    let answer = EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row)?,
        operations: change::started(&operations)?,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, endpoint)): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Response, ApiError> {
    api.store.project(&project).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let mut row = match Store::lock_endpoint(&mut tx, &project, &endpoint).await {
        Err(StoreError::NotFound(_)) => return Ok(StatusCode::NO_CONTENT.into_response()),
        row => row?,
    };
    let branch: BranchId = row.branch_id.parse().map_err(StoreError::corrupt)?;
    let mut plan = Vec::new();
    if compute::suspend(&mut tx, &mut row, &api.sessions, now).await? {
        plan.push(change::step(
            OperationAction::SuspendCompute,
            &branch,
            Some(&endpoint),
            api.latency.suspend_compute_ms,
        ));
    }
    Store::forget_endpoint(&mut tx, &row.id).await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    tx.commit().await?;
    api.sessions
        .cut_endpoint(project.as_str(), endpoint.as_str());
    let answer = EndpointOperations {
        endpoint: view::endpoint(&api, &project_row, &row)?,
        operations: change::started(&operations)?,
    };
    Ok(Json(answer).into_response())
}

/// What a call asks of a compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Start,
    Suspend,
    Restart,
}

pub(super) async fn start(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    order(&api, ids, &verdict, Order::Start).await
}

pub(super) async fn suspend(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    order(&api, ids, &verdict, Order::Suspend).await
}

pub(super) async fn restart(
    State(api): State<Arc<Api>>,
    Path(ids): Path<(ProjectId, EndpointId)>,
    Injected(verdict): Injected,
) -> Result<Json<EndpointOperations>, ApiError> {
    order(&api, ids, &verdict, Order::Restart).await
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
