//! The admin API under `/_emulator`, which tests use to inspect and control the emulator. It
//! requires the API key too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use neon_client::ids::OrgId;
use neon_client::model::CreateProject;
use serde::{Deserialize, Serialize};

use super::Api;
use super::error::ApiError;
use super::extract::{Body, Path};
use super::projects::create::{SeededProject, seed};
use crate::clock::{Micros, timestamp};
use crate::faults::{ArmError, ArmedFault, Fault};
use crate::plan::Plan;
use crate::store::StoreError;

/// The key of the clock's offset in the state.
pub(crate) const CLOCK_OFFSET_KEY: &str = "clock_offset_us";

/// A project, including deleted ones, as the emulator stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectSummary {
    pub id: neon_client::ids::ProjectId,
    pub name: String,
    pub org_id: Option<neon_client::ids::OrgId>,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
    /// When the project was deleted. A deleted project can be recovered for some time.
    pub deleted_at: Option<jiff::Timestamp>,
    /// Number of connections that were ever authenticated.
    pub connections_opened: u64,
    /// Number of connections that are open now.
    pub connections_open: u64,
}

pub(crate) async fn summaries(api: &Api) -> Result<Vec<ProjectSummary>, StoreError> {
    let rows = api.store.all_projects().await?;
    rows.into_iter()
        .map(|row| {
            Ok(ProjectSummary {
                connections_open: api.sessions.count(&row.id) as u64,
                id: row.id.parse().map_err(StoreError::corrupt)?,
                name: row.name,
                org_id: row
                    .org_id
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(StoreError::corrupt)?,
                created_at: timestamp(row.created_at_us),
                updated_at: timestamp(row.updated_at_us),
                deleted_at: row.deleted_at_us.map(timestamp),
                connections_opened: u64::try_from(row.connections_opened).unwrap_or_default(),
            })
        })
        .collect()
}

#[derive(Debug, Serialize)]
pub(super) struct ProjectsResponse {
    projects: Vec<ProjectSummary>,
}

pub(super) async fn projects(
    State(api): State<Arc<Api>>,
) -> Result<Json<ProjectsResponse>, ApiError> {
    Ok(Json(ProjectsResponse {
        projects: summaries(&api).await?,
    }))
}

#[derive(Debug, Serialize)]
pub(super) struct PasswordsResponse {
    passwords: Vec<String>,
}

pub(super) async fn passwords(
    State(api): State<Arc<Api>>,
) -> Result<Json<PasswordsResponse>, ApiError> {
    Ok(Json(PasswordsResponse {
        passwords: api.store.issued_passwords().await?,
    }))
}

#[derive(Debug, Serialize)]
pub(super) struct CallsResponse {
    calls: BTreeMap<String, u64>,
    /// Number of authenticated connections by project. Projects without any are omitted.
    connections: BTreeMap<String, u64>,
}

pub(super) async fn calls(State(api): State<Arc<Api>>) -> Result<Json<CallsResponse>, ApiError> {
    let connections = summaries(&api)
        .await?
        .into_iter()
        .filter(|project| project.connections_opened > 0);
    let connections = connections
        .map(|project| (project.id.to_string(), project.connections_opened))
        .collect();
    Ok(Json(CallsResponse {
        calls: api.calls.counts(),
        connections,
    }))
}

pub(super) async fn reset_calls(State(api): State<Arc<Api>>) -> StatusCode {
    api.calls.reset();
    StatusCode::NO_CONTENT
}

#[derive(Debug, Serialize)]
pub(super) struct FaultsResponse {
    faults: Vec<ArmedFault>,
}

pub(super) async fn list_faults(State(api): State<Arc<Api>>) -> Json<FaultsResponse> {
    Json(FaultsResponse {
        faults: api.faults.list(),
    })
}

/// A fault as an object or in the syntax of the `--fault` flag.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum NewFault {
    Line { spec: String },
    Object(Fault),
}

#[derive(Debug, Serialize)]
pub(super) struct FaultCreated {
    id: u64,
}

pub(super) async fn add_fault(
    State(api): State<Arc<Api>>,
    Body(new): Body<NewFault>,
) -> Result<(StatusCode, Json<FaultCreated>), ApiError> {
    let fault = match new {
        NewFault::Object(fault) => fault,
        NewFault::Line { spec } => spec
            .parse()
            .map_err(|error| ApiError::bad_request(format!("{error}")))?,
    };
    match api.faults.arm(fault) {
        Ok(id) => Ok((StatusCode::CREATED, Json(FaultCreated { id }))),
        Err(error @ ArmError::Invalid { .. }) => Err(ApiError::bad_request(error.to_string())),
        Err(error @ ArmError::TooMany) => Err(ApiError::invalid(error.to_string())),
    }
}

