//! Roles, their passwords, and connection URIs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use neon_client::ids::{BranchId, DatabaseName, EndpointId, ProjectId, RoleName};
use neon_client::model::{
    ConnectionUri, CreateRole, OperationAction, RevealedPassword, RoleEnvelope, RoleList,
    RoleOperations,
};
use serde::Deserialize;

use super::error::ApiError;
use super::extract::{Body, Injected, Path, Query, flag};
use super::{Api, operation_plan, validate, view};
use crate::clock::Micros;
use crate::names::new_password;
use crate::store::{Store, StoreError};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<RoleList>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let rows = api.store.roles(&branch).await?;
    Ok(Json(RoleList {
        roles: rows
            .iter()
            .map(|row| view::role(row, None))
            .collect::<Result<_, _>>()?,
    }))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, branch, role)): Path<(ProjectId, BranchId, RoleName)>,
) -> Result<Json<RoleEnvelope>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let row = api.store.role(&branch, &role).await?;
    Ok(Json(RoleEnvelope {
        role: view::role(&row, None)?,
    }))
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(injection): Injected,
    Body(RoleEnvelope { role: requested }): Body<RoleEnvelope<CreateRole>>,
) -> Result<(StatusCode, Json<RoleOperations>), ApiError> {
    validate::role_name(&requested.name)?;
    api.store.branch(&project, &branch).await?;
    let plan = operation_plan::apply_config(&api, &project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::roles_in_transaction(&mut tx, &branch).await?;
    if rows.iter().any(|row| row.name == requested.name.as_str()) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "ROLE_ALREADY_EXISTS",
            format!("a role named {} exists on the branch", requested.name),
        ));
    }
    let password = (requested.no_login != Some(true)).then(new_password);
    if let Some(password) = &password {
        Store::record_issued_password(&mut tx, password, now).await?;
    }
    let row = Store::insert_role(
        &mut tx,
        &project,
        &branch,
        &requested.name,
        password.as_deref(),
        now,
    )
    .await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    let response = RoleOperations {
        role: view::role(&row, password.as_deref())?,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, branch, role)): Path<(ProjectId, BranchId, RoleName)>,
    Injected(injection): Injected,
) -> Result<Response, ApiError> {
    api.store.branch(&project, &branch).await?;
    let roles = api.store.roles(&branch).await?;
    let Some(row) = roles.iter().find(|row| row.name == role.as_str()) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let plan = operation_plan::apply_config(&api, &project, &branch).await?;
    let _branch_lock = api.sessions.lock_branch_exclusive(branch.as_str()).await;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let databases = Store::lock_databases(&mut tx, &branch).await?;
    if let Some(owned) = databases.iter().find(|row| row.owner_name == role.as_str()) {
        return Err(ApiError::invalid(format!(
            "the role owns the database {:?}; change the owner of the database first",
            owned.name
        )));
    }
    if row.applied_password.is_some() {
        let owner_row = |name: &str| roles.iter().find(|row| row.name == name);
        let made = databases
            .iter()
            .filter(|database| database.provisioned_at_us.is_some());
        let owned_databases: Vec<_> = made
            .filter_map(|database| {
                let owner = owner_row(&database.owner_name)?;
                Some((database.physical_name(), owner.physical_name()))
            })
            .collect();
        api.provisioner
            .revoke_ownership(&row.physical_name(), &owned_databases)
            .await?;
    }
    Store::discard_role(&mut tx, row).await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    api.sessions
        .terminate_branch(project.as_str(), branch.as_str());
    api.drop_garbage().await;
    let response = RoleOperations {
        role: view::role(row, None)?,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok(Json(response).into_response())
}

pub(super) async fn reveal_password(
    State(api): State<Arc<Api>>,
    Path((project, branch, role)): Path<(ProjectId, BranchId, RoleName)>,
) -> Result<Json<RevealedPassword>, ApiError> {
    let project_row = api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let row = api.store.role(&branch, &role).await?;
    if !project_row.store_passwords {
        return Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "PASSWORDS_NOT_STORED",
            "the project does not store passwords; reset the role's password to get a new one",
        ));
    }
    if row.no_login {
        return Err(ApiError::not_found("the role's password"));
    }
    Ok(Json(RevealedPassword {
        password: row.password_at(api.clock.now()).into(),
    }))
}

