use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::{EndpointSettings, EndpointType};
use sqlx::types::Json;

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum EndpointKind {
    ReadWrite,
    ReadOnly,
}

impl From<EndpointKind> for EndpointType {
    fn from(kind: EndpointKind) -> Self {
        match kind {
            EndpointKind::ReadWrite => Self::ReadWrite,
            EndpointKind::ReadOnly => Self::ReadOnly,
        }
    }
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct EndpointRow {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) branch_id: String,
    pub(crate) name: Option<String>,
    pub(crate) kind: EndpointKind,
    pub(crate) min_cu: f64,
    pub(crate) max_cu: f64,
    pub(crate) suspend_timeout_seconds: i64,
    pub(crate) disabled: bool,
    pub(crate) passwordless_access: bool,
    pub(crate) settings: Json<EndpointSettings>,
    pub(crate) ready_at_us: Micros,
    pub(crate) suspended_at_us: Option<Micros>,
    pub(crate) usage_recorded_us: Option<Micros>,
    pub(crate) last_active_us: Option<Micros>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

#[cfg(test)]
impl EndpointRow {
    /// A compute that becomes ready after one second.
    pub(crate) fn for_tests(suspend_timeout_seconds: i64) -> Self {
        use crate::clock::SECOND;
        Self {
            id: "ep-still-lake-00000001".into(),
            project_id: "still-lake-00000001".into(),
            branch_id: "br-still-lake-00000001".into(),
            name: None,
            kind: EndpointKind::ReadWrite,
            min_cu: 0.25,
            max_cu: 2.0,
            suspend_timeout_seconds,
            disabled: false,
            passwordless_access: true,
            settings: Json(EndpointSettings::default()),
            ready_at_us: SECOND,
            suspended_at_us: None,
            usage_recorded_us: None,
            last_active_us: None,
            created_at_us: 0,
            updated_at_us: 0,
        }
    }
}

impl Store {
    pub(crate) async fn endpoints(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<EndpointRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM endpoints WHERE project_id = $1 AND branch_id IN (SELECT id FROM branches WHERE project_id = $1 AND deleted_at_us IS NULL)
             ORDER BY created_at_us, id",
        )
        .bind(project.as_str())
        .fetch_all(self.pool())
        .await?)
    }

    /// The computes of these projects.
    pub(crate) async fn endpoints_of_all(
        &self,
        projects: &[&str],
    ) -> Result<Vec<EndpointRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM endpoints WHERE project_id = ANY($1)")
                .bind(projects)
                .fetch_all(self.pool())
                .await?,
        )
    }

    pub(crate) async fn endpoint(
        &self,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<EndpointRow, StoreError> {
        sqlx::query_as("SELECT * FROM endpoints WHERE project_id = $1 AND id = $2
                 AND branch_id IN (SELECT id FROM branches WHERE project_id = $1 AND deleted_at_us IS NULL)")
            .bind(project.as_str())
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("endpoint"))
    }

    pub(crate) async fn lock_endpoint(
        tx: &mut Tx,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<EndpointRow, StoreError> {
        Self::share_lock_project(tx, project).await?;
        sqlx::query_as("SELECT * FROM endpoints WHERE project_id = $1 AND id = $2
                 AND branch_id IN (SELECT id FROM branches WHERE project_id = $1 AND deleted_at_us IS NULL) FOR UPDATE")
            .bind(project.as_str())
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await?
            .ok_or(StoreError::NotFound("endpoint"))
    }

    /// Locks all computes of a project.
    pub(crate) async fn lock_endpoints(
        tx: &mut Tx,
        project: &ProjectId,
    ) -> Result<Vec<EndpointRow>, StoreError> {
        Self::share_lock_project(tx, project).await?;
        Ok(
            sqlx::query_as("SELECT * FROM endpoints WHERE project_id = $1 ORDER BY id FOR UPDATE")
                .bind(project.as_str())
                .fetch_all(&mut **tx)
                .await?,
        )
    }

    /// Inserts a compute or updates its mutable columns.
    pub(crate) async fn save_endpoint(tx: &mut Tx, row: &EndpointRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO endpoints (id, project_id, branch_id, name, kind, min_cu, max_cu, suspend_timeout_seconds, disabled,
                 passwordless_access, settings, ready_at_us, suspended_at_us, usage_recorded_us, created_at_us, updated_at_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             ON CONFLICT (id) DO UPDATE SET branch_id = $3, name = $4, min_cu = $6, max_cu = $7, suspend_timeout_seconds = $8,
                 disabled = $9, passwordless_access = $10, settings = $11, ready_at_us = $12, suspended_at_us = $13,
                 usage_recorded_us = $14, updated_at_us = $16",
        )
        .bind(&row.id)
        .bind(&row.project_id)
        .bind(&row.branch_id)
        .bind(&row.name)
        .bind(row.kind)
        .bind(row.min_cu)
        .bind(row.max_cu)
        .bind(row.suspend_timeout_seconds)
        .bind(row.disabled)
        .bind(row.passwordless_access)
        .bind(&row.settings)
        .bind(row.ready_at_us)
        .bind(row.suspended_at_us)
        .bind(row.usage_recorded_us)
        .bind(row.created_at_us)
        .bind(row.updated_at_us)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    pub(crate) async fn delete_endpoint(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM endpoints WHERE id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Records that a client connected (`opened`) or disconnected. Returns `false` if the project was deleted.
    pub(crate) async fn touch_endpoint(
        &self,
        endpoint: &str,
        now: Micros,
        opened: bool,
    ) -> Result<bool, StoreError> {
        // The project is locked first, as everywhere.
        let touched = sqlx::query(
            "WITH touched AS (
                 UPDATE projects SET last_active_us = greatest(last_active_us, $2), connections_opened = connections_opened + $3
                 WHERE id = (SELECT project_id FROM endpoints WHERE id = $1) AND deleted_at_us IS NULL RETURNING id
             )
             UPDATE endpoints SET last_active_us = greatest(last_active_us, $2)
             FROM touched WHERE endpoints.id = $1 AND endpoints.project_id = touched.id",
        )
        .bind(endpoint)
        .bind(now)
        .bind(i64::from(opened))
        .execute(self.pool())
        .await?;
        Ok(touched.rows_affected() > 0)
    }
}
