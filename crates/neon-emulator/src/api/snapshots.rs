//! Snapshots of branches, and restores from them.
//!
//! A restore creates a branch. Finalizing it moves the computes of the original branch to the new
//! one, which takes over the name; so the branch of an endpoint changes its ID.

mod restore;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{INIT_FROM_PARENT, Lsn, OperationAction};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::restore::{finalize, restore};
use super::branches::{ensure_restorable, find_active, usage_and_size};
use super::error::ApiError;
use super::extract::{Body, Injected, Path, Query};
use super::{Api, operation_plan, validate};
use crate::clock::timestamp;
use crate::names;
use crate::provision::copy::CopyScope;
use crate::store::{BranchRow, SnapshotRow, Store, StoreError};

#[derive(Debug, Deserialize)]
pub(super) struct CreateSnapshotParams {
    lsn: Option<Lsn>,
    timestamp: Option<Timestamp>,
    name: Option<String>,
    expires_at: Option<Timestamp>,
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(injection): Injected,
    Query(requested): Query<CreateSnapshotParams>,
) -> Result<Json<Value>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let (_, full_size) = usage_and_size(&api, &project, &branch).await?;
    let _branch_lock = api.sessions.lock_branch_exclusive(branch.as_str()).await;
    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let source = find_active(&rows, &branch)?;
    if source.parent_id.is_some() {
        return Err(ApiError::invalid(
            "snapshots can only be created from root branches",
        ));
    }
    let limit = api.plan(project_row.org_id.as_deref()).max_snapshots();
    if Store::lock_snapshots(&mut tx, &project).await?.len() >= limit {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "",
            format!("snapshots limit exceeded, limit: {limit}"),
        ));
    }
    let endpoints = Store::lock_endpoints(&mut tx, &project).await?;
    let at = requested.timestamp.map(Timestamp::as_microsecond);
    ensure_restorable(&api, source, &endpoints, at, requested.lsn, now)?;
    let expires_at_us = requested.expires_at.map(Timestamp::as_microsecond);
    if expires_at_us.is_some_and(|at| at <= now) {
        return Err(ApiError::invalid("expires_at must be in the future"));
    }

    let id = names::new_snapshot_id();
    let hidden = names::new_branch_id().map_err(|_| ApiError::internal())?;
    let row = SnapshotRow {
        name: requested.name.unwrap_or_else(|| id.clone()),
        id,
        project_id: project.to_string(),
        branch_id: hidden.to_string(),
        source_branch_id: branch.to_string(),
        full_size,
        created_at_us: now,
        expires_at_us,
    };
    validate::branch_name(&row.name)?;
    Store::save_branch(&mut tx, &hidden_branch(source, &row)).await?;
    Store::hide_branch(&mut tx, &hidden).await?;
    Store::save_snapshot(&mut tx, &row).await?;
    let plan = [operation_plan::step(
        OperationAction::CreateTimeline,
        &branch,
        None,
        api.latency.create_timeline_ms,
    )];
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    api.sessions
        .terminate_branch(project.as_str(), branch.as_str());
    let scope = CopyScope::SchemaAndData;
    api.provisioner
        .copy(&mut admin, &mut tx, &project, &branch, &hidden, scope, now)
        .await?;
    tx.commit().await?;
    Ok(Json(json!({
        "snapshot": view(&row),
        "operations": operation_plan::as_scheduled(&operations)?,
    })))
}

/// The branch that holds the contents of a snapshot.
fn hidden_branch(source: &BranchRow, snapshot: &SnapshotRow) -> BranchRow {
    BranchRow {
        id: snapshot.branch_id.clone(),
        parent_id: None,
        parent_at_us: None,
        name: snapshot.branch_id.clone(),
        is_default: false,
        protected: false,
        init_source: INIT_FROM_PARENT.to_owned(),
        expires_at_us: None,
        expires_set_us: None,
        last_reset_us: None,
        restored_from: None,
        restored_as: None,
        created_at_us: snapshot.created_at_us,
        updated_at_us: snapshot.created_at_us,
        ..source.clone()
    }
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
) -> Result<Json<Value>, ApiError> {
    api.store.project(&project).await?;
    let rows = api.store.snapshots(&project).await?;
    let snapshots: Vec<Value> = rows.iter().map(view).collect();
    Ok(Json(json!({"snapshots": snapshots})))
}

#[derive(Debug, Deserialize)]
pub(super) struct UpdateSnapshot {
    snapshot: SnapshotChanges,
}

#[derive(Debug, Deserialize)]
struct SnapshotChanges {
    name: Option<String>,
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((project, id)): Path<(ProjectId, String)>,
    Body(UpdateSnapshot { snapshot: changes }): Body<UpdateSnapshot>,
) -> Result<Json<Value>, ApiError> {
    let mut tx = api.store.begin().await?;
    Store::lock_project(&mut tx, &project, api.clock.now()).await?;
    let mut row = find(&Store::lock_snapshots(&mut tx, &project).await?, &id)?.clone();
    if let Some(name) = changes.name {
        validate::branch_name(&name)?;
        row.name = name;
    }
    Store::save_snapshot(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(Json(json!({"snapshot": view(&row)})))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, id)): Path<(ProjectId, String)>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut tx = api.store.begin().await?;
    Store::lock_project(&mut tx, &project, api.clock.now()).await?;
    let row = find(&Store::lock_snapshots(&mut tx, &project).await?, &id)?.clone();
    Store::purge_branch(&mut tx, &row.hidden_branch()?).await?;
    tx.commit().await?;
    api.drop_garbage().await;
    Ok((StatusCode::ACCEPTED, Json(json!({"operations": []}))))
}

fn find<'a>(rows: &'a [SnapshotRow], id: &str) -> Result<&'a SnapshotRow, ApiError> {
    rows.iter()
        .find(|row| row.id == id)
        .ok_or_else(|| ApiError::not_found("snapshot"))
}

fn view(row: &SnapshotRow) -> Value {
    let mut snapshot = json!({
        "id": row.id,
        "name": row.name,
        "source_branch_id": row.source_branch_id,
        "created_at": timestamp(row.created_at_us),
        "timestamp": timestamp(row.created_at_us),
        "manual": true,
        "full_size": row.full_size,
    });
    if let (Some(at), Some(fields)) = (row.expires_at_us, snapshot.as_object_mut()) {
        fields.insert("expires_at".to_owned(), json!(timestamp(at)));
    }
    snapshot
}

/// Deletes the snapshots that expired up to a moment.
pub(super) async fn expire(api: &Api, now: crate::clock::Micros) -> Result<(), StoreError> {
    if api.store.delete_expired_snapshots(now).await? {
        api.drop_garbage().await;
    }
    Ok(())
}
