//! Projects: listing, reading, updating, deleting and recovering them.

pub(crate) mod create;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon_client::ids::{OrgId, ProjectId};
use neon_client::model::{
    OperationAction, Pagination, Project, ProjectEnvelope, ProjectPage, ProjectSettings, Quota,
    RecoveredProject, UpdateProject, UpdatedProject,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::extract::{Body, Caller, Injected, Path, Query, flag};
use super::{Api, branches, operation_plan, plan_limits, validate, view};
use crate::clock::from_millis;
use crate::faults::Injection;
use crate::store::{PlannedOperation, ProjectQuery, ProjectRow, Store, StoreError};

/// Page size if the client does not set one.
const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 400;
/// Fields that are empty in the response to a second deletion.
const EMPTIED_FIELDS: [&str; 7] = [
    "name",
    "region_id",
    "platform_id",
    "provisioner",
    "proxy_host",
    "creation_source",
    "owner_id",
];
/// Fields that are missing in the response to a second deletion.
const OMITTED_FIELDS: [&str; 4] = ["settings", "default_endpoint_settings", "owner", "org_id"];

#[derive(Debug, Deserialize)]
pub(super) struct ListProjectsParams {
    cursor: Option<String>,
    limit: Option<i64>,
    search: Option<String>,
    org_id: Option<OrgId>,
    #[serde(default, deserialize_with = "flag")]
    recoverable: bool,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Injected(injection): Injected,
    Caller(organization): Caller,
    Query(page): Query<ListProjectsParams>,
) -> Result<Json<ProjectPage>, ApiError> {
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request(format!(
            "limit must be between 1 and {MAX_LIMIT}"
        )));
    }
    let after = page.cursor.map_or(Ok(0), |cursor| cursor.parse());
    let query = ProjectQuery {
        after: after.map_err(|_| ApiError::bad_request("invalid cursor"))?,
        limit,
        search: page.search.filter(|text| !text.is_empty()),
        org_id: organization.or(page.org_id),
        deleted_since: page.recoverable.then(|| api.recoverable_since()),
    };
    let rows = api.store.projects(&query).await?;
    // As in Neon, the last page has a cursor too: the list ends with an empty page.
    let pagination = rows.last().map(|row| Pagination {
        cursor: row.number.to_string(),
    });
    let (projects, unavailable_project_ids) =
        split_unavailable(view::listed(&api, &rows).await?, &injection);
    // The emulator supports neither applications nor integrations.
    let (applications, integrations) = (Some(Map::new()), Some(Map::new()));
    Ok(Json(ProjectPage {
        projects,
        unavailable_project_ids,
        applications,
        integrations,
        pagination,
    }))
}

fn split_unavailable(
    listed: Vec<Project>,
    injection: &Injection,
) -> (Vec<Project>, Vec<ProjectId>) {
    let mut projects = Vec::with_capacity(listed.len());
    let mut unavailable = Vec::new();
    for (index, project) in listed.into_iter().enumerate() {
        if index < injection.unavailable_first || injection.unavailable.contains(&project.id) {
            unavailable.push(project.id);
        } else {
            projects.push(project);
        }
    }
    (projects, unavailable)
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path(id): Path<ProjectId>,
) -> Result<Json<ProjectEnvelope>, ApiError> {
    let row = api.store.project(&id).await?;
    api.record_usage(&id).await?;
    Ok(Json(ProjectEnvelope {
        project: view::single(&api, &row).await?,
    }))
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(id): Path<ProjectId>,
    Injected(injection): Injected,
    Body(ProjectEnvelope { project: update }): Body<ProjectEnvelope<UpdateProject>>,
) -> Result<Json<UpdatedProject>, ApiError> {
    plan_limits::project_update(api.plan_of_project(&id).await?, &update)?;
    validate::project_update(&update)?;
    let endpoints = api.store.endpoints(&id).await?;
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let mut row = Store::lock_project(&mut tx, &id, now).await?;
    let before = row.settings.0.clone();
    if !injection.ignores_settings {
        apply(&mut row, update);
    }
    validate::endpoint_defaults(&row.default_endpoint_settings)?;
    row.updated_at_us = now;
    Store::save_project(&mut tx, &row).await?;
    // Changed settings are applied to every compute. A changed name or default is only stored.
    let mut plan = Vec::new();
    if row.settings.0 != before {
        for endpoint in &endpoints {
            plan.push(PlannedOperation {
                action: OperationAction::ApplyConfig,
                branch: endpoint.branch_id.parse().map_err(StoreError::corrupt)?,
                endpoint: Some(endpoint.id.parse().map_err(StoreError::corrupt)?),
                duration: from_millis(api.latency.apply_config_ms),
            });
        }
    }
    let rows = Store::schedule(&mut tx, &id, now, &plan, injection.operation.as_ref()).await?;
    tx.commit().await?;
    Ok(Json(UpdatedProject {
        project: view::single(&api, &row).await?,
        operations: operation_plan::as_scheduled(&rows)?,
    }))
}

fn apply(row: &mut ProjectRow, update: UpdateProject) {
    if let Some(name) = update.name {
        row.name = name;
    }
    if let Some(seconds) = update.history_retention_seconds {
        row.history_retention_seconds = i64::from(seconds);
    }
    if let Some(settings) = update.settings {
        merge_settings(&mut row.settings.0, settings);
    }
    if let Some(changes) = update.default_endpoint_settings {
        let defaults = &mut row.default_endpoint_settings.0;
        replace(&mut defaults.pg_settings, changes.pg_settings);
        replace(&mut defaults.pgbouncer_settings, changes.pgbouncer_settings);
        replace(
            &mut defaults.autoscaling_limit_min_cu,
            changes.autoscaling_limit_min_cu,
        );
        replace(
            &mut defaults.autoscaling_limit_max_cu,
            changes.autoscaling_limit_max_cu,
        );
        replace(
            &mut defaults.suspend_timeout_seconds,
            changes.suspend_timeout_seconds,
        );
    }
}

