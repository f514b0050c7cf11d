//! A simulated project, and how Neon describes it.

use controller::identity::marked_tenant;
use jiff::Timestamp;
use neon_client::ErrorKind;
use neon_client::ids::{BranchId, DatabaseName, ProjectId, RoleName};
use neon_client::model::{
    Branch, ComputeUnits, ConnectionDetails, ConnectionParameters, CreateProject, CreatedProject,
    Project,
};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::world::{SimulatedProject, installation};

/// Storage of a project that contains nothing but Postgres's catalogs.
const EMPTY_PROJECT_BYTES: i64 = 31_000_000;
const PROXY_HOST: &str = "eu.neon.tech";

pub(super) fn parsed<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("JSON as Neon returns it")
}

fn endpoint_id(project: &ProjectId) -> String {
    format!("ep-{project}")
}

fn branch_id(project: &ProjectId) -> String {
    format!("br-{project}")
}

/// The project that a compute's host belongs to.
pub(crate) fn project_of_host(host: &str) -> Option<ProjectId> {
    let (endpoint, _) = host.split_once('.')?;
    endpoint.strip_prefix("ep-")?.parse().ok()
}

impl SimulatedProject {
    pub(super) fn new(
        id: &ProjectId,
        body: CreateProject,
        password: String,
        now: Timestamp,
    ) -> Self {
        let compute = body.default_endpoint_settings.unwrap_or_default();
        let project = Project {
            settings: Some(body.settings.unwrap_or_default()),
            history_retention_seconds: body.history_retention_seconds,
            default_endpoint_settings: Some(compute.clone()),
            ..parsed(json!({
                "id": id, "name": body.name, "region_id": body.region_id,
                "pg_version": body.pg_version, "created_at": now, "updated_at": now,
                "active_time": 0, "synthetic_storage_size": EMPTY_PROJECT_BYTES,
            }))
        };
        let endpoint = parsed(json!({
            "id": endpoint_id(id),
            "project_id": id,
            "branch_id": branch_id(id),
            "host": format!("{}.{PROXY_HOST}", endpoint_id(id)),
            "type": "read_write",
            "autoscaling_limit_min_cu": compute.autoscaling_limit_min_cu.unwrap_or(ComputeUnits::MIN),
            "autoscaling_limit_max_cu": compute.autoscaling_limit_max_cu.unwrap_or(ComputeUnits::MIN),
            "suspend_timeout_seconds": compute.suspend_timeout_seconds.unwrap_or_default(),
            "current_state": "active",
            "created_at": now,
            "updated_at": now,
        }));
        Self {
            made_for: marked_tenant(&project.name, &installation()),
            project,
            endpoint,
            password,
            schema: None,
            branches: Vec::new(),
            snapshots: Vec::new(),
            branches_made: 0,
            restores: 0,
            deleted: false,
            purged: false,
        }
    }

    /// A branch without a compute. Its id differs from those of all earlier branches.
    pub(super) fn new_branch(&mut self, name: &str, now: Timestamp) -> Branch {
        self.branches_made += 1;
        let id = &self.project.id;
        parsed(json!({
            "id": format!("br-{id}-{}", self.branches_made),
            "project_id": id, "name": name, "current_state": "init",
            "created_at": now, "updated_at": now,
        }))
    }

    pub(super) fn branch(
        &mut self,
        id: &BranchId,
    ) -> Result<&mut (Branch, Option<i64>), ErrorKind> {
        let mut branches = self.branches.iter_mut();
        branches
            .find(|(branch, _)| branch.id == *id)
            .ok_or(ErrorKind::NotFound)
    }

    pub(super) fn check_branch_name(&self, name: &str) -> Result<(), ErrorKind> {
        let is_taken = self.branches.iter().any(|(branch, _)| branch.name == name);
        if is_taken {
            return Err(ErrorKind::Conflict);
        }
        Ok(())
    }

    /// Moves the compute to a branch with this version. The former branch keeps its version under
    /// another name.
    pub(super) fn replace_branch(
        &mut self,
        branch: BranchId,
        version: Option<i64>,
        former_name: &str,
        now: Timestamp,
    ) {
        let former = Branch {
            id: std::mem::replace(&mut self.endpoint.branch_id, branch),
            ..self.new_branch(former_name, now)
        };
        self.branches.push((former, self.schema));
        self.schema = version;
        self.restores += 1;
    }

    /// Records that the database was used.
    pub(crate) fn record_use(&mut self, now: Timestamp) {
        self.project.compute_last_active_at = Some(now);
        self.project.active_time = Some(60);
    }

    pub(crate) fn has_data(&self) -> bool {
        self.schema.is_some() || self.made_for.is_none()
    }

    /// A copy with the same name and data, as another user of the account could create it.
    pub(crate) fn copy(&self, id: ProjectId, now: Timestamp) -> Self {
        let mut copy = self.clone();
        copy.project.id = id;
        copy.project.created_at = now;
        copy.project.updated_at = now;
        copy.made_for = None;
        copy.record_use(now);
        copy
    }

    pub(super) fn connection_uri(&self, database: &DatabaseName, role: &RoleName) -> SecretString {
        let (password, host) = (&self.password, &self.endpoint.host);
        format!("postgresql://{role}:{password}@{host}/{database}?sslmode=require").into()
    }

    pub(super) fn created(&self, database: DatabaseName, role: RoleName) -> CreatedProject {
        let id = &self.project.id;
        let connection_uri = self.connection_uri(&database, &role);
        CreatedProject {
            project: self.project.clone(),
            connection_uris: vec![ConnectionDetails {
                connection_uri,
                connection_parameters: ConnectionParameters {
                    database,
                    password: self.password.clone().into(),
                    role,
                    host: self.endpoint.host.clone(),
                    pooler_host: self.endpoint.pooled_host(),
                },
            }],
            roles: Vec::new(),
            databases: Vec::new(),
            operations: Vec::new(),
            branch: parsed(json!({
                "id": branch_id(id), "project_id": id, "name": "main", "current_state": "ready",
                "created_at": self.project.created_at, "updated_at": self.project.created_at,
            })),
            endpoints: vec![self.endpoint.clone()],
        }
    }
}
