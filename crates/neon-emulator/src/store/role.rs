//! Roles with their passwords, and the routes of connections.

use neon_client::ids::{BranchId, EndpointId, ProjectId, RoleName};
use neon_client::model::ProjectSettings;
use sqlx::types::Json;

use super::{EndpointRow, GarbageKind, Store, StoreError, Tx};
use crate::clock::Micros;

#[derive(Clone, sqlx::FromRow)]
pub(crate) struct RoleRow {
    pub(crate) number: i64,
    pub(crate) branch_id: String,
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) old_password: Option<String>,
    pub(crate) password_valid_from_us: Micros,
    pub(crate) applied_password: Option<String>,
    pub(crate) no_login: bool,
    pub(crate) physical_name: Option<String>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

impl RoleRow {
    /// The physical name in PostgreSQL.
    pub(crate) fn physical_name(&self) -> String {
        self.physical_name
            .clone()
            .unwrap_or_else(|| format!("role_{}_{}", self.branch_id, self.number))
    }

    /// The valid password at a moment.
    pub(crate) fn password_at(&self, now: Micros) -> &str {
        match &self.old_password {
            Some(old) if now < self.password_valid_from_us => old,
            _ => &self.password,
        }
    }
}

/// What the data plane needs to know about an endpoint.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct EndpointRoute {
    #[sqlx(flatten)]
    pub(crate) endpoint: EndpointRow,
    pub(crate) project_settings: Json<ProjectSettings>,
    pub(crate) branch_protected: bool,
}

impl Store {
    pub(crate) async fn roles(&self, branch: &BranchId) -> Result<Vec<RoleRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 ORDER BY number")
                .bind(branch.as_str())
                .fetch_all(self.pool())
                .await?,
        )
    }

    /// The roles of all branches of a branch's project.
    pub(crate) async fn roles_of_same_project(
        &self,
        branch: &BranchId,
    ) -> Result<Vec<RoleRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM roles WHERE project_id = (SELECT project_id FROM branches WHERE id = $1)",
        )
        .bind(branch.as_str())
        .fetch_all(self.pool())
        .await?)
    }

    pub(crate) async fn roles_in_transaction(
        tx: &mut Tx,
        branch: &BranchId,
    ) -> Result<Vec<RoleRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 ORDER BY number")
                .bind(branch.as_str())
                .fetch_all(&mut **tx)
                .await?,
        )
    }

    pub(crate) async fn role(
        &self,
        branch: &BranchId,
        name: &RoleName,
    ) -> Result<RoleRow, StoreError> {
        sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 AND name = $2")
            .bind(branch.as_str())
            .bind(name.as_str())
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("role"))
    }

    pub(crate) async fn lock_role(
        tx: &mut Tx,
        branch: &BranchId,
        name: &RoleName,
    ) -> Result<RoleRow, StoreError> {
        sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 AND name = $2 FOR UPDATE")
            .bind(branch.as_str())
            .bind(name.as_str())
            .fetch_optional(&mut **tx)
            .await?
            .ok_or(StoreError::NotFound("role"))
    }

    pub(crate) async fn insert_role(
        tx: &mut Tx,
        project: &ProjectId,
        branch: &BranchId,
        name: &RoleName,
        password: Option<&str>,
        now: Micros,
    ) -> Result<RoleRow, StoreError> {
        Ok(sqlx::query_as(
            "INSERT INTO roles (project_id, branch_id, name, password, no_login, created_at_us, updated_at_us)
             VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING *",
        )
        .bind(project.as_str())
        .bind(branch.as_str())
        .bind(name.as_str())
        .bind(password.unwrap_or_default())
        .bind(password.is_none())
        .bind(now)
        .fetch_one(&mut **tx)
        .await?)
    }

    /// Deletes a role, and records the physical one as garbage.
    pub(crate) async fn discard_role(tx: &mut Tx, row: &RoleRow) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM roles WHERE number = $1")
            .bind(row.number)
            .execute(&mut **tx)
            .await?;
        if row.applied_password.is_some() {
            Self::record_garbage(tx, GarbageKind::Role, &row.physical_name()).await?;
        }
        Ok(())
    }

    /// Sets a new password that becomes valid at `valid_from`. Until then the old password remains
    /// valid.
    pub(crate) async fn set_password(
        tx: &mut Tx,
        role: &RoleRow,
        password: &str,
        now: Micros,
        valid_from: Micros,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE roles SET old_password = $2, password = $3, password_valid_from_us = $4, updated_at_us = $5 WHERE number = $1",
        )
        .bind(role.number)
        .bind(role.password_at(now))
        .bind(password)
        .bind(valid_from)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Records an issued password, so that tests can check that it does not appear where it must
    /// not.
    pub(crate) async fn record_issued_password(
        tx: &mut Tx,
        password: &str,
        now: Micros,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO issued_passwords (password, issued_at_us) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(password)
            .bind(now)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// The route of an endpoint, unless its project or branch is deleted.
    pub(crate) async fn route(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointRoute>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT endpoint.*, project.settings AS project_settings, branch.protected AS branch_protected
             FROM endpoints AS endpoint JOIN projects AS project ON project.id = endpoint.project_id
                 JOIN branches AS branch ON branch.id = endpoint.branch_id
             WHERE endpoint.id = $1 AND project.deleted_at_us IS NULL AND branch.deleted_at_us IS NULL",
        )
        .bind(endpoint.as_str())
        .fetch_optional(self.pool())
        .await?)
    }
}
