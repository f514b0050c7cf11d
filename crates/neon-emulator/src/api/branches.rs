//! Branches: reading a branch, and what the other branch handlers share.

mod create;
mod delete;
mod list;
mod restore;
mod update;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{Branch, Endpoint, EndpointList, Lsn};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) use self::create::create;
pub(super) use self::delete::expire;
pub(super) use self::delete::{delete, recover};
pub(super) use self::list::{count, list};
pub(super) use self::restore::restore;
pub(super) use self::update::{set_as_default, update};
use super::error::ApiError;
use super::extract::Path;
use super::{Api, view};
use crate::clock::Micros;
use crate::store::{BranchRow, EndpointRow, StoreError, Usage};

/// `{"branch": ..., "annotation": ...}`. The emulator has no annotations, but the OpenAPI document
/// requires the field.
#[derive(Debug, Serialize)]
pub(super) struct BranchWithAnnotation {
    branch: Branch,
    annotation: Value,
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<BranchWithAnnotation>, ApiError> {
    api.store.project(&project).await?;
    let row = api.store.branch(&project, &branch).await?;
    Ok(Json(BranchWithAnnotation {
        branch: load(&api, &row).await?,
        annotation: json!({"object": {"type": "console/branch", "id": branch}, "value": {}}),
    }))
}

pub(super) async fn endpoints(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<EndpointList>, ApiError> {
    api.store.branch(&project, &branch).await?;
    Ok(Json(EndpointList {
        endpoints: endpoints_of(&api, &project, &branch).await?,
    }))
}

pub(super) async fn endpoints_of(
    api: &Api,
    project: &ProjectId,
    branch: &BranchId,
) -> Result<Vec<Endpoint>, ApiError> {
    let row = api.store.project(project).await?;
    let endpoints = api.store.endpoints(project).await?;
    let of_branch = endpoints
        .iter()
        .filter(|endpoint| endpoint.branch_id == branch.as_str());
    Ok(of_branch
        .map(|endpoint| view::endpoint(api, &row, endpoint))
        .collect::<Result<_, _>>()?)
}

/// A branch with its usage.
pub(super) async fn load(api: &Api, row: &BranchRow) -> Result<Branch, ApiError> {
    let project = row.project_id.parse().map_err(StoreError::corrupt)?;
    let (used, size) = usage_and_size(api, &project, &row.branch_id()?).await?;
    Ok(view::branch(api, row, used, size)?)
}

/// A branch's usage in this billing period and its size in bytes. Must not be called while a
/// transaction is open, because it takes database connections of its own.
pub(super) async fn usage_and_size(
    api: &Api,
    project: &ProjectId,
    branch: &BranchId,
) -> Result<(Usage, i64), ApiError> {
    let since = crate::clock::period_start(api.clock.now());
    let used = api
        .store
        .usage(project.as_str(), Some(branch.as_str()), since)
        .await?;
    let databases = api.store.databases(branch).await?;
    let size = api.provisioner.sizes(&databases).await?;
    Ok((used, size))
}

/// Finds a branch that is not deleted.
pub(super) fn find_active<'a>(
    rows: &'a [BranchRow],
    id: &BranchId,
) -> Result<&'a BranchRow, ApiError> {
    rows.iter()
        .find(|row| row.id == id.as_str() && row.deleted_at_us.is_none())
        .ok_or_else(|| ApiError::not_found("branch"))
}

/// Checks that no other branch of the project has this name.
pub(super) fn ensure_name_available(
    rows: &[BranchRow],
    name: &str,
    except: &BranchId,
) -> Result<(), ApiError> {
    let taken = rows
        .iter()
        .any(|row| row.name == name && row.deleted_at_us.is_none() && row.id != except.as_str());
    if taken {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "BRANCH_ALREADY_EXISTS",
            format!("a branch named {name:?} exists in the project"),
        ));
    }
    Ok(())
}

fn has_children(rows: &[BranchRow], id: &BranchId) -> bool {
    rows.iter()
        .any(|row| row.parent_id.as_deref() == Some(id.as_str()) && row.deleted_at_us.is_none())
}

/// Checks that the emulator can provide the branch as of a moment. PostgreSQL keeps no history, so
/// this is possible only if there was no connection to the branch since then: its current contents
/// are then the same.
pub(super) fn ensure_restorable(
    api: &Api,
    row: &BranchRow,
    endpoints: &[EndpointRow],
    timestamp: Option<Micros>,
    lsn: Option<Lsn>,
    now: Micros,
) -> Result<(), ApiError> {
    if lsn.is_some() {
        return Err(ApiError::invalid(
            "the emulator keeps no history: only the head of a branch can be restored, not an LSN",
        ));
    }
    let Some(timestamp) = timestamp else {
        return Ok(());
    };
    if timestamp > now {
        return Err(ApiError::invalid("the timestamp is in the future"));
    }
    if timestamp < row.created_at_us {
        return Err(ApiError::invalid(
            "the timestamp is before the creation of the branch",
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
    let last_reset = row.last_reset_us;
    if last_use
        .max(last_reset)
        .is_some_and(|changed| changed > timestamp)
    {
        return Err(ApiError::invalid(
            "the emulator keeps no history: the branch was used after that timestamp, so only its current state can be restored",
        ));
    }
    Ok(())
}
