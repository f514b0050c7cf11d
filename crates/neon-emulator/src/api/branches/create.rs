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
    INIT_FROM_PARENT, INIT_SCHEMA_ONLY, OperationAction,
};

use super::{alive, can_be_had, one, unused};
use crate::api::error::ApiError;
use crate::api::extract::{Injected, OptionalBody, Path};
use crate::api::{Api, change, endpoints, validate, view};
use crate::clock::{Micros, from_millis};
use crate::names;
use crate::provision::copy::What;
use crate::store::{BranchRow, EndpointRow, ProjectRow, Store, StoreError, Tx};

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Injected(verdict): Injected,
    OptionalBody(request): OptionalBody<CreateBranch>,
) -> Result<Response, ApiError> {
    let wanted = request.branch;
    let source = wanted.init_source.as_deref().unwrap_or(INIT_FROM_PARENT);
    let what = match source {
        INIT_FROM_PARENT => What::SchemaAndData,
        INIT_SCHEMA_ONLY => What::SchemaOnly,
        other => {
            return Err(ApiError::bad_request(format!(
                "unknown init_source {other:?}"
            )));
        }
    };
    let ids = names::new_branch_id().map_err(|error| {
        tracing::error!(%error, "generated an invalid ID");
        ApiError::internal()
    })?;
    let name = wanted.name.clone().unwrap_or_else(|| ids.to_string());
    validate::branch_name(&name)?;

    let parent = parent(&api, &project, wanted.parent_id.as_ref()).await?;
    let _closed = api.sessions.close(parent.as_str()).await;
    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let parent_row = alive(&rows, &parent)?;
    unused(&rows, &name, &ids)?;
    api.branch_limit(&rows)?;
    let endpoints = Store::lock_endpoints(&mut tx, &project).await?;
    let moment = wanted.parent_timestamp.map(Timestamp::as_microsecond);
    can_be_had(&api, parent_row, &endpoints, moment, wanted.parent_lsn, now)?;
    let expires = wanted.expires_at.map(Timestamp::as_microsecond);

    let timeline = from_millis(api.latency.create_timeline_ms);
    let is_child = what == What::SchemaAndData;
    let row = BranchRow {
        id: ids.to_string(),
        project_id: project.to_string(),
        parent_id: is_child.then(|| parent.to_string()),
        parent_at_us: is_child.then_some(moment.unwrap_or(now)),
        name,
        is_default: false,
        protected: wanted.protected.unwrap_or(false),
        init_source: source.to_owned(),
        expires_at_us: expires,
        expires_set_us: expires.map(|_| now),
        last_reset_us: None,
        restored_from: None,
        ready_at_us: now.saturating_add(timeline),
        created_at_us: now,
        updated_at_us: now,
        deleted_at_us: None,
        deleted_by: None,
    };
    validate::expiry(&row, false, expires, now)?;
    Store::save_branch(&mut tx, &row).await?;
    let computes = computes(&api, &mut tx, &project_row, &row, &request.endpoints, now).await?;
    let plan = change::with_computes(&api, OperationAction::CreateBranch, &ids, &computes)?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    api.sessions.cut_branch(project.as_str(), parent.as_str());
    api.provisioner
        .copy(&mut admin, &mut tx, &project, &parent, &ids, what, now)
        .await?;
    tx.commit().await?;
    drop(admin);

    let mut answer = answer(&api, &project_row, &row, &computes).await?;
    answer.operations = change::started(&operations)?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// The parent of a new branch: the requested one or the default branch.
async fn parent(
    api: &Api,
    project: &ProjectId,
    wanted: Option<&BranchId>,
) -> Result<BranchId, ApiError> {
    api.store.project(project).await?;
    if let Some(id) = wanted {
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
    wanted: &[BranchEndpoint],
    now: Micros,
) -> Result<Vec<EndpointRow>, ApiError> {
    let mut rows: Vec<EndpointRow> = Vec::new();
    for wanted in wanted {
        if wanted.endpoint_type.as_str() == endpoints::READ_WRITE
            && rows.iter().any(|row| row.kind == endpoints::READ_WRITE)
        {
            return Err(endpoints::second_writer());
        }
        let mut request = neon_client::model::CreateEndpoint::new(
            branch.branch_id()?,
            wanted.endpoint_type.clone(),
        );
        request.settings.clone_from(&wanted.settings);
        request.autoscaling_limit_min_cu = wanted.autoscaling_limit_min_cu;
        request.autoscaling_limit_max_cu = wanted.autoscaling_limit_max_cu;
        request.suspend_timeout_seconds = wanted.suspend_timeout_seconds;
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
async fn answer(
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
    if let Some(compute) = change::writer(computes, &branch)
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
        branch: one(api, row).await?,
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
