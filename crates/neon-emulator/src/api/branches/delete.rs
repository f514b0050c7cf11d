//! Deletes, expires and recovers branches.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::BranchOperations;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{endpoints_of, ensure_name_available, find_active, has_children, load, usage_and_size};
use crate::api::error::ApiError;
use crate::api::extract::{Injected, Path, Query, flag};
use crate::api::{Api, operation_plan, view};
use crate::clock::Micros;
use crate::store::{BranchRow, DeletionMethod, Store, StoreError};

#[derive(Debug, Deserialize)]
pub(in crate::api) struct DeleteBranchParams {
    #[serde(default, deserialize_with = "flag")]
    hard_delete: bool,
}

pub(in crate::api) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(injection): Injected,
    Query(requested): Query<DeleteBranchParams>,
) -> Result<Response, ApiError> {
    // The response contains the branch's usage, which must be read before a hard delete removes it.
    let (used, size) = usage_and_size(&api, &project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let Some(row) = rows.iter().find(|row| row.id == branch.as_str()) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let was_deleted = row.deleted_at_us.is_some();
    if was_deleted && !requested.hard_delete {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    ensure_deletable(&rows, row)?;
    let mut row = row.clone();
    let mut deleted_branch = view::branch(&api, &row, used, size)?;
    let plan = if was_deleted {
        Vec::new()
    } else {
        operation_plan::branch_deletion(&api, &mut tx, &project, &branch, now).await?
    };
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    row.updated_at_us = now;
    if requested.hard_delete {
        Store::purge_branch(&mut tx, &branch).await?;
    } else {
        row.deleted_at_us = Some(now);
        row.deleted_by = Some(DeletionMethod::User);
        Store::save_branch(&mut tx, &row).await?;
    }
    tx.commit().await?;
    api.sessions
        .terminate_branch(project.as_str(), branch.as_str());
    api.drop_garbage().await;
    deleted_branch.updated_at = crate::clock::timestamp(now);
    let response = BranchOperations {
        branch: deleted_branch,
        operations: operation_plan::as_scheduled(&operations)?,
    };
    Ok(Json(response).into_response())
}

pub(in crate::api) async fn recover(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<Value>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let mut row = rows
        .iter()
        .find(|row| {
            row.id == branch.as_str()
                && row
                    .deleted_at_us
                    .is_some_and(|at| at >= api.recoverable_since())
        })
        .ok_or(StoreError::NotFound("deleted branch"))?
        .clone();
    ensure_name_available(&rows, &row.name, &branch)?;
    row.deleted_at_us = None;
    row.deleted_by = None;
    row.expires_at_us = None;
    row.updated_at_us = now;
    Store::save_branch(&mut tx, &row).await?;
    tx.commit().await?;
    let endpoints = endpoints_of(&api, &project, &branch).await?;
    Ok(Json(
        json!({"branch": load(&api, &row).await?, "endpoints": endpoints}),
    ))
}

/// Checks that a branch may be deleted.
fn ensure_deletable(rows: &[BranchRow], row: &BranchRow) -> Result<(), ApiError> {
    let message = if row.is_default {
        "the default branch cannot be deleted"
    } else if row.protected {
        "a protected branch cannot be deleted"
    } else if has_children(rows, &row.branch_id()?) {
        "a branch that has children cannot be deleted"
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(message))
}

/// Deletes branches whose `expires_at` has passed.
pub(crate) async fn expire(api: &Api, now: Micros) -> Result<(), ApiError> {
    while let Some((project, branch)) = api.store.next_expired_branch(now).await? {
        let project: ProjectId = project.parse().map_err(StoreError::corrupt)?;
        let branch: BranchId = branch.parse().map_err(StoreError::corrupt)?;
        let mut tx = api.store.begin().await?;
        Store::lock_project(&mut tx, &project, now).await?;
        let rows = Store::lock_branches(&mut tx, &project).await?;
        let mut row = find_active(&rows, &branch)?.clone();
        if ensure_deletable(&rows, &row).is_err() {
            // The branch became the default branch or got children in the meantime, so it is kept.
            row.expires_at_us = None;
        } else {
            let plan =
                operation_plan::branch_deletion(api, &mut tx, &project, &branch, now).await?;
            Store::schedule(&mut tx, &project, now, &plan, None).await?;
            row.deleted_at_us = Some(now);
            row.deleted_by = Some(DeletionMethod::Ttl);
        }
        Store::save_branch(&mut tx, &row).await?;
        tx.commit().await?;
        api.sessions
            .terminate_branch(project.as_str(), branch.as_str());
    }
    Ok(())
}
