//! Making branches and restoring them: where real databases are copied.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use neon::ids::{BranchId, EndpointId, ProjectId};
use neon::model::{
    BranchEndpoint, BranchOperations, ConnectionDetails, ConnectionParameters, CreateBranch,
    CreatedBranch, INIT_FROM_PARENT, INIT_SCHEMA_ONLY, Lsn, OperationAction, RestoreBranch,
};

use super::branches::{alive, has_children, one, unused};
use super::error::ApiError;
use super::extract::{Body, Injected, OptionalBody, Path};
use super::{Api, change, endpoints, validate, view};
use crate::clock::{Micros, from_millis};
use crate::names;
use crate::provision::copy::What;
use crate::store::{BranchRow, EndpointRow, ProjectRow, Store, StoreError, Tx};

pub(super) async fn create(
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
                "there is no init_source {other:?}"
            )));
        }
    };
    let ids = names::new_branch_id().map_err(|error| {
        tracing::error!(%error, "A new id was not one");
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
    let plan = plan(&api, &ids, &computes)?;
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

/// The branch that a new one is made from.
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

/// Whether what a branch held at a moment can be had. PostgreSQL keeps no history, so it can only if nobody has been connected to the
/// branch since: then it is what the branch holds now.
fn can_be_had(
    api: &Api,
    row: &BranchRow,
    endpoints: &[EndpointRow],
    moment: Option<Micros>,
    lsn: Option<Lsn>,
    now: Micros,
) -> Result<(), ApiError> {
    if lsn.is_some() {
        return Err(ApiError::invalid(
            "the emulator keeps no history: a position in the log cannot be restored, only the head of a branch",
        ));
    }
    let Some(moment) = moment else { return Ok(()) };
    if moment > now {
        return Err(ApiError::invalid("the moment lies in the future"));
    }
    if moment < row.created_at_us {
        return Err(ApiError::invalid(
            "the moment lies before the branch was made",
        ));
    }
    let last_use = endpoints
        .iter()
        .filter(|endpoint| endpoint.branch_id == row.id)
        .filter_map(|endpoint| {
            let open = api.sessions.last_use(endpoint, now).map(|_| now);
            open.max(endpoint.last_active_us)
        })
        .max();
    let restored = row.last_reset_us;
    if last_use
        .max(restored)
        .is_some_and(|changed| changed > moment)
    {
        return Err(ApiError::invalid(
            "the emulator keeps no history: the branch was used after that moment, and only what it holds now can be had",
        ));
    }
    Ok(())
}

/// The computes that are made with a branch.
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
        let mut request =
            neon::model::CreateEndpoint::new(branch.branch_id()?, wanted.endpoint_type.clone());
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

fn plan(
    api: &Api,
    branch: &BranchId,
    computes: &[EndpointRow],
) -> Result<Vec<crate::store::Planned>, StoreError> {
    let mut plan = vec![change::step(
        OperationAction::CreateBranch,
        branch,
        None,
        api.latency.create_timeline_ms,
    )];
    for row in computes {
        let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
        plan.push(change::step(
            OperationAction::StartCompute,
            branch,
            Some(&id),
            api.latency.start_compute_ms,
        ));
    }
    Ok(plan)
}

/// Everything about a new branch but its operations.
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

pub(super) async fn restore(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(verdict): Injected,
    Body(request): Body<RestoreBranch>,
) -> Result<Json<BranchOperations>, ApiError> {
    let source = request.source_branch_id.clone();
    let own_past = source == branch;
    let kept_name = request
        .preserve_under_name
        .clone()
        .filter(|name| !name.is_empty());
    if own_past && (request.source_timestamp.is_none() && request.source_lsn.is_none()) {
        return Err(ApiError::bad_request(
            "source_timestamp or source_lsn is needed where a branch is its own source",
        ));
    }
    if own_past && kept_name.is_none() {
        return Err(ApiError::bad_request(
            "preserve_under_name is needed where a branch is its own source",
        ));
    }
    api.store.project(&project).await?;
    api.store.branch(&project, &source).await?;
    api.store.branch(&project, &branch).await?;
    // Always in the same order, or two restores could wait for each other.
    let first = api
        .sessions
        .close(source.as_str().min(branch.as_str()))
        .await;
    let second = if own_past {
        None
    } else {
        Some(
            api.sessions
                .close(source.as_str().max(branch.as_str()))
                .await,
        )
    };

    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let source_row = alive(&rows, &source)?;
    let mut row = alive(&rows, &branch)?.clone();
    let endpoints = Store::lock_endpoints(&mut tx, &project).await?;
    let moment = request.source_timestamp.map(Timestamp::as_microsecond);
    can_be_had(
        &api,
        source_row,
        &endpoints,
        moment,
        request.source_lsn,
        now,
    )?;
    if has_children(&rows, &branch) && kept_name.is_none() {
        return Err(ApiError::bad_request(
            "preserve_under_name is needed where a branch has children: they stay with what is kept",
        ));
    }
    api.sessions.cut_branch(project.as_str(), branch.as_str());
    api.sessions.cut_branch(project.as_str(), source.as_str());
    let mut from = source.clone();
    if let Some(name) = kept_name {
        let kept = keep(&api, &mut tx, &rows, &row, name, now).await?;
        if own_past {
            from = kept;
        }
    } else {
        Store::doom_contents(&mut tx, &branch).await?;
    }
    api.provisioner
        .copy(
            &mut admin,
            &mut tx,
            &project,
            &from,
            &branch,
            What::SchemaAndData,
            now,
        )
        .await?;
    if row.parent_id.as_deref() == Some(source.as_str()) {
        row.parent_at_us = Some(moment.unwrap_or(now));
    }
    row.restored_from = Some(source.to_string());
    row.last_reset_us = Some(now);
    row.updated_at_us = now;
    Store::save_branch(&mut tx, &row).await?;
    let plan = restarts(&api, &branch, &endpoints)?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    tx.commit().await?;
    drop((admin, first, second));
    api.bury().await;
    Ok(Json(BranchOperations {
        branch: one(&api, &row).await?,
        operations: change::started(&operations)?,
    }))
}

/// Puts what a branch held into a new one, which takes its children too.
async fn keep(
    api: &Api,
    tx: &mut Tx,
    rows: &[BranchRow],
    row: &BranchRow,
    name: String,
    now: Micros,
) -> Result<BranchId, ApiError> {
    validate::branch_name(&name)?;
    let id = names::new_branch_id().map_err(|_| ApiError::internal())?;
    unused(rows, &name, &id)?;
    api.branch_limit(rows)?;
    let kept = BranchRow {
        id: id.to_string(),
        name,
        is_default: false,
        protected: false,
        expires_at_us: None,
        expires_set_us: None,
        created_at_us: now,
        updated_at_us: now,
        ..row.clone()
    };
    Store::save_branch(tx, &kept).await?;
    Store::move_contents(tx, &row.branch_id()?, &id).await?;
    for child in rows {
        if child.parent_id.as_deref() == Some(&row.id) {
            let child = BranchRow {
                parent_id: Some(id.to_string()),
                ..child.clone()
            };
            Store::save_branch(tx, &child).await?;
        }
    }
    Ok(id)
}

/// The computes of a restored branch begin anew with what it holds now.
fn restarts(
    api: &Api,
    branch: &BranchId,
    endpoints: &[EndpointRow],
) -> Result<Vec<crate::store::Planned>, StoreError> {
    let mut plan = vec![change::step(
        OperationAction::CreateTimeline,
        branch,
        None,
        api.latency.create_timeline_ms,
    )];
    for row in endpoints {
        if row.branch_id == branch.as_str() {
            let id: EndpointId = row.id.parse().map_err(StoreError::corrupt)?;
            plan.push(change::step(
                OperationAction::StartCompute,
                branch,
                Some(&id),
                api.latency.start_compute_ms,
            ));
        }
    }
    Ok(plan)
}
