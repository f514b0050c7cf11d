//! Branches: looking at them and changing them. What makes or restores one is in `branching`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use neon::ids::{BranchId, ProjectId};
use neon::model::{
    Branch, BranchEnvelope, BranchOperations, BranchPage, CursorPagination, Endpoint, EndpointList,
    UpdateBranch,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::extract::{Body, Injected, Path, Query, flag};
use super::{Api, change, validate, view};
use crate::clock::Micros;
use crate::store::{BranchRow, Deleted, Store, StoreError};

/// Branches on a page at most.
const LIMIT_MAX: usize = 10_000;

/// `{"branch": ..., "annotation": ...}`. Nobody annotates here, but the API's document wants one for each branch.
#[derive(Debug, Serialize)]
pub(super) struct Annotated {
    branch: Branch,
    annotation: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    search: Option<String>,
    #[serde(default)]
    sort_by: SortBy,
    #[serde(default)]
    sort_order: SortOrder,
    cursor: Option<String>,
    limit: Option<usize>,
    #[serde(default, deserialize_with = "flag")]
    include_deleted: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    Name,
    CreatedAt,
    #[default]
    UpdatedAt,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum SortOrder {
    Asc,
    #[default]
    Desc,
}

/// A branch's place in the order that was asked for. Ids break ties.
fn place(row: &BranchRow, by: SortBy) -> (String, String) {
    let key = match by {
        SortBy::Name => row.name.clone(),
        SortBy::CreatedAt => format!("{:020}", row.created_at_us),
        SortBy::UpdatedAt => format!("{:020}", row.updated_at_us),
    };
    (key, row.id.clone())
}

fn matches(row: &BranchRow, part: &str) -> bool {
    let part = part.to_lowercase();
    row.name.to_lowercase().contains(&part) || row.id.contains(&part)
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(wanted): Query<Listing>,
) -> Result<Json<BranchPage>, ApiError> {
    let limit = wanted.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!(
            "limit must be between 1 and {LIMIT_MAX}"
        )));
    }
    api.store.project(&project).await?;
    let deleted = if wanted.include_deleted {
        Deleted::Since(api.recoverable_since())
    } else {
        Deleted::Without
    };
    let mut rows = api.store.branches_with(&project, deleted).await?;
    rows.retain(|row| {
        wanted
            .search
            .as_deref()
            .is_none_or(|part| matches(row, part))
    });
    rows.sort_by_key(|row| place(row, wanted.sort_by));
    if wanted.sort_order == SortOrder::Desc {
        rows.reverse();
    }
    // The cursor is the last branch of the page before: one that was removed since ends the list too early, as lists may.
    if let Some(cursor) = wanted.cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
        let after = rows.iter().position(|row| row.id == cursor);
        let after = after.ok_or_else(|| {
            ApiError::bad_request("the cursor is not one that this list gave out")
        })?;
        rows.drain(..=after);
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let word = |value: Value| value.as_str().map(str::to_owned);
    Ok(Json(BranchPage {
        branches: views(&api, &rows).await?,
        annotations: Some(Map::new()),
        pagination: Some(CursorPagination {
            next,
            sort_by: word(json!(wanted.sort_by)),
            sort_order: word(
                json!(wanted.sort_order)
                    .as_str()
                    .unwrap_or_default()
                    .to_uppercase()
                    .into(),
            ),
        }),
    }))
}

async fn views(api: &Api, rows: &[BranchRow]) -> Result<Vec<Branch>, ApiError> {
    let mut branches = Vec::with_capacity(rows.len());
    for row in rows {
        branches.push(one(api, row).await?);
    }
    Ok(branches)
}

/// A branch with what it has used up.
pub(super) async fn one(api: &Api, row: &BranchRow) -> Result<Branch, ApiError> {
    let since = view::period_start(api.clock.now());
    let used = api
        .store
        .used(&row.project_id, Some(&row.id), since)
        .await?;
    let databases = api.store.databases(&row.branch_id()?).await?;
    let size = api.provisioner.sizes(&databases).await?;
    Ok(view::branch(api, row, used, size)?)
}

