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

use super::{alive, endpoints_of, has_children, one, unused, used_up};
use crate::api::error::ApiError;
use crate::api::extract::{Injected, Path, Query, flag};
use crate::api::{Api, change, view};
use crate::clock::Micros;
use crate::store::{BranchRow, Store, StoreError};

#[derive(Debug, Deserialize)]
pub(in crate::api) struct Deleting {
    #[serde(default, deserialize_with = "flag")]
    hard_delete: bool,
}

pub(in crate::api) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(verdict): Injected,
    Query(wanted): Query<Deleting>,
) -> Result<Response, ApiError> {
    // The response contains the branch's usage, which must be read before a hard delete removes it.
    let (used, size) = used_up(&api, &project, &branch).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let Some(row) = rows.iter().find(|row| row.id == branch.as_str()) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let again = row.deleted_at_us.is_some();
    if again && !wanted.hard_delete {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    removable(&rows, row)?;
    let mut row = row.clone();
    let mut told = view::branch(&api, &row, used, size)?;
    let plan = if again {
        Vec::new()
    } else {
        change::branch_end(&api, &mut tx, &project, &branch, now).await?
    };
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, verdict.operation.as_ref()).await?;
    row.updated_at_us = now;
    if wanted.hard_delete {
        Store::forget_branch(&mut tx, &branch).await?;
    } else {
        row.deleted_at_us = Some(now);
        row.deleted_by = Some("user".to_owned());
        Store::save_branch(&mut tx, &row).await?;
    }
    tx.commit().await?;
    api.sessions.cut_branch(project.as_str(), branch.as_str());
    api.bury().await;
    told.updated_at = crate::clock::timestamp(now);
    let answer = BranchOperations {
        branch: told,
        operations: change::started(&operations)?,
    };
    Ok(Json(answer).into_response())
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
    unused(&rows, &row.name, &branch)?;
    row.deleted_at_us = None;
    row.deleted_by = None;
    row.expires_at_us = None;
    row.updated_at_us = now;
    Store::save_branch(&mut tx, &row).await?;
    tx.commit().await?;
    let endpoints = endpoints_of(&api, &project, &branch).await?;
    Ok(Json(
        json!({"branch": one(&api, &row).await?, "endpoints": endpoints}),
    ))
}

/// Checks that a branch may be deleted.
fn removable(rows: &[BranchRow], row: &BranchRow) -> Result<(), ApiError> {
    let refusal = if row.is_default {
        "the default branch cannot be deleted"
    } else if row.protected {
        "a protected branch cannot be deleted"
    } else if has_children(rows, &row.branch_id()?) {
        "a branch that has children cannot be deleted"
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(refusal))
}

/// Deletes branches whose `expires_at` has passed.
pub(crate) async fn expire(api: &Api, now: Micros) -> Result<(), ApiError> {
    while let Some((project, branch)) = api.store.expired_branch(now).await? {
        let project: ProjectId = project.parse().map_err(StoreError::corrupt)?;
        let branch: BranchId = branch.parse().map_err(StoreError::corrupt)?;
        let mut tx = api.store.begin().await?;
        Store::lock_project(&mut tx, &project, now).await?;
        let rows = Store::lock_branches(&mut tx, &project).await?;
        let mut row = alive(&rows, &branch)?.clone();
        if removable(&rows, &row).is_err() {
            // The branch became the default branch or got children in the meantime, so it is kept.
            row.expires_at_us = None;
        } else {
            let plan = change::branch_end(api, &mut tx, &project, &branch, now).await?;
            Store::schedule(&mut tx, &project, now, &plan, None).await?;
            row.deleted_at_us = Some(now);
            row.deleted_by = Some("ttl".to_owned());
        }
        Store::save_branch(&mut tx, &row).await?;
        tx.commit().await?;
        api.sessions.cut_branch(project.as_str(), branch.as_str());
    }
    Ok(())
}
