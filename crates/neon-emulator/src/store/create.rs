//! Creates projects: one, or thousands with the same specification.

use neon_client::ids::{DatabaseName, OrgId, RegionId, RoleName};
use neon_client::model::{ComputeUnits, DefaultEndpointSettings, ProjectSettings};
use sqlx::types::Json;

use super::{Store, StoreError, Tx};
use crate::clock::Micros;
use crate::names::NewIds;

/// The specification of new projects, with all defaults applied.
#[derive(Debug, Clone)]
pub(crate) struct ProjectSpec {
    pub(crate) org_id: Option<OrgId>,
    pub(crate) region_id: RegionId,
    pub(crate) pg_version: u16,
    pub(crate) provisioner: String,
    pub(crate) store_passwords: bool,
    pub(crate) history_retention_seconds: u32,
    pub(crate) settings: ProjectSettings,
    pub(crate) default_endpoint_settings: DefaultEndpointSettings,
    pub(crate) min_cu: ComputeUnits,
    pub(crate) max_cu: ComputeUnits,
    pub(crate) suspend_timeout_seconds: i64,
    pub(crate) branch_name: String,
    pub(crate) role_name: RoleName,
    pub(crate) database_name: DatabaseName,
}

/// What is unique to a new project.
#[derive(Debug, Clone)]
pub(crate) struct NewProject {
    pub(crate) ids: NewIds,
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Inserts all rows of all projects in one statement: IDs, names and passwords are arrays, and the
/// specification consists of scalars.
const INSERT: &str = "
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS given (project_id, name, branch_id, endpoint_id, password)
), new_projects AS (
    INSERT INTO projects (id, name, org_id, region_id, pg_version, provisioner, store_passwords,
        history_retention_seconds, settings, default_endpoint_settings, created_at_us, updated_at_us)
    SELECT project_id, name, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14 FROM given
), new_branches AS (
    INSERT INTO branches (id, project_id, name, is_default, ready_at_us, created_at_us, updated_at_us)
    SELECT branch_id, project_id, $15, true, $16, $14, $14 FROM given
), new_endpoints AS (
    INSERT INTO endpoints (id, project_id, branch_id, min_cu, max_cu, suspend_timeout_seconds, settings, ready_at_us,
        created_at_us, updated_at_us)
    SELECT endpoint_id, project_id, branch_id, $17, $18, $19, $20, $21, $14, $14 FROM given
), new_roles AS (
    INSERT INTO roles (project_id, branch_id, name, password, created_at_us, updated_at_us)
    SELECT project_id, branch_id, $22, password, $14, $14 FROM given
), new_passwords AS (
    INSERT INTO issued_passwords (password, issued_at_us) SELECT password, $14 FROM given
)
INSERT INTO databases (project_id, branch_id, name, owner_name, created_at_us, updated_at_us)
SELECT project_id, branch_id, $23, $22, $14, $14 FROM given";

impl Store {
    /// Inserts new projects. Their branches are ready at `branch_ready`, their computes at
    /// `compute_ready`.
    pub(crate) async fn insert_projects(
        tx: &mut Tx,
        spec: &ProjectSpec,
        projects: &[NewProject],
        now: Micros,
        branch_ready: Micros,
        compute_ready: Micros,
    ) -> Result<(), StoreError> {
        let column = |of: fn(&NewProject) -> &str| projects.iter().map(of).collect::<Vec<_>>();
        let endpoint_settings = serde_json::json!({
            "pg_settings": spec.default_endpoint_settings.pg_settings.clone().unwrap_or_default(),
        });
        sqlx::query(INSERT)
            .bind(column(|project| project.ids.project.as_str()))
            .bind(column(|project| &project.name))
            .bind(column(|project| project.ids.branch.as_str()))
            .bind(column(|project| project.ids.endpoint.as_str()))
            .bind(column(|project| &project.password))
            .bind(spec.org_id.as_ref().map(OrgId::as_str))
            .bind(spec.region_id.as_str())
            .bind(i32::from(spec.pg_version))
            .bind(&spec.provisioner)
            .bind(spec.store_passwords)
            .bind(i64::from(spec.history_retention_seconds))
            .bind(Json(&spec.settings))
            .bind(Json(&spec.default_endpoint_settings))
            .bind(now)
            .bind(&spec.branch_name)
            .bind(branch_ready)
            .bind(spec.min_cu.as_f64())
            .bind(spec.max_cu.as_f64())
            .bind(spec.suspend_timeout_seconds)
            .bind(Json(endpoint_settings))
            .bind(compute_ready)
            .bind(spec.role_name.as_str())
            .bind(spec.database_name.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