#[derive(Debug, Deserialize)]
pub(super) struct Counting {
    search: Option<String>,
}

pub(super) async fn count(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(wanted): Query<Counting>,
) -> Result<Json<Value>, ApiError> {
    api.store.project(&project).await?;
    let rows = api.store.branches(&project).await?;
    let part = wanted.search.unwrap_or_default();
    let count = rows.iter().filter(|row| matches(row, &part)).count();
    Ok(Json(json!({"count": count})))
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

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Body(BranchEnvelope { branch: changes }): Body<BranchEnvelope<UpdateBranch>>,
) -> Result<Json<BranchOperations>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let rows = Store::lock_branches(&mut tx, &project).await?;
    let mut row = alive(&rows, &branch)?.clone();
    if let Some(name) = changes.name {
        validate::branch_name(&name)?;
        unused(&rows, &name, &branch)?;
        row.name = name;
    }
    if let Some(protected) = changes.protected {
        row.protected = protected;
    }
    if let Some(expires_at) = changes.expires_at {
        let at = expires_at.map(Timestamp::as_microsecond);
        validate::expiry(&row, has_children(&rows, &branch), at, now)?;
        row.expires_at_us = at;
        row.expires_set_us = at.map(|_| now);
    }
    row.updated_at_us = now;
    Store::save_branch(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(Json(BranchOperations {
        branch: one(&api, &row).await?,
        operations: Vec::new(),
    }))
}

pub(super) async fn set_as_default(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<BranchOperations>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    Store::lock_project(&mut tx, &project, now).await?;
    let mut rows = Store::lock_branches(&mut tx, &project).await?;
    if alive(&rows, &branch)?.expires_at_us.is_some() {
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
        branch: one(&api, &row).await?,
        operations: Vec::new(),
    }))
}

#[derive(Debug, Deserialize)]
pub(super) struct Deleting {
    #[serde(default, deserialize_with = "flag")]
    hard_delete: bool,
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
    Injected(verdict): Injected,
    Query(wanted): Query<Deleting>,
) -> Result<Response, ApiError> {
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
    // What the branch is and was is told before it is forgotten.
    let mut told = one(&api, &row).await?;
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

pub(super) async fn recover(
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

/// The branch of this id, unless it is deleted.
pub(super) fn alive<'a>(rows: &'a [BranchRow], id: &BranchId) -> Result<&'a BranchRow, ApiError> {
    rows.iter()
        .find(|row| row.id == id.as_str() && row.deleted_at_us.is_none())
        .ok_or_else(|| ApiError::not_found("branch"))
}

/// Names of branches are unique in their project.
pub(super) fn unused(rows: &[BranchRow], name: &str, but: &BranchId) -> Result<(), ApiError> {
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

pub(super) fn has_children(rows: &[BranchRow], id: &BranchId) -> bool {
    rows.iter()
        .any(|row| row.parent_id.as_deref() == Some(id.as_str()) && row.deleted_at_us.is_none())
}

/// Whether a branch may go.
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

/// Removes branches whose time is over, as the platform does.
pub(crate) async fn expire(api: &Api, now: Micros) -> Result<(), ApiError> {
    while let Some((project, branch)) = api.store.expired_branch(now).await? {
        let project: ProjectId = project.parse().map_err(StoreError::corrupt)?;
        let branch: BranchId = branch.parse().map_err(StoreError::corrupt)?;
        let mut tx = api.store.begin().await?;
        Store::lock_project(&mut tx, &project, now).await?;
        let rows = Store::lock_branches(&mut tx, &project).await?;
        let mut row = alive(&rows, &branch)?.clone();
        if removable(&rows, &row).is_err() {
            // It became the default one, or has children: then it stays.
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
