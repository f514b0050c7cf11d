//! Changes of a branch's properties.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{BranchEnvelope, BranchOperations, UpdateBranch};

use super::{ensure_name_available, find_active, has_children, load};
use crate::api::error::ApiError;
use crate::api::extract::{Body, Path};
use crate::api::{Api, validate};
use crate::store::Store;

pub(in crate::api) async fn update(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Body(BranchEnvelope { branch: changes }): Body<BranchEnvelope<UpdateBranch>>,
) -> Result<Json<BranchOperations>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let project_row = Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let mut row = find_active(&rows, &branch)?.clone();
    if let Some(name) = changes.name {
        validate::branch_name(&name)?;
        ensure_name_available(&rows, &name, &branch)?;
        row.name = name;
    }
    if let Some(protected) = changes.protected {
        if protected && !row.protected {
            Api::check_protected_branches(api.plan(project_row.org_id.as_deref()), &rows)?;
        }
        row.protected = protected;
    }
    if let Some(expires_at) = changes.expires_at {
        let at = expires_at.map(Timestamp::as_microsecond);
        validate::expiration(&row, has_children(&rows, &branch), at, now)?;
        row.expires_at_us = at;
        row.expires_set_us = at.map(|_| now);
    }
    row.updated_at_us = now;
    Store::save_branch(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(Json(BranchOperations {
        branch: load(&api, &row).await?,
        operations: Vec::new(),
    }))
}

pub(in crate::api) async fn set_as_default(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<BranchOperations>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let mut rows = Store::lock_branches(&mut tx, &project).await?;
    if find_active(&rows, &branch)?.expires_at_us.is_some() {
        return Err(ApiError::invalid(
            "a branch that expires cannot be the default branch",
        ));
    }
    for row in &mut rows {
        let is_default = row.id == branch.as_str();
        if row.is_default != is_default {
            row.is_default = is_default;
            row.updated_at_us = now;
            Store::save_branch(&mut tx, row).await?;
        }
    }
    tx.commit().await?;
    let row = api.store.branch(&project, &branch).await?;
    Ok(Json(BranchOperations {
        branch: load(&api, &row).await?,
        operations: Vec::new(),
    }))
}
