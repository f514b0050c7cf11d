//! Branches, computes and databases.

use neon::ids::{BranchId, EndpointId, ProjectId};
use neon::model::EndpointSettings;
use sqlx::types::Json;

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

/// A branch as it is written down.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct BranchRow {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) name: String,
    pub(crate) is_default: bool,
    pub(crate) ready_at_us: Micros,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

/// A compute as it is written down.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct EndpointRow {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) branch_id: String,
    pub(crate) name: Option<String>,
    pub(crate) min_cu: f64,
    pub(crate) max_cu: f64,
    pub(crate) suspend_timeout_seconds: i64,
    pub(crate) disabled: bool,
    pub(crate) passwordless_access: bool,
    pub(crate) settings: Json<EndpointSettings>,
    pub(crate) ready_at_us: Micros,
    pub(crate) last_active_us: Option<Micros>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

/// A database as it is written down.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct DatabaseRow {
    pub(crate) number: i64,
    pub(crate) branch_id: String,
    pub(crate) name: String,
    pub(crate) owner_name: String,
    pub(crate) provisioned_at_us: Option<Micros>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

impl Store {
    /// The branches of a project, the default one first.
    pub(crate) async fn branches(&self, project: &ProjectId) -> Result<Vec<BranchRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM branches WHERE project_id = $1 ORDER BY is_default DESC, created_at_us, id")
            .bind(project.as_str())
            .fetch_all(self.pool())
            .await?)
    }

    /// One branch.
    pub(crate) async fn branch(
        &self,
        project: &ProjectId,
        id: &BranchId,
    ) -> Result<BranchRow, StoreError> {
        sqlx::query_as("SELECT * FROM branches WHERE project_id = $1 AND id = $2")
            .bind(project.as_str())
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("branch"))
    }

    /// The computes of a project.
    pub(crate) async fn endpoints(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<EndpointRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM endpoints WHERE project_id = $1 ORDER BY created_at_us, id",
        )
        .bind(project.as_str())
        .fetch_all(self.pool())
        .await?)
    }

    /// One compute.
    pub(crate) async fn endpoint(
        &self,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<EndpointRow, StoreError> {
        sqlx::query_as("SELECT * FROM endpoints WHERE project_id = $1 AND id = $2")
            .bind(project.as_str())
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("endpoint"))
    }

    /// One compute, held for a change.
    pub(crate) async fn lock_endpoint(
        tx: &mut Tx,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<EndpointRow, StoreError> {
        sqlx::query_as("SELECT * FROM endpoints WHERE project_id = $1 AND id = $2 FOR UPDATE")
            .bind(project.as_str())
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await?
            .ok_or(StoreError::NotFound("endpoint"))
    }

    /// Writes what can be changed of a compute.
    pub(crate) async fn save_endpoint(tx: &mut Tx, row: &EndpointRow) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE endpoints SET name = $2, min_cu = $3, max_cu = $4, suspend_timeout_seconds = $5, disabled = $6,
                 passwordless_access = $7, settings = $8, updated_at_us = $9
             WHERE id = $1",
        )
        .bind(&row.id)
        .bind(&row.name)
        .bind(row.min_cu)
        .bind(row.max_cu)
        .bind(row.suspend_timeout_seconds)
        .bind(row.disabled)
        .bind(row.passwordless_access)
        .bind(&row.settings)
        .bind(row.updated_at_us)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// The databases of a branch.
    pub(crate) async fn databases(
        &self,
        branch: &BranchId,
    ) -> Result<Vec<DatabaseRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM databases WHERE branch_id = $1 ORDER BY number")
                .bind(branch.as_str())
                .fetch_all(self.pool())
                .await?,
        )
    }

    /// Writes that a client is connected, or just was. The project's `updated_at` stays: nothing of it changed. Whether the
    /// project is still there.
    pub(crate) async fn touch_endpoint(
        &self,
        endpoint: &str,
        now: Micros,
        opened: bool,
    ) -> Result<bool, StoreError> {
        let touched = sqlx::query(
            "WITH touched AS (
                 UPDATE endpoints SET last_active_us = greatest(last_active_us, $2) WHERE id = $1 RETURNING project_id
             )
             UPDATE projects SET last_active_us = greatest(last_active_us, $2), connections_opened = connections_opened + $3
             FROM touched WHERE projects.id = touched.project_id AND deleted_at_us IS NULL",
        )
        .bind(endpoint)
        .bind(now)
        .bind(i64::from(opened))
        .execute(self.pool())
        .await?;
        Ok(touched.rows_affected() > 0)
    }
}