pub(super) async fn clear_faults(State(api): State<Arc<Api>>) -> StatusCode {
    api.faults.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn remove_fault(
    State(api): State<Arc<Api>>,
    Path(id): Path<u64>,
) -> Result<StatusCode, ApiError> {
    if api.faults.remove(id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("fault"))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct SeedRequest {
    names: Vec<String>,
    #[serde(default)]
    project: CreateProject,
}

#[derive(Debug, Serialize)]
pub(super) struct SeedResponse {
    projects: Vec<SeededProject>,
}

pub(super) async fn seed_projects(
    State(api): State<Arc<Api>>,
    Body(requested): Body<SeedRequest>,
) -> Result<(StatusCode, Json<SeedResponse>), ApiError> {
    let projects = seed(&api, &requested.project, requested.names).await?;
    Ok((StatusCode::CREATED, Json(SeedResponse { projects })))
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrganizationPlan {
    org_id: OrgId,
    plan: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PlansResponse {
    /// The account's plan.
    account: &'static str,
    organizations: Vec<OrganizationPlan>,
}

pub(super) async fn plans(State(api): State<Arc<Api>>) -> Json<PlansResponse> {
    let organizations = api.organization_plans().into_iter();
    Json(PlansResponse {
        account: api.limits.plan.as_str(),
        organizations: organizations
            .map(|(org_id, plan)| OrganizationPlan {
                org_id,
                plan: plan.to_string(),
            })
            .collect(),
    })
}

pub(super) async fn set_plan(
    State(api): State<Arc<Api>>,
    Body(OrganizationPlan { org_id, plan }): Body<OrganizationPlan>,
) -> Result<Json<PlansResponse>, ApiError> {
    let plan: Plan = plan
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{error}")))?;
    api.set_plan(org_id, plan).await?;
    Ok(plans(State(api)).await)
}

#[derive(Debug, Serialize)]
pub(super) struct PurgeResponse {
    purged: u64,
}

pub(super) async fn purge(State(api): State<Arc<Api>>) -> Result<Json<PurgeResponse>, ApiError> {
    match api.provisioner.purge(api.recoverable_since()).await {
        Ok(purged) => Ok(Json(PurgeResponse { purged })),
        Err(error) => {
            tracing::error!(%error, "failed to purge deleted projects");
            Err(ApiError::internal())
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ClockResponse {
    now: jiff::Timestamp,
}

pub(super) async fn clock(State(api): State<Arc<Api>>) -> Json<ClockResponse> {
    let now = timestamp(api.clock.now());
    Json(ClockResponse { now })
}

#[derive(Debug, Deserialize)]
pub(super) struct AdvanceClockRequest {
    advance_seconds: u64,
}

pub(super) async fn advance_clock(
    State(api): State<Arc<Api>>,
    Body(request): Body<AdvanceClockRequest>,
) -> Result<Json<ClockResponse>, ApiError> {
    advance(&api, Duration::from_secs(request.advance_seconds)).await?;
    Ok(clock(State(api)).await)
}

/// Deviations from the OpenAPI document.
#[derive(Debug, Serialize)]
pub(super) struct ViolationsResponse {
    /// Whether calls are checked against a document.
    checked: bool,
    violations: Vec<String>,
}

pub(super) async fn violations(State(api): State<Arc<Api>>) -> Json<ViolationsResponse> {
    Json(ViolationsResponse {
        checked: api.conformance.is_enabled(),
        violations: api.conformance.violations(),
    })
}

/// Advances the clock, and processes everything that becomes due.
pub(crate) async fn advance(api: &Api, by: Duration) -> Result<(), ApiError> {
    let by = Micros::try_from(by.as_micros()).unwrap_or(Micros::MAX);
    let offset = api.clock.advance(by).ok_or_else(|| {
        ApiError::invalid("the clock cannot be more than 100 years ahead of the system's")
    })?;
    api.store
        .write_meta(CLOCK_OFFSET_KEY, &offset.to_string())
        .await?;
    api.plane.check_computes().await?;
    if let Err(error) = super::expire(api, api.clock.now()).await {
        tracing::warn!(error = error.message, "failed to delete expired branches");
    }
    Ok(())
}
