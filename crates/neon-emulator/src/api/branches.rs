//! Branches: looking at one, and what all that is done to them has in common.

mod change;
mod create;
mod end;
mod list;
mod restore;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon_client::ids::{BranchId, ProjectId};
use neon_client::model::{Branch, Endpoint, EndpointList, Lsn};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) use self::change::{set_as_default, update};
pub(super) use self::create::create;
pub(crate) use self::end::expire;
pub(super) use self::end::{delete, recover};
pub(super) use self::list::{count, list};
pub(super) use self::restore::restore;
use super::error::ApiError;
use super::extract::Path;
use super::{Api, view};
use crate::clock::Micros;
use crate::store::{BranchRow, EndpointRow, StoreError, Used};

/// `{"branch": ..., "annotation": ...}`. Nobody annotates here, but the API's document wants one for each branch.
#[derive(Debug, Serialize)]
pub(super) struct Annotated {
    branch: Branch,
    annotation: Value,
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<Annotated>, ApiError> {
    api.store.project(&project).await?;
    let row = api.store.branch(&project, &branch).await?;
    Ok(Json(Annotated {
        branch: one(&api, &row).await?,
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

/// The computes of a branch.
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

/// A branch with what it has used up.
pub(super) async fn one(api: &Api, row: &BranchRow) -> Result<Branch, ApiError> {
    let project = row.project_id.parse().map_err(StoreError::corrupt)?;
    let (used, size) = used_up(api, &project, &row.branch_id()?).await?;
    Ok(view::branch(api, row, used, size)?)
}

/// What a branch has used up, and its size in bytes. Not to be asked for while a transaction of the state is held: it takes connections
/// of its own.
async fn used_up(
    api: &Api,
    project: &ProjectId,
    branch: &BranchId,
) -> Result<(Used, i64), ApiError> {
    let since = view::period_start(api.clock.now());
    let used = api
        .store
        .used(project.as_str(), Some(branch.as_str()), since)
        .await?;
    let databases = api.store.databases(branch).await?;
    let size = api.provisioner.sizes(&databases).await?;
    Ok((used, size))
}

/// The branch of this id, unless it is deleted.
fn alive<'a>(rows: &'a [BranchRow], id: &BranchId) -> Result<&'a BranchRow, ApiError> {
    rows.iter()
        .find(|row| row.id == id.as_str() && row.deleted_at_us.is_none())
        .ok_or_else(|| ApiError::not_found("branch"))
}

/// Names of branches are unique in their project.
fn unused(rows: &[BranchRow], name: &str, but: &BranchId) -> Result<(), ApiError> {
    let taken = rows
        .iter()
        .any(|row| row.name == name && row.deleted_at_us.is_none() && row.id != but.as_str());
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

/// Whether what a branch held at a moment can be had. PostgreSQL keeps no history, so it can only if nobody has been connected to the
/// branch since: then it is what the branch holds now.
fn can_be_had(
    api: &Api,
    row: &BranchRow,
    endpoints: &[EndpointRow],
    moment: Option<Micros>,
    lsn: Option<Lsn>,
    now: Micros,
) -> Result<(), ApiError> {
    if lsn.is_some() {
        return Err(ApiError::invalid(
            "the emulator keeps no history: a position in the log cannot be restored, only the head of a branch",
        ));
    }
    let Some(moment) = moment else { return Ok(()) };
    if moment > now {
        return Err(ApiError::invalid("the moment lies in the future"));
    }
    if moment < row.created_at_us {
        return Err(ApiError::invalid(
            "the moment lies before the branch was made",
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
    let restored = row.last_reset_us;
    if last_use
        .max(restored)
        .is_some_and(|changed| changed > moment)
    {
        return Err(ApiError::invalid(
            "the emulator keeps no history: the branch was used after that moment, and only what it holds now can be had",
        ));
    }
    Ok(())
}
