//! Branches and databases: looking at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use neon::ids::{BranchId, ProjectId};
use neon::model::{Branch, Database};
use serde::Serialize;

use super::error::ApiError;
use super::extract::Path;
use super::{Api, view};

/// `{"branches": [...], "annotations": {}}`. Nobody annotates here.
#[derive(Debug, Serialize)]
pub(super) struct Branches {
    branches: Vec<Branch>,
    annotations: BTreeMap<String, String>,
}

/// `{"branch": ..., "annotation": ...}`.
#[derive(Debug, Serialize)]
pub(super) struct BranchEnvelope {
    branch: Branch,
    annotation: Annotation,
}

/// An annotation, always empty, because the API's document wants one for each branch.
#[derive(Debug, Serialize)]
struct Annotation {
    object: Annotated,
    value: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Annotated {
    r#type: &'static str,
    id: BranchId,
}

/// `{"databases": [...]}`.
#[derive(Debug, Serialize)]
pub(super) struct Databases {
    databases: Vec<Database>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(project): Path<ProjectId>,
) -> Result<Json<Branches>, ApiError> {
    api.store.project(&project).await?;
    let rows = api.store.branches(&project).await?;
    let now = api.clock.now();
    let branches = rows
        .iter()
        .map(|row| view::branch(row, now))
        .collect::<Result<_, _>>()?;
    Ok(Json(Branches {
        branches,
        annotations: BTreeMap::new(),
    }))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<BranchEnvelope>, ApiError> {
    api.store.project(&project).await?;
    let row = api.store.branch(&project, &branch).await?;
    Ok(Json(BranchEnvelope {
        branch: view::branch(&row, api.clock.now())?,
        annotation: Annotation {
            object: Annotated {
                r#type: "console/branch",
                id: branch,
            },
            value: BTreeMap::new(),
        },
    }))
}

pub(super) async fn databases(
    State(api): State<Arc<Api>>,
    Path((project, branch)): Path<(ProjectId, BranchId)>,
) -> Result<Json<Databases>, ApiError> {
    api.store.project(&project).await?;
    api.store.branch(&project, &branch).await?;
    let rows = api.store.databases(&branch).await?;
    Ok(Json(Databases {
        databases: rows.iter().map(view::database).collect::<Result<_, _>>()?,
    }))
}
