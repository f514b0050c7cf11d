//! Creates a branch: a copy of its parent, with computes if the request contains any.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{
    BranchEndpoint, ConnectionDetails, ConnectionParameters, CreateBranch, CreatedBranch,
    EndpointType, INIT_FROM_PARENT, INIT_SCHEMA_ONLY, OperationAction,
};

use super::{ensure_name_available, ensure_restorable, find_active, load};
use crate::api::error::ApiError;
use crate::api::extract::{Injected, OptionalBody, Path};
use crate::api::{Api, endpoints, operation_plan, plan_limits, validate, view};
use crate::clock::{Micros, from_millis};
use crate::names;
use crate::provision::copy::CopyScope;
use crate::store::{BranchRow, EndpointKind, EndpointRow, ProjectRow, Store, StoreError, Tx};

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Injected(injection): Injected,
    OptionalBody(request): OptionalBody<CreateBranch>,
) -> Result<Response, ApiError> {
    let requested = request.branch;
    let source = requested.init_source.as_deref().unwrap_or(INIT_FROM_PARENT);
    let scope = match source {
        INIT_FROM_PARENT => CopyScope::SchemaAndData,
        INIT_SCHEMA_ONLY => CopyScope::SchemaOnly,
        other => {
            return Err(ApiError::bad_request(format!(
                "unknown init_source {other:?}"
            )));
        }
    };
    let branch_id = names::new_branch_id().map_err(|error| {
        tracing::error!(%error, "generated an invalid ID");
        ApiError::internal()
    })?;
    let name = requested
        .name
        .clone()
        .unwrap_or_else(|| branch_id.to_string());
    validate::branch_name(&name)?;

    let parent = parent(&api, &project, requested.parent_id.as_ref()).await?;
    let _branch_lock = api.sessions.lock_branch_exclusive(parent.as_str()).await;
    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let parent_row = find_active(&rows, &parent)?;
    validate::parent(parent_row)?;
    ensure_name_available(&rows, &name, &branch_id)?;
    if requested.protected == Some(true) {
        Api::check_protected_branches(api.plan(project_row.org_id.as_deref()), &rows)?;
    }
    api.check_branch_limit(&rows)?;
    let endpoints = Store::lock_endpoints(&mut tx, &project).await?;
    let timestamp = requested.parent_timestamp.map(Timestamp::as_microsecond);
    ensure_restorable(
        &api,
        parent_row,
        &endpoints,
        timestamp,
        requested.parent_lsn,
        now,
    )?;
    let expires = requested.expires_at.map(Timestamp::as_microsecond);

    let timeline = from_millis(api.latency.create_timeline_ms);
    let is_child = scope == CopyScope::SchemaAndData;
    let row = BranchRow {
        id: branch_id.to_string(),
        project_id: project.to_string(),
        parent_id: is_child.then(|| parent.to_string()),
        parent_at_us: is_child.then_some(timestamp.unwrap_or(now)),
        name,
        is_default: false,
        protected: requested.protected.unwrap_or(false),
        init_source: source.to_owned(),
        expires_at_us: expires,
        expires_set_us: expires.map(|_| now),
        last_reset_us: None,
        restored_from: None,
        restored_as: None,
        ready_at_us: now.saturating_add(timeline),
        created_at_us: now,
        updated_at_us: now,
        deleted_at_us: None,
        deleted_by: None,
    };
    validate::expiration(&row, false, expires, now)?;
    Store::save_branch(&mut tx, &row).await?;
    let computes = computes(&api, &mut tx, &project_row, &row, &request.endpoints, now).await?;
    let plan =
        operation_plan::with_computes(&api, OperationAction::CreateBranch, &branch_id, &computes)?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    api.sessions
        .terminate_branch(project.as_str(), parent.as_str());
    api.provisioner
        .copy(
            &mut admin, &mut tx, &project, &parent, &branch_id, scope, now,
        )
        .await?;
    tx.commit().await?;
    drop(admin);

    let mut response = response(&api, &project_row, &row, &computes).await?;
    response.operations = operation_plan::as_scheduled(&operations)?;
    Ok((StatusCode::CREATED, Json(response)).into_response())
}