fn merge_settings(settings: &mut ProjectSettings, changes: ProjectSettings) {
    if let Some(quota) = changes.quota {
        let current: &mut Quota = settings.quota.get_or_insert_default();
        replace(&mut current.active_time_seconds, quota.active_time_seconds);
        replace(
            &mut current.compute_time_seconds,
            quota.compute_time_seconds,
        );
        replace(&mut current.written_data_bytes, quota.written_data_bytes);
        replace(&mut current.data_transfer_bytes, quota.data_transfer_bytes);
        replace(&mut current.logical_size_bytes, quota.logical_size_bytes);
    }
    replace(&mut settings.allowed_ips, changes.allowed_ips);
    replace(
        &mut settings.enable_logical_replication,
        changes.enable_logical_replication,
    );
    replace(&mut settings.maintenance_window, changes.maintenance_window);
    replace(
        &mut settings.block_public_connections,
        changes.block_public_connections,
    );
    replace(
        &mut settings.block_vpc_connections,
        changes.block_vpc_connections,
    );
    replace(&mut settings.audit_log_level, changes.audit_log_level);
    replace(&mut settings.hipaa, changes.hipaa);
    replace(&mut settings.preload_libraries, changes.preload_libraries);
}

fn replace<T>(current: &mut Option<T>, change: Option<T>) {
    if change.is_some() {
        *current = change;
    }
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<ProjectId>,
) -> Result<Json<Value>, ApiError> {
    let mut tx = api.store.begin().await?;
    let now = api.clock.now();
    let mut row = match Store::lock_project(&mut tx, &id, now).await {
        Err(StoreError::NotFound(_)) => {
            let row = Store::lock_deleted_project(&mut tx, &id, api.recoverable_since()).await;
            let row = row.map_err(|_| ApiError::not_found("project"))?;
            tx.rollback().await?;
            return Ok(Json(emptied(view::single(&api, &row).await?)?));
        }
        row => row?,
    };
    let branches = Store::lock_branches(&mut tx, &id).await?;
    if branches
        .iter()
        .any(|branch| branch.protected && branch.deleted_at_us.is_none())
    {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "",
            "project cannot be deleted: branch is still protected",
        ));
    }
    row.deleted_at_us = Some(now);
    row.updated_at_us = now;
    Store::save_project(&mut tx, &row).await?;
    tx.commit().await?;
    api.sessions.terminate_project(id.as_str());
    let project = view::single(&api, &row).await?;
    Ok(Json(json!({"project": project})))
}

/// The response to the deletion of a project that is already deleted: as users of Neon published
/// it, half of the fields are empty.
fn emptied(project: Project) -> Result<Value, ApiError> {
    let mut project = serde_json::to_value(project).map_err(|error| {
        tracing::error!(%error, "failed to serialize a project");
        ApiError::internal()
    })?;
    for field in EMPTIED_FIELDS {
        if let Some(value) = project.get_mut(field) {
            *value = Value::String(String::new());
        }
    }
    if let Some(fields) = project.as_object_mut() {
        fields.retain(|field, _| !OMITTED_FIELDS.contains(&field.as_str()));
    }
    Ok(json!({"project": project}))
}

pub(super) async fn recover(
    State(api): State<Arc<Api>>,
    Path(id): Path<ProjectId>,
) -> Result<Json<RecoveredProject>, ApiError> {
    let mut tx = api.store.begin().await?;
    let mut row = Store::lock_deleted_project(&mut tx, &id, api.recoverable_since()).await?;
    let now = api.clock.now();
    row.deleted_at_us = None;
    row.updated_at_us = now;
    Store::save_project(&mut tx, &row).await?;
    tx.commit().await?;
    let mut all = Vec::new();
    for row in api.store.branches(&id).await? {
        all.push(branches::load(&api, &row).await?);
    }
    Ok(Json(RecoveredProject {
        project: view::single(&api, &row).await?,
        branches: all,
    }))
}

/// Projects that other accounts shared with this one. The emulator does not support sharing.
pub(super) async fn shared(
    Query(page): Query<ListProjectsParams>,
) -> Result<Json<Value>, ApiError> {
    if !(1..=MAX_LIMIT).contains(&page.limit.unwrap_or(DEFAULT_LIMIT)) {
        return Err(ApiError::bad_request(format!(
            "limit must be between 1 and {MAX_LIMIT}"
        )));
    }
    Ok(Json(json!({"projects": []})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_the_settings_that_it_does_not_contain() {
        let quota = |active, written| {
            Some(Quota {
                active_time_seconds: active,
                written_data_bytes: written,
                ..Quota::default()
            })
        };
        let mut settings = ProjectSettings {
            quota: quota(Some(1), Some(2)),
            hipaa: Some(false),
            ..ProjectSettings::default()
        };
        let changes = ProjectSettings {
            quota: quota(Some(9), None),
            ..ProjectSettings::default()
        };
        merge_settings(&mut settings, changes);
        assert_eq!(settings.quota, quota(Some(9), Some(2)));
        assert_eq!(settings.hipaa, Some(false));
    }
}
