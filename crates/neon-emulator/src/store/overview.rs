//! Queries for the dashboard.

use super::project::ProjectRow;
use super::{EndpointRow, OperationRow, Store, StoreError};
use crate::clock::Micros;

#[derive(Debug, Clone, Copy, Default, sqlx::FromRow)]
pub(crate) struct ProjectCounts {
    pub(crate) active: i64,
    /// Deleted projects that can be recovered.
    pub(crate) deleted: i64,
}

impl Store {
    /// Counts the projects, and those that were deleted since a moment.
    pub(crate) async fn project_counts(
        &self,
        deleted_since: Micros,
    ) -> Result<ProjectCounts, StoreError> {
        Ok(sqlx::query_as(
            "SELECT (SELECT count(*) FROM projects WHERE deleted_at_us IS NULL) AS active,
                 (SELECT count(*) FROM projects WHERE deleted_at_us >= $1) AS deleted",
        )
        .bind(deleted_since)
        .fetch_one(self.pool())
        .await?)
    }

    /// The newest projects that are not deleted.
    pub(crate) async fn newest_projects(&self, limit: i64) -> Result<Vec<ProjectRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM projects WHERE deleted_at_us IS NULL ORDER BY number DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(self.pool())
        .await?)
    }

    /// The computes of some projects, oldest first, with the names of their branches.
    pub(crate) async fn endpoints_of(
        &self,
        projects: &[&str],
    ) -> Result<Vec<(EndpointRow, String)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            endpoint: EndpointRow,
            branch_name: String,
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT endpoints.*, branches.name AS branch_name FROM endpoints JOIN branches ON branches.id = endpoints.branch_id
             WHERE endpoints.project_id = ANY($1) AND branches.deleted_at_us IS NULL
             ORDER BY endpoints.created_at_us, endpoints.id",
        )
        .bind(projects)
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.endpoint, row.branch_name))
            .collect())
    }

    /// Number of operations that have not ended.
    pub(crate) async fn running_operations(&self, now: Micros) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT count(*) FROM operations WHERE ends_at_us > $1")
                .bind(now)
                .fetch_one(self.pool())
                .await?,
        )
    }

    /// The newest operations of all projects.
    pub(crate) async fn newest_operations(
        &self,
        limit: i64,
    ) -> Result<Vec<OperationRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM operations ORDER BY number DESC LIMIT $1")
                .bind(limit)
                .fetch_all(self.pool())
                .await?,
        )
    }
}
