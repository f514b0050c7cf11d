//! Databases of a branch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use neon_client::ids::{BranchId, DatabaseName, ProjectId};
use neon_client::model::{
    CreateDatabase, DatabaseEnvelope, DatabaseList, DatabaseOperations, UpdateDatabase,
};

use super::error::ApiError;
use super::extract::{Body, Injected, Path};
use super::{Api, operation_plan, validate, view};
use crate::store::{Store, StoreError};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<DatabaseList>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let rows = api.store.databases(&branch).await?;
    Ok(Json(DatabaseList {
        databases: rows.iter().map(view::database).collect::<Result<_, _>>()?,
    }))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, branch, database)): Path<(ProjectId, BranchId, DatabaseName)>,
) -> Result<Json<DatabaseEnvelope>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let row = api.store.database(&branch, &database).await?;
    Ok(Json(DatabaseEnvelope {
        database: view::database(&row)?,
    }))
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(injection): Injected,
    Body(DatabaseEnvelope {
        database: requested,
    }): Body<DatabaseEnvelope<CreateDatabase>>,
) -> Result<(StatusCode, Json<DatabaseOperations>), ApiError> {
    validate::database_name(&requested.name)?;
    api.store.branch(&project, &branch).await?;
    api.store.role(&branch, &requested.owner_name).await?;
    let plan = operation_plan::apply_config(&api, &project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_databases(&mut tx, &branch).await?;
    if rows.iter().any(|row| row.name == requested.name.as_str()) {
        return Err(taken(&requested.name));
    }
    let row = Store::insert_database(
        &mut tx,
        &project,
        &branch,
        &requested.name,
        &requested.owner_name,
        now,
    )
    .await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    let response = DatabaseOperations {
        database: view::database(&row)?,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

fn taken(name: &DatabaseName) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "DATABASE_ALREADY_EXISTS",
        format!("a database named {name} exists on the branch"),
    )
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((project, branch, database)): Path<(ProjectId, BranchId, DatabaseName)>,
    Injected(injection): Injected,
    Body(DatabaseEnvelope { database: changes }): Body<DatabaseEnvelope<UpdateDatabase>>,
) -> Result<Json<DatabaseOperations>, ApiError> {
    api.store.branch(&project, &branch).await?;
    let owner = match &changes.owner_name {
        Some(owner) => Some(api.store.role(&branch, owner).await?),
        None => None,
    };
    let plan = operation_plan::apply_config(&api, &project, &branch).await?;
    let _branch_lock = api.sessions.lock_branch_exclusive(branch.as_str()).await;
    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_databases(&mut tx, &branch).await?;
    let named = |name: &str| rows.iter().find(|row| row.name == name);
    let mut row = named(database.as_str())
        .ok_or(StoreError::NotFound("database"))?
        .clone();
    let renamed = changes.name.filter(|name| name.as_str() != row.name);
    if let Some(name) = &renamed {
        validate::database_name(name)?;
        if named(name.as_str()).is_some() {
            return Err(taken(name));
        }
        name.as_str().clone_into(&mut row.name);
    }
    if let Some(owner) = &owner {
        api.provisioner
            .change_owner(&mut admin, &mut tx, &row, owner, now)
            .await?;
        row.owner_name.clone_from(&owner.name);
    }
    row.updated_at_us = now;
    Store::save_database(&mut tx, &row).await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    if renamed.is_some() {
        // PostgreSQL cannot rename a database while there are connections to it.
        api.sessions
            .terminate_branch(project.as_str(), branch.as_str());
    }
    Ok(Json(DatabaseOperations {
        database: view::database(&row)?,
        operations: operation_plan::as_scheduled(&operations)?,
    }))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, branch, database)): Path<(ProjectId, BranchId, DatabaseName)>,
    Injected(injection): Injected,
) -> Result<Response, ApiError> {
    api.store.branch(&project, &branch).await?;
    let plan = operation_plan::apply_config(&api, &project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let mut project_row = Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_databases(&mut tx, &branch).await?;
    let Some(row) = rows.iter().find(|row| row.name == database.as_str()) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    Store::discard_database(&mut tx, row).await?;
    project_row.updated_at_us = now;
    Store::save_project(&mut tx, &project_row).await?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    api.drop_garbage().await;
    let response = DatabaseOperations {
        database: view::database(row)?,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok(Json(response).into_response())
}
