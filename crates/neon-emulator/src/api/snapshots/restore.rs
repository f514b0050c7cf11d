//! Restores a snapshot to a new branch, and lets that branch replace the original one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{INIT_FROM_PARENT, OperationAction};
use serde::Deserialize;
use serde_json::{Value, json};

use super::find;
use crate::api::branches::{ensure_name_available, find_active, load};
use crate::api::error::ApiError;
use crate::api::extract::{Injected, OptionalBody, Path};
use crate::api::{Api, operation_plan, validate, view};
use crate::clock::{Micros, from_millis};
use crate::names;
use crate::provision::copy::CopyScope;
use crate::store::{BranchRow, EndpointRow, Store, StoreError, Tx};

#[derive(Debug, Default, Deserialize)]
pub(in crate::api) struct RestoreSnapshot {
    name: Option<String>,
    target_branch_id: Option<BranchId>,
    #[serde(default)]
    finalize_restore: bool,
}

pub(in crate::api) async fn restore(
    State(api): State<Arc<Api>>,
    Path((project, id)): Path<(ProjectId, String)>,
    Injected(injection): Injected,
    OptionalBody(request): OptionalBody<RestoreSnapshot>,
) -> Result<Json<Value>, ApiError> {
    api.store.project(&project).await?;
    let snapshots = api.store.snapshots(&project).await?;
    let snapshot = find(&snapshots, &id)?;
    let source = snapshot
        .source_branch_id
        .parse()
        .map_err(StoreError::corrupt)?;
    let target = request.target_branch_id.unwrap_or(source);
    let _branch_lock = api.sessions.lock_branch_exclusive(target.as_str()).await;
    let mut admin = api.provisioner.acquire().await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    // The snapshot may have been deleted in the meantime.
    let snapshots = Store::lock_snapshots(&mut tx, &project).await?;
    let snapshot = find(&snapshots, &id)?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let original = find_active(&rows, &target)?.clone();
    api.check_branch_limit(&rows)?;
    let branch = names::new_branch_id().map_err(|_| ApiError::internal())?;
    let name = request
        .name
        .unwrap_or_else(|| format!("{} (restored {branch})", original.name));
    validate::branch_name(&name)?;
    ensure_name_available(&rows, &name, &branch)?;
    let mut restored = BranchRow {
        id: branch.to_string(),
        parent_id: None,
        parent_at_us: None,
        name,
        is_default: false,
        protected: false,
        init_source: INIT_FROM_PARENT.to_owned(),
        expires_at_us: None,
        expires_set_us: None,
        last_reset_us: None,
        restored_from: Some(id.clone()),
        restored_as: Some(target.to_string()),
        ready_at_us: now.saturating_add(from_millis(api.latency.create_timeline_ms)),
        created_at_us: now,
        updated_at_us: now,
        ..original.clone()
    };
    Store::save_branch(&mut tx, &restored).await?;
    let (hidden, scope) = (snapshot.hidden_branch()?, CopyScope::SchemaAndData);
    api.provisioner
        .copy(&mut admin, &mut tx, &project, &hidden, &branch, scope, now)
        .await?;
    let moved = if request.finalize_restore {
        replace(
            &api,
            &mut tx,
            &project,
            &rows,
            original,
            &mut restored,
            None,
            now,
        )
        .await?
    } else {
        Vec::new()
    };
    let plan = operation_plan::with_computes(&api, OperationAction::CreateBranch, &branch, &moved)?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    drop(admin);
    let endpoints = moved
        .iter()
        .map(|row| view::endpoint(&api, &project_row, row))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({
        "branch": load(&api, &restored).await?,
        "endpoints": endpoints,
        "operations": operation_plan::as_scheduled(&operations)?,
    })))
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::api) struct FinalizeRestore {
    /// The new name of the original branch.
    name: Option<String>,
}

pub(in crate::api) async fn finalize(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(injection): Injected,
    OptionalBody(request): OptionalBody<FinalizeRestore>,
) -> Result<Json<Value>, ApiError> {
    let target = api.store.branch(&project, &branch).await?.restored_as;
    let Some(target) = target else {
        return Err(ApiError::invalid(
            "the branch was not restored from a snapshot, or its restore is finalized",
        ));
    };
    let target: BranchId = target.parse().map_err(StoreError::corrupt)?;
    let _branch_lock = api.sessions.lock_branch_exclusive(target.as_str()).await;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let original = find_active(&rows, &target)?.clone();
    let mut restored = find_active(&rows, &branch)?.clone();
    if restored.restored_as.is_none() {
        return Err(ApiError::invalid("the restore is already finalized"));
    }
    let name = request.name;
    let moved = replace(
        &api,
        &mut tx,
        &project,
        &rows,
        original,
        &mut restored,
        name,
        now,
    )
    .await?;
    let plan = operation_plan::with_computes(&api, OperationAction::ApplyConfig, &branch, &moved)?;
    let operations =
        Store::schedule(&mut tx, &project, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    Ok(Json(
        json!({"operations": operation_plan::as_scheduled(&operations)?}),
    ))
}

/// Lets a restored branch replace the original one: it takes over the name and the computes, which
/// restart. Returns the computes.
#[expect(
    clippy::too_many_arguments,
    reason = "two branches, and what is known about the project"
)]
async fn replace(
    api: &Api,
    tx: &mut Tx,
    project: &ProjectId,
    rows: &[BranchRow],
    mut original: BranchRow,
    restored: &mut BranchRow,
    old_name: Option<String>,
    now: Micros,
) -> Result<Vec<EndpointRow>, ApiError> {
    let name = std::mem::take(&mut original.name);
    let old_name = match old_name {
        Some(name) => name,
        None => unused_old_name(rows, &name),
    };
    validate::branch_name(&old_name)?;
    ensure_name_available(rows, &old_name, &original.branch_id()?)?;
    let mut moved = Vec::new();
    for mut endpoint in Store::lock_endpoints(tx, project).await? {
        if endpoint.branch_id == original.id {
            crate::compute::suspend(tx, &mut endpoint, &api.sessions, now).await?;
            endpoint.branch_id.clone_from(&restored.id);
            endpoint.suspended_at_us = None;
            endpoint.usage_recorded_us = Some(now);
            endpoint.ready_at_us = now
                .saturating_add(from_millis(api.latency.create_timeline_ms))
                .saturating_add(from_millis(api.latency.start_compute_ms));
            endpoint.updated_at_us = now;
            Store::save_endpoint(tx, &endpoint).await?;
            moved.push(endpoint);
        }
    }
    restored.name = name;
    restored.is_default = std::mem::take(&mut original.is_default);
    restored.protected = std::mem::take(&mut original.protected);
    restored.restored_as = None;
    restored.updated_at_us = now;
    original.name = old_name;
    original.updated_at_us = now;
    Store::save_branch(tx, &original).await?;
    Store::save_branch(tx, restored).await?;
    api.sessions
        .terminate_branch(project.as_str(), &original.id);
    Ok(moved)
}

/// The name that a replaced branch gets: `main (old)`, with a number if that is taken.
fn unused_old_name(rows: &[BranchRow], name: &str) -> String {
    let is_taken = |name: &str| {
        rows.iter()
            .any(|row| row.name == name && row.deleted_at_us.is_none())
    };
    let mut old = format!("{name} (old)");
    let mut number = 1_u32;
    while is_taken(&old) {
        number = number.saturating_add(1);
        old = format!("{name} (old {number})");
    }
    old
}
