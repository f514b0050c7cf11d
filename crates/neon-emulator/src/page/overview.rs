//! Collects the data for the dashboard. Only the fields named here reach the page; stored rows are
//! never passed on.

use std::collections::HashMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use neon_client::model::{Operation, OperationStatus};

use crate::api::{Api, LoggedRequest};
use crate::clock::timestamp;
use crate::compute::{Compute, ComputeState};
use crate::faults::ArmedFault;
use crate::hosts::connectable;
use crate::store::{
    EndpointKind, EndpointRow, OperationRow, ProjectCounts, ProjectRow, StoreError,
};

/// Maximum number of projects on the page.
const MAX_PROJECTS: i64 = 50;
/// Maximum number of operations on the page.
const MAX_OPERATIONS: i64 = 20;
/// Maximum number of requests on the page.
const MAX_REQUESTS: usize = 50;

pub(super) struct Overview {
    pub(super) now: Timestamp,
    pub(super) api_address: SocketAddr,
    pub(super) data_address: SocketAddr,
    pub(super) requests: Vec<LoggedRequest>,
    pub(super) calls: u64,
    /// Open connections to all projects.
    pub(super) connections: usize,
    pub(super) faults: Vec<ArmedFault>,
    /// Number of violations of the OpenAPI document; `None` if no document is configured.
    pub(super) violations: Option<usize>,
    /// `None` if PostgreSQL is not available.
    pub(super) state: Option<StateOverview>,
}

/// The data that is read from the state database.
pub(super) struct StateOverview {
    pub(super) counts: ProjectCounts,
    pub(super) projects: Vec<ProjectLine>,
    pub(super) operations: Vec<Operation>,
    /// Running operations of all projects.
    pub(super) running: i64,
}

pub(super) struct ProjectLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) pg_version: i32,
    pub(super) created_at: Timestamp,
    pub(super) connections: usize,
    pub(super) computes: Vec<ComputeLine>,
}

pub(super) struct ComputeLine {
    pub(super) id: String,
    pub(super) branch: String,
    pub(super) read_write: bool,
    pub(super) state: ComputeState,
    pub(super) disabled: bool,
    pub(super) min_cu: f64,
    pub(super) max_cu: f64,
    pub(super) idle_since: Option<Timestamp>,
}

impl Overview {
    pub(super) async fn of(api: &Api) -> Self {
        let state = match StateOverview::of(api).await {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::debug!(%error, "failed to read the state for the dashboard");
                None
            }
        };
        Self {
            now: timestamp(api.clock.now()),
            api_address: connectable(api.address),
            data_address: connectable(api.data_address),
            requests: api.request_log.last(MAX_REQUESTS),
            connections: api.sessions.all().len(),
            calls: api.calls.counts().values().sum(),
            faults: api.faults.list(),
            violations: api
                .conformance
                .is_enabled()
                .then(|| api.conformance.violations().len()),
            state,
        }
    }
}

impl StateOverview {
    async fn of(api: &Api) -> Result<Self, StoreError> {
        let now = api.clock.now();
        let counts = api.store.project_counts(api.recoverable_since()).await?;
        let rows = api.store.newest_projects(MAX_PROJECTS).await?;
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut computes: HashMap<String, Vec<ComputeLine>> = HashMap::new();
        for (row, branch) in api.store.endpoints_of(&ids).await? {
            let line = ComputeLine::of(api, &row, branch);
            computes.entry(row.project_id).or_default().push(line);
        }
        let operations = api.store.newest_operations(MAX_OPERATIONS).await?;
        let at = |row: &OperationRow| row.at(now);
        Ok(Self {
            counts,
            running: api.store.running_operations(now).await?,
            operations: operations.iter().map(at).collect::<Result<_, _>>()?,
            projects: rows
                .into_iter()
                .map(|row| {
                    let computes = computes.remove(&row.id).unwrap_or_default();
                    ProjectLine::of(api, row, computes)
                })
                .collect(),
        })
    }

    /// Number of computes on the page that are not idle.
    pub(super) fn active_computes(&self) -> usize {
        let computes = self.projects.iter().flat_map(|project| &project.computes);
        computes
            .filter(|compute| compute.state != ComputeState::Idle)
            .count()
    }
}

impl ProjectLine {
    fn of(api: &Api, row: ProjectRow, computes: Vec<ComputeLine>) -> Self {
        Self {
            connections: api.sessions.count(&row.id),
            id: row.id,
            name: row.name,
            region: row.region_id,
            pg_version: row.pg_version,
            created_at: timestamp(row.created_at_us),
            computes,
        }
    }
}

impl ComputeLine {
    fn of(api: &Api, row: &EndpointRow, branch: String) -> Self {
        let compute = Compute::of(row, &api.sessions, api.clock.now());
        Self {
            id: row.id.clone(),
            branch,
            read_write: row.kind == EndpointKind::ReadWrite,
            state: compute.state,
            disabled: row.disabled,
            min_cu: row.min_cu,
            max_cu: row.max_cu,
            idle_since: compute.is_idle().then(|| timestamp(compute.suspends_at)),
        }
    }
}

/// The style of an operation status.
pub(super) fn status_style(status: &OperationStatus) -> &'static str {
    match status {
        OperationStatus::Finished => "good",
        OperationStatus::Failed | OperationStatus::Error => "bad",
        _ => "busy",
    }
}
