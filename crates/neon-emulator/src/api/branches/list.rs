//! Lists and counts a project's branches.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon_client::ids::ProjectId;
use neon_client::model::{Branch, BranchPage, CursorPagination};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::load;
use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::extract::{Path, Query, flag};
use crate::store::{BranchRow, DeletedBranches};

const MAX_LIMIT: usize = 10_000;

#[derive(Debug, Deserialize)]
pub(in crate::api) struct ListBranchesParams {
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

/// The sort key of a branch. IDs break ties.
fn sort_key(row: &BranchRow, by: SortBy) -> (String, String) {
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

pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(requested): Query<ListBranchesParams>,
) -> Result<Json<BranchPage>, ApiError> {
    let limit = requested.limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request(format!(
            "limit must be between 1 and {MAX_LIMIT}"
        )));
    }
    api.store.project(&project).await?;
    let deleted = if requested.include_deleted {
        DeletedBranches::IncludeSince(api.recoverable_since())
    } else {
        DeletedBranches::Exclude
    };
    let mut rows = api.store.branches_with(&project, deleted).await?;
    rows.retain(|row| {
        requested
            .search
            .as_deref()
            .is_none_or(|part| matches(row, part))
    });
    rows.sort_by_key(|row| sort_key(row, requested.sort_by));
    if requested.sort_order == SortOrder::Desc {
        rows.reverse();
    }
    // The cursor is the ID of the last branch on the previous page. If that branch was hard-deleted
    // in the meantime, the cursor is no longer valid.
    if let Some(cursor) = requested
        .cursor
        .as_deref()
        .filter(|cursor| !cursor.is_empty())
    {
        let after = rows.iter().position(|row| row.id == cursor);
        let after = after.ok_or_else(|| ApiError::bad_request("invalid cursor"))?;
        rows.drain(..=after);
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let as_text = |value: Value| value.as_str().map(str::to_owned);
    Ok(Json(BranchPage {
        branches: views(&api, &rows).await?,
        annotations: Some(Map::new()),
        pagination: Some(CursorPagination {
            next,
            sort_by: as_text(json!(requested.sort_by)),
            sort_order: as_text(
                json!(requested.sort_order)
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
        branches.push(load(api, row).await?);
    }
    Ok(branches)
}

#[derive(Debug, Deserialize)]
pub(in crate::api) struct CountBranchesParams {
    search: Option<String>,
}

pub(in crate::api) async fn count(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(requested): Query<CountBranchesParams>,
) -> Result<Json<Value>, ApiError> {
    api.store.project(&project).await?;
    let rows = api.store.branches(&project).await?;
    let part = requested.search.unwrap_or_default();
    let count = rows.iter().filter(|row| matches(row, &part)).count();
    Ok(Json(json!({"count": count})))
}