/// The parent of a new branch: the requested one or the default branch.
async fn parent(
    api: &Api,
    project: &ProjectId,
    requested: Option<&BranchId>,
) -> Result<BranchId, ApiError> {
    api.store.project(project).await?;
    if let Some(id) = requested {
        return Ok(api.store.branch(project, id).await?.branch_id()?);
    }
    let rows = api.store.branches(project).await?;
    let default = rows.iter().find(|row| row.is_default);
    Ok(default
        .ok_or_else(|| ApiError::not_found("branch"))?
        .branch_id()?)
}

/// Creates the computes of a new branch.
async fn computes(
    api: &Api,
    tx: &mut Tx,
    project: &ProjectRow,
    branch: &BranchRow,
    requested: &[BranchEndpoint],
    now: Micros,
) -> Result<Vec<EndpointRow>, ApiError> {
    let mut rows: Vec<EndpointRow> = Vec::new();
    for requested in requested {
        plan_limits::branch_compute(api.plan(project.org_id.as_deref()), requested)?;
        if requested.endpoint_type == EndpointType::ReadWrite
            && rows.iter().any(|row| row.kind == EndpointKind::ReadWrite)
        {
            return Err(endpoints::read_write_exists());
        }
        let mut request = neon_client::model::CreateEndpoint::new(
            branch.branch_id()?,
            requested.endpoint_type.clone(),
        );
        request.settings.clone_from(&requested.settings);
        request.autoscaling_limit_min_cu = requested.autoscaling_limit_min_cu;
        request.autoscaling_limit_max_cu = requested.autoscaling_limit_max_cu;
        request.suspend_timeout_seconds = requested.suspend_timeout_seconds;
        let starts = branch
            .ready_at_us
            .saturating_add(from_millis(api.latency.start_compute_ms));
        let row = endpoints::new_row(project, &request, starts, now)?;
        Store::save_endpoint(tx, &row).await?;
        rows.push(row);
    }
    Ok(rows)
}

/// The response to a branch creation, without the operations.
async fn response(
    api: &Api,
    project: &ProjectRow,
    row: &BranchRow,
    computes: &[EndpointRow],
) -> Result<CreatedBranch, ApiError> {
    let branch = row.branch_id()?;
    let roles = api.store.roles(&branch).await?;
    let databases = api.store.databases(&branch).await?;
    let now = api.clock.now();
    let mut connection_uris = Vec::new();
    if let Some(compute) = operation_plan::read_write_compute(computes, &branch)
        && project.store_passwords
    {
        let id: EndpointId = compute.id.parse().map_err(StoreError::corrupt)?;
        for database in &databases {
            let Some(owner) = roles.iter().find(|role| role.name == database.owner_name) else {
                continue;
            };
            let (role, name) = (
                owner.name.parse().map_err(StoreError::corrupt)?,
                database.name.parse().map_err(StoreError::corrupt)?,
            );
            let password = owner.password_at(now);
            connection_uris.push(ConnectionDetails {
                connection_uri: api
                    .hosts
                    .uri(&id, &role, Some(password), &name, false)?
                    .into(),
                connection_parameters: ConnectionParameters {
                    database: name,
                    password: password.into(),
                    role,
                    host: api.hosts.host(&id, false),
                    pooler_host: api.hosts.host(&id, true),
                },
            });
        }
    }
    Ok(CreatedBranch {
        branch: load(api, row).await?,
        endpoints: computes
            .iter()
            .map(|row| view::endpoint(api, project, row))
            .collect::<Result<_, _>>()?,
        operations: Vec::new(),
        roles: roles
            .iter()
            .map(|row| view::role(row, None))
            .collect::<Result<_, _>>()?,
        databases: databases
            .iter()
            .map(view::database)
            .collect::<Result<_, _>>()?,
        connection_uris,
    })
}
