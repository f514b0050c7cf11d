//! Restores a branch to the state of another branch, or to its own earlier state.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{BranchOperations, OperationAction, RestoreBranch};

use super::{ensure_name_available, ensure_restorable, find_active, has_children, load};
use crate::api::error::ApiError;
use crate::api::extract::{Body, Injected, Path};
use crate::api::{Api, operation_plan, validate};
use crate::clock::Micros;
use crate::names;
use crate::provision::copy::CopyScope;
use crate::store::{BranchRow, Store, Tx};

pub(in crate::api) async fn restore(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(injection): Injected,
    Body(request): Body<RestoreBranch>,
) -> Result<Json<BranchOperations>, ApiError> {
    let source = request.source_branch_id.clone();
    let restores_itself = source == branch;
    let preserve_under_name = request
        .preserve_under_name
        .clone()
        .filter(|name| !name.is_empty());
    if restores_itself && (request.source_timestamp.is_none() && request.source_lsn.is_none()) {
        return Err(ApiError::bad_request(
            "source_timestamp or source_lsn is required when a branch is restored from itself",
        ));
    }
    if restores_itself && preserve_under_name.is_none() {
        return Err(ApiError::bad_request(
            "preserve_under_name is required when a branch is restored from itself",
        ));
    }
    api.store.project(&project).await?;
    api.store.branch(&project, &source).await?;
    api.store.branch(&project, &branch).await?;
    // The locks are always taken in the same order, so that two restores cannot deadlock.
    let first = api
        .sessions
        .lock_branch_exclusive(source.as_str().min(branch.as_str()))
        .await;
    let second = if restores_itself {
        None
    } else {
        Some(
            api.sessions
                .lock_branch_exclusive(source.as_str().max(branch.as_str()))
                .await,
        )
    };

    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let source_row = find_active(&rows, &source)?;
    let mut row = find_active(&rows, &branch)?.clone();
    validate::restore_source(source_row, &row)?;
    let endpoints = Store::lock_endpoints(&mut tx, &project).await?;
    let timestamp = request.source_timestamp.map(Timestamp::as_microsecond);
    ensure_restorable(
        &api,
        source_row,
        &endpoints,
        timestamp,
        request.source_lsn,
        now,
    )?;
    if has_children(&rows, &branch) && preserve_under_name.is_none() {
        return Err(ApiError::bad_request(
            "preserve_under_name is required when a branch has children: they become children of the preserved branch",
        ));
    }
    api.sessions
        .terminate_branch(project.as_str(), branch.as_str());
    api.sessions
        .terminate_branch(project.as_str(), source.as_str());
    let mut copy_from = source.clone();
    if let Some(name) = preserve_under_name {
        let preserved = preserve(&api, &mut tx, &rows, &row, name, now).await?;
        if restores_itself {
            copy_from = preserved;
        }
    } else {
        Store::discard_contents(&mut tx, &branch).await?;
    }
    api.provisioner
        .copy(
            &mut admin,
            &mut tx,
            &project,
            &copy_from,
            &branch,
            CopyScope::SchemaAndData,
            now,
        )
        .await?;
    if row.parent_id.as_deref() == Some(source.as_str()) {
        row.parent_at_us = Some(timestamp.unwrap_or(now));
    }
    row.restored_from = Some(source.to_string());
    row.last_reset_us = Some(now);
    row.updated_at_us = now;
    Store::save_branch(&mut tx, &row).await?;
    // The branch's computes restart with the restored contents.
    let plan =
        operation_plan::with_computes(&api, OperationAction::CreateTimeline, &branch, &endpoints)?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    drop((admin, first, second));
    api.drop_garbage().await;
    Ok(Json(BranchOperations {
        branch: load(&api, &row).await?,
        operations: operation_plan::as_scheduled(&operations)?,
    }))
}

/// Moves a branch's contents and children to a new branch.
async fn preserve(
    api: &Api,
    tx: &mut Tx,
    rows: &[BranchRow],
    row: &BranchRow,
    name: String,
    now: Micros,
) -> Result<BranchId, ApiError> {
    validate::branch_name(&name)?;
    let id = names::new_branch_id().map_err(|_| ApiError::internal())?;
    ensure_name_available(rows, &name, &id)?;
    api.check_branch_limit(rows)?;
    let preserved = BranchRow {
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
    Store::save_branch(tx, &preserved).await?;
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
