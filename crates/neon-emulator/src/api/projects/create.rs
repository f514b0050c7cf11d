//! Creates projects: one per API call, or thousands in a batch for benchmarks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon_client::ids::OrgId;
use neon_client::model::{
    ConnectionDetails, ConnectionParameters, CreateProject, CreatedProject, OperationAction,
    ProjectEnvelope,
};
use serde::{Deserialize, Serialize};

use crate::api::error::ApiError;
use crate::api::extract::{Body, Caller, Injected};
use crate::api::{Api, branches, operation_plan, plan_limits, validate, view};
use crate::clock::from_millis;
use crate::names::{new_ids, new_password};
use crate::store::{NewProject, PlannedOperation, ProjectSpec, Store};

/// Number of projects per INSERT statement when seeding.
const SEED_BATCH: usize = 1_000;

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Injected(injection): Injected,
    Caller(organization): Caller,
    Body(ProjectEnvelope {
        project: mut request,
    }): Body<ProjectEnvelope<CreateProject>>,
) -> Result<(StatusCode, Json<CreatedProject>), ApiError> {
    request.org_id = organization.or(request.org_id);
    let organization = request.org_id.as_ref().map(OrgId::as_str);
    let plan = api.plan(organization);
    plan_limits::project_creation(plan, &request)?;
    let spec = validate::project_spec(&request, plan)?;
    let new = new_project(request.name.clone())?;
    let mut tx = api.store.begin().await?;
    let existing = Store::count_projects(&mut tx, organization).await?;
    let limits = [
        (api.limits.projects, existing.total),
        (plan.max_projects(), existing.in_organization),
    ];
    let exceeded = limits
        .into_iter()
        .find_map(|(limit, existing)| limit.filter(|limit| existing >= i64::from(*limit)));
    if let Some(limit) = exceeded {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "PROJECTS_LIMIT_EXCEEDED",
            format!("the account has {limit} projects, which is its limit"),
        ));
    }
    let now = api.clock.now();
    let timeline = from_millis(api.latency.create_timeline_ms);
    let start = from_millis(api.latency.start_compute_ms);
    let retry = injection
        .operation
        .as_ref()
        .and_then(|fault| fault.retried_after_ms)
        .map_or(0, from_millis);
    let branch_ready = now.saturating_add(timeline);
    let compute_ready = branch_ready
        .saturating_add(start)
        .saturating_add(retry)
        .saturating_add(from_millis(api.latency.first_connection_ms));
    let projects = std::slice::from_ref(&new);
    Store::insert_projects(&mut tx, &spec, projects, now, branch_ready, compute_ready).await?;
    let step = |action, duration| PlannedOperation {
        action,
        branch: new.ids.branch.clone(),
        endpoint: Some(new.ids.endpoint.clone()),
        duration,
    };
    let plan = [
        PlannedOperation {
            endpoint: None,
            ..step(OperationAction::CreateTimeline, timeline)
        },
        step(OperationAction::StartCompute, start),
    ];
    let operations = Store::schedule(
        &mut tx,
        &new.ids.project,
        now,
        &plan,
        injection.operation.as_ref(),
    )
    .await?;
    tx.commit().await?;

    let mut response = response(&api, &spec, &new).await?;
    response.operations = operation_plan::as_scheduled(&operations)?;
    Ok((StatusCode::CREATED, Json(response)))
}

fn new_project(name: Option<String>) -> Result<NewProject, ApiError> {
    let ids = new_ids().map_err(|error| {
        tracing::error!(%error, "generated an invalid ID");
        ApiError::internal()
    })?;
    Ok(NewProject {
        name: name.unwrap_or_else(|| ids.project.to_string()),
        password: new_password(),
        ids,
    })
}

