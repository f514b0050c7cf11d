//! The handlers for a project's operations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon_client::ids::{OperationId, ProjectId};
use neon_client::model::{OperationEnvelope, OperationPage, Pagination};
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use super::extract::{Path, Query};

/// Page size if the client does not set one.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;
#[derive(Debug, Deserialize)]
pub(super) struct ListOperationsParams {
    cursor: Option<String>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
    Query(page): Query<ListOperationsParams>,
) -> Result<Json<OperationPage>, ApiError> {
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request(format!(
            "limit must be between 1 and {MAX_LIMIT}"
        )));
    }
    let before = page.cursor.map(|cursor| cursor.parse()).transpose();
    let before = before.map_err(|_| ApiError::bad_request("invalid cursor"))?;
    api.store.project(&project).await?;
    let rows = api.store.operations(&project, before, limit).await?;
    let now = api.clock.now();
    let operations = rows
        .iter()
        .map(|row| row.at(now))
        .collect::<Result<_, _>>()?;
    let pagination = rows.last().map(|row| Pagination {
        cursor: row.number.to_string(),
    });
    Ok(Json(OperationPage {
        operations,
        pagination,
    }))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, operation)): Path<(ProjectId, OperationId)>,
) -> Result<Json<OperationEnvelope>, ApiError> {
    api.store.project(&project).await?;
    let operation = api
        .store
        .operation(&project, operation)
        .await?
        .at(api.clock.now())?;
    Ok(Json(OperationEnvelope { operation }))
}
