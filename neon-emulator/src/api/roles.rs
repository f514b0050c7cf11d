//! Roles: looking at them, their passwords, and URIs to connect with.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon::ids::{BranchId, DatabaseName, EndpointId, ProjectId, RoleName};
use neon::model::{ConnectionUri, OperationAction, RevealedPassword, Role, RoleOperations};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{Injected, Path, Query};
use super::{Api, view};
use crate::clock::{Micros, from_millis};
use crate::names::new_password;
use crate::store::{Planned, Store, StoreError};

/// `{"roles": [...]}`.
#[derive(Debug, Serialize)]
pub(super) struct Roles {
    roles: Vec<Role>,
}

/// `{"role": ...}`.
#[derive(Debug, Serialize)]
pub(super) struct RoleEnvelope {
    role: Role,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<Roles>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let rows = api.store.roles(&branch).await?;
    Ok(Json(Roles {
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
    Ok(Json(RevealedPassword {
        password: row.password_at(api.clock.now()).into(),
    }))
}

pub(super) async fn reset_password(
    State(api): State<Arc<Api>>,
    Path((project, branch, role)): Path<(ProjectId, BranchId, RoleName)>,
    Injected(verdict): Injected,
) -> Result<Json<RoleOperations>, ApiError> {
    api.store.branch(&project, &branch).await?;
    let endpoints = api.store.endpoints(&project).await?;
    let endpoint = endpoints
        .iter()
        .find(|endpoint| endpoint.branch_id == branch.as_str());
    let endpoint: Option<EndpointId> = endpoint
        .map(|endpoint| endpoint.id.parse())
        .transpose()
        .map_err(StoreError::corrupt)?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let mut row = Store::lock_role(&mut tx, &branch, &role).await?;
    let step = |action, milliseconds| Planned {
        action,
        branch: branch.clone(),
        endpoint: endpoint.clone(),
        takes: from_millis(milliseconds),
    };
    let plan = [step(
        OperationAction::ApplyConfig,
        api.latency.apply_config_ms,
    )];
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    let holds_from = operations
        .last()
        .map_or(now, |operation| operation.ends_at_us);
    let password = new_password();
    // A password that is never brought into the compute was still given out.
    Store::note_password(&mut tx, &password, now).await?;
    let fails_for_good = verdict
        .operation
        .as_ref()
        .is_some_and(|fault| fault.retried_after_ms.is_none());
    if !fails_for_good {
        Store::set_password(&mut tx, &row, &password, now, holds_from).await?;
        row.updated_at_us = now;
    }
    tx.commit().await?;
    if !fails_for_good {
        bring_into_compute(&api, project, branch, role, holds_from.saturating_sub(now));
    }
    let operations = operations
        .iter()
        .enumerate()
        .map(|(place, row)| row.at_its_start(place == 0))
        .collect::<Result<_, _>>()?;
    Ok(Json(RoleOperations {
        role: view::role(&row, Some(&password))?,
        operations,
    }))
}

/// At the operation's end the role gets its new password and open connections end. Should the emulator not live to see
/// that, the next connection brings the password in.
fn bring_into_compute(
    api: &Arc<Api>,
    project: ProjectId,
    branch: BranchId,
    role: RoleName,
    after: Micros,
) {
    let api_then = api.clone();
    api.tasks.spawn(async move {
        tokio::time::sleep(Duration::from_micros(after.unsigned_abs())).await;
        if let Err(error) = api_then.provisioner.apply_password(&branch, &role, api_then.clock).await {
            tracing::warn!(%error, project.id = %project, "A new password waits for the next connection");
        }
        api_then.sessions.cut(project.as_str());
    });
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    branch_id: Option<BranchId>,
    endpoint_id: Option<EndpointId>,
    database_name: DatabaseName,
    role_name: RoleName,
    #[serde(default)]
    pooled: bool,
}

pub(super) async fn connection_uri(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<ConnectionUri>, ApiError> {
    let project_row = api.store.project(&project).await?;
    let branches = api.store.branches(&project).await?;
    let branch = match &wanted.branch_id {
        Some(id) => branches.iter().find(|branch| branch.id == id.as_str()),
        None => branches.iter().find(|branch| branch.is_default),
    };
    let branch = branch.ok_or_else(|| ApiError::not_found("branch"))?;
    let branch_id: BranchId = branch.id.parse().map_err(StoreError::corrupt)?;
    let endpoints = api.store.endpoints(&project).await?;
    let endpoint = endpoints.iter().find(|endpoint| match &wanted.endpoint_id {
        Some(id) => endpoint.id == id.as_str(),
        None => endpoint.branch_id == branch.id,
    });
    let endpoint = endpoint.ok_or_else(|| ApiError::not_found("endpoint"))?;
    let endpoint_id: EndpointId = endpoint.id.parse().map_err(StoreError::corrupt)?;
    let role = api.store.role(&branch_id, &wanted.role_name).await?;
    let databases = api.store.databases(&branch_id).await?;
    if !databases
        .iter()
        .any(|database| database.name == wanted.database_name.as_str())
    {
        return Err(ApiError::not_found("database"));
    }
    let password = project_row
        .store_passwords
        .then(|| role.password_at(api.clock.now()));
    let uri = api.hosts.uri(
        &endpoint_id,
        &wanted.role_name,
        password,
        &wanted.database_name,
        wanted.pooled,
    )?;
    Ok(Json(ConnectionUri { uri: uri.into() }))
}