/// The response to a project creation, without the operations.
async fn response(
    api: &Api,
    spec: &ProjectSpec,
    new: &NewProject,
) -> Result<CreatedProject, ApiError> {
    let project = api.store.project(&new.ids.project).await?;
    let branch = api.store.branch(&new.ids.project, &new.ids.branch).await?;
    let endpoint = api
        .store
        .endpoint(&new.ids.project, &new.ids.endpoint)
        .await?;
    let role = api.store.role(&new.ids.branch, &spec.role_name).await?;
    let databases = api.store.databases(&new.ids.branch).await?;
    Ok(CreatedProject {
        project: view::single(api, &project).await?,
        connection_uris: vec![connection(api, spec, new)?],
        roles: vec![view::role(&role, Some(&new.password))?],
        databases: databases
            .iter()
            .map(view::database)
            .collect::<Result<_, _>>()?,
        operations: Vec::new(),
        branch: branches::load(api, &branch).await?,
        endpoints: vec![view::endpoint(api, &project, &endpoint)?],
    })
}

fn connection(
    api: &Api,
    spec: &ProjectSpec,
    new: &NewProject,
) -> Result<ConnectionDetails, ApiError> {
    let endpoint = &new.ids.endpoint;
    let uri = api.hosts.uri(
        endpoint,
        &spec.role_name,
        Some(&new.password),
        &spec.database_name,
        false,
    )?;
    Ok(ConnectionDetails {
        connection_uri: uri.into(),
        connection_parameters: ConnectionParameters {
            database: spec.database_name.clone(),
            password: new.password.clone().into(),
            role: spec.role_name.clone(),
            host: api.hosts.host(endpoint, false),
            pooler_host: api.hosts.host(endpoint, true),
        },
    })
}

/// A seeded project with everything needed to connect to it. It is ready; its database is created
/// on the first connection.
#[derive(Clone, Serialize, Deserialize)]
pub struct SeededProject {
    pub id: neon_client::ids::ProjectId,
    pub name: String,
    pub branch_id: neon_client::ids::BranchId,
    pub endpoint_id: neon_client::ids::EndpointId,
    pub role: neon_client::ids::RoleName,
    pub database: neon_client::ids::DatabaseName,
    pub password: String,
    /// The host of the compute.
    pub host: String,
    /// The host of the pooled compute.
    pub pooled_host: String,
    /// The connection URI, including the password.
    pub uri: String,
    /// The pooled connection URI, including the password.
    pub pooled_uri: String,
    /// The time of the creation and of the last update.
    pub updated_at: jiff::Timestamp,
}

impl std::fmt::Debug for SeededProject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password and the URIs that contain it are omitted.
        f.debug_struct("SeededProject")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Creates many projects from one template. They are ready immediately.
pub(crate) async fn seed(
    api: &Api,
    template: &CreateProject,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<SeededProject>, ApiError> {
    let plan = api.plan(template.org_id.as_ref().map(OrgId::as_str));
    let spec = validate::project_spec(template, plan)?;
    let mut names = names.into_iter().peekable();
    let mut seeded = Vec::new();
    while names.peek().is_some() {
        let batch = names
            .by_ref()
            .take(SEED_BATCH)
            .map(|name| new_project(Some(name)))
            .collect::<Result<Vec<_>, _>>()?;
        let now = api.clock.now();
        let mut tx = api.store.begin().await?;
        Store::insert_projects(&mut tx, &spec, &batch, now, now, now).await?;
        tx.commit().await?;
        for new in batch {
            let uri = |pooled| {
                let (role, database) = (&spec.role_name, &spec.database_name);
                api.hosts.uri(
                    &new.ids.endpoint,
                    role,
                    Some(&new.password),
                    database,
                    pooled,
                )
            };
            seeded.push(SeededProject {
                uri: uri(false)?,
                pooled_uri: uri(true)?,
                host: api.hosts.host(&new.ids.endpoint, false),
                pooled_host: api.hosts.host(&new.ids.endpoint, true),
                id: new.ids.project,
                name: new.name,
                branch_id: new.ids.branch,
                endpoint_id: new.ids.endpoint,
                role: spec.role_name.clone(),
                database: spec.database_name.clone(),
                password: new.password,
                updated_at: crate::clock::timestamp(now),
            });
        }
    }
    Ok(seeded)
}