pub(super) async fn reset_password(
    State(api): State<Arc<Api>>,
    Path((project, branch, role)): Path<(ProjectId, BranchId, RoleName)>,
    Injected(injection): Injected,
) -> Result<Json<RoleOperations>, ApiError> {
    api.store.branch(&project, &branch).await?;
    let endpoints = api.store.endpoints(&project).await?;
    let endpoint = operation_plan::read_write_compute(&endpoints, &branch);
    let endpoint: Option<EndpointId> = endpoint
        .map(|endpoint| endpoint.id.parse())
        .transpose()
        .map_err(StoreError::corrupt)?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let mut row = Store::lock_role(&mut tx, &branch, &role).await?;
    if row.no_login {
        return Err(ApiError::invalid(
            "the role cannot log in: it has no password to reset",
        ));
    }
    let plan = [operation_plan::step(
        OperationAction::ApplyConfig,
        &branch,
        endpoint.as_ref(),
        api.latency.apply_config_ms,
    )];
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    let valid_from = operations
        .last()
        .map_or(now, |operation| operation.ends_at_us);
    let password = new_password();
    // A password that is never applied has still been issued.
    Store::record_issued_password(&mut tx, &password, now).await?;
    let fails_permanently = injection
        .operation
        .as_ref()
        .is_some_and(|fault| fault.retried_after_ms.is_none());
    if !fails_permanently {
        Store::set_password(&mut tx, &row, &password, now, valid_from).await?;
        row.updated_at_us = now;
    }
    tx.commit().await?;
    if !fails_permanently {
        apply_password_at(&api, project, branch, role, valid_from);
    }
    Ok(Json(RoleOperations {
        role: view::role(&row, Some(&password))?,
        operations: operation_plan::as_scheduled(&operations)?,
    }))
}

/// Applies the new password when the operation ends, and terminates the sessions that used the old
/// one. If the emulator stops before that, the next connection applies the password.
fn apply_password_at(
    api: &Arc<Api>,
    project: ProjectId,
    branch: BranchId,
    role: RoleName,
    valid_from: Micros,
) {
    let task_api = api.clone();
    api.tasks.spawn(async move {
        task_api.clock.sleep_until(valid_from).await;
        if let Err(error) = task_api.provisioner.apply_password(&branch, &role, &task_api.clock).await {
            tracing::warn!(%error, project.id = %project, "failed to apply a new password; the next connection applies it");
        }
        task_api
            .sessions
            .terminate_outdated(project.as_str(), branch.as_str(), valid_from);
    });
}

#[derive(Debug, Deserialize)]
pub(super) struct ConnectionUriParams {
    branch_id: Option<BranchId>,
    endpoint_id: Option<EndpointId>,
    database_name: DatabaseName,
    role_name: RoleName,
    #[serde(default, deserialize_with = "flag")]
    pooled: bool,
}

pub(super) async fn connection_uri(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(requested): Query<ConnectionUriParams>,
) -> Result<Json<ConnectionUri>, ApiError> {
    let project_row = api.store.project(&project).await?;
    let branches = api.store.branches(&project).await?;
    let branch = match &requested.branch_id {
        Some(id) => branches.iter().find(|branch| branch.id == id.as_str()),
        None => branches.iter().find(|branch| branch.is_default),
    };
    let branch = branch.ok_or_else(|| ApiError::not_found("branch"))?;
    let branch_id: BranchId = branch.id.parse().map_err(StoreError::corrupt)?;
    let endpoints = api.store.endpoints(&project).await?;
    let endpoint = match &requested.endpoint_id {
        Some(id) => endpoints.iter().find(|endpoint| endpoint.id == id.as_str()),
        None => operation_plan::read_write_compute(&endpoints, &branch_id),
    };
    let endpoint = endpoint.ok_or_else(|| ApiError::not_found("endpoint"))?;
    let endpoint_id: EndpointId = endpoint.id.parse().map_err(StoreError::corrupt)?;
    let role = api.store.role(&branch_id, &requested.role_name).await?;
    let databases = api.store.databases(&branch_id).await?;
    if !databases
        .iter()
        .any(|database| database.name == requested.database_name.as_str())
    {
        return Err(ApiError::not_found("database"));
    }
    let password = project_row
        .store_passwords
        .then(|| role.password_at(api.clock.now()));
    let uri = api.hosts.uri(
        &endpoint_id,
        &requested.role_name,
        password,
        &requested.database_name,
        requested.pooled,
    )?;
    Ok(Json(ConnectionUri { uri: uri.into() }))
}
