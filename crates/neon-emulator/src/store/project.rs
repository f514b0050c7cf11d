use neon_client::ids::{BranchId, OrgId, ProjectId};
use neon_client::model::{DefaultEndpointSettings, ProjectSettings};
use sqlx::types::Json;

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct ProjectRow {
    pub(crate) number: i64,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) org_id: Option<String>,
    pub(crate) region_id: String,
    pub(crate) pg_version: i32,
    pub(crate) provisioner: String,
    pub(crate) store_passwords: bool,
    pub(crate) history_retention_seconds: i64,
    pub(crate) settings: Json<ProjectSettings>,
    pub(crate) default_endpoint_settings: Json<DefaultEndpointSettings>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
    pub(crate) busy_until_us: Micros,
    pub(crate) last_active_us: Option<Micros>,
    pub(crate) connections_opened: i64,
    pub(crate) deleted_at_us: Option<Micros>,
}

/// Numbers of projects that are not deleted.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(crate) struct ExistingProjects {
    pub(crate) total: i64,
    pub(crate) in_organization: i64,
}

/// Selects a page of projects.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProjectQuery {
    /// The number of the last project on the previous page.
    pub(crate) after: i64,
    pub(crate) limit: i64,
    pub(crate) search: Option<String>,
    pub(crate) org_id: Option<OrgId>,
    /// Only projects deleted since this moment; `None` selects projects that are not deleted.
    pub(crate) deleted_since: Option<Micros>,
}

impl Store {
    /// A project that is not deleted.
    pub(crate) async fn project(&self, id: &ProjectId) -> Result<ProjectRow, StoreError> {
        sqlx::query_as("SELECT * FROM projects WHERE id = $1 AND deleted_at_us IS NULL")
            .bind(id.as_str())
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("project"))
    }

    /// The organization of a project, which may be deleted; `None` if there is no such project.
    pub(crate) async fn organization_of(
        &self,
        id: &str,
    ) -> Result<Option<Option<String>>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT org_id FROM projects WHERE id = $1")
                .bind(id)
                .fetch_optional(self.pool())
                .await?,
        )
    }

    /// Locks a project for a change. Fails with [`StoreError::Locked`] while an operation is
    /// running.
    pub(crate) async fn lock_project(
        tx: &mut Tx,
        id: &ProjectId,
        now: Micros,
    ) -> Result<ProjectRow, StoreError> {
        let row: ProjectRow = sqlx::query_as(
            "SELECT * FROM projects WHERE id = $1 AND deleted_at_us IS NULL FOR UPDATE",
        )
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await?
        .ok_or(StoreError::NotFound("project"))?;
        if row.busy_until_us > now {
            Err(StoreError::Locked)
        } else {
            Ok(row)
        }
    }

    /// Takes a shared lock on a project's row. Every change locks the project's row before any
    /// other row of the project; taking locks in different orders could deadlock.
    pub(crate) async fn share_lock_project(tx: &mut Tx, id: &ProjectId) -> Result<(), StoreError> {
        sqlx::query("SELECT FROM projects WHERE id = $1 FOR KEY SHARE")
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Like [`Store::share_lock_project`], given a branch of the project.
    pub(crate) async fn share_lock_project_of(
        tx: &mut Tx,
        branch: &BranchId,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "SELECT FROM projects WHERE id = (SELECT project_id FROM branches WHERE id = $1) FOR KEY SHARE",
        )
        .bind(branch.as_str())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// One page of projects, in the order of their creation.
    pub(crate) async fn projects(
        &self,
        query: &ProjectQuery,
    ) -> Result<Vec<ProjectRow>, StoreError> {
        // Separate statements, so that each can use its own index.
        let sql = if query.deleted_since.is_some() {
            "SELECT * FROM projects WHERE deleted_at_us IS NOT NULL AND deleted_at_us >= $5 AND number > $1
                 AND ($3::text IS NULL OR strpos(lower(name), lower($3)) > 0 OR strpos(id, lower($3)) > 0)
                 AND ($4::text IS NULL OR org_id = $4)
             ORDER BY number LIMIT $2"
        } else {
            "SELECT * FROM projects WHERE deleted_at_us IS NULL AND $5::bigint IS NULL AND number > $1
                 AND ($3::text IS NULL OR strpos(lower(name), lower($3)) > 0 OR strpos(id, lower($3)) > 0)
                 AND ($4::text IS NULL OR org_id = $4)
             ORDER BY number LIMIT $2"
        };
        Ok(sqlx::query_as(sql)
            .bind(query.after)
            .bind(query.limit)
            .bind(&query.search)
            .bind(query.org_id.as_ref().map(OrgId::as_str))
            .bind(query.deleted_since)
            .fetch_all(self.pool())
            .await?)
    }

    /// All projects, including deleted ones.
    pub(crate) async fn all_projects(&self) -> Result<Vec<ProjectRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM projects ORDER BY number")
            .fetch_all(self.pool())
            .await?)
    }

    /// The organizations with at least one project.
    pub(crate) async fn organizations(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT org_id FROM projects WHERE org_id IS NOT NULL ORDER BY org_id",
        )
        .fetch_all(self.pool())
        .await?)
    }

    /// The projects of an organization, newest first.
    pub(crate) async fn projects_in_organization(
        &self,
        organization: &str,
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM projects WHERE org_id = $1 AND deleted_at_us IS NULL ORDER BY number DESC",
        )
        .bind(organization)
        .fetch_all(self.pool())
        .await?)
    }

    /// Number of projects that are not deleted, in total and in an organization (or without one).
    pub(crate) async fn count_projects(
        tx: &mut Tx,
        organization: Option<&str>,
    ) -> Result<ExistingProjects, StoreError> {
        // Creations are serialized here, so that two of them cannot both use the last slot below
        // the limit.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('neon_emulator.projects_limit'))")
            .execute(&mut **tx)
            .await?;
        Ok(sqlx::query_as(
            "SELECT count(*) AS total, count(*) FILTER (WHERE org_id IS NOT DISTINCT FROM $1) AS in_organization
             FROM projects WHERE deleted_at_us IS NULL",
        )
        .bind(organization)
        .fetch_one(&mut **tx)
        .await?)
    }

    /// Updates a project's mutable columns.
    pub(crate) async fn save_project(tx: &mut Tx, row: &ProjectRow) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE projects SET name = $2, settings = $3, default_endpoint_settings = $4, history_retention_seconds = $5,
                 updated_at_us = $6, deleted_at_us = $7
             WHERE id = $1",
        )
        .bind(&row.id)
        .bind(&row.name)
        .bind(&row.settings)
        .bind(&row.default_endpoint_settings)
        .bind(row.history_retention_seconds)
        .bind(row.updated_at_us)
        .bind(row.deleted_at_us)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Locks a project that was deleted at or after `since`.
    pub(crate) async fn lock_deleted_project(
        tx: &mut Tx,
        id: &ProjectId,
        since: Micros,
    ) -> Result<ProjectRow, StoreError> {
        sqlx::query_as("SELECT * FROM projects WHERE id = $1 AND deleted_at_us >= $2 FOR UPDATE")
            .bind(id.as_str())
            .bind(since)
            .fetch_optional(&mut **tx)
            .await?
            .ok_or(StoreError::NotFound("deleted project"))
    }

    /// Locks a project that was deleted before this moment and can no longer be recovered.
    pub(crate) async fn lock_expired_project(
        tx: &mut Tx,
        before: Micros,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM projects WHERE deleted_at_us < $1 ORDER BY deleted_at_us LIMIT 1 FOR UPDATE SKIP LOCKED",
        )
        .bind(before)
        .fetch_optional(&mut **tx)
        .await?)
    }

    pub(crate) async fn purge_project(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM projects WHERE id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Deletes all projects without the possibility of recovery, and records the spare databases as
    /// garbage.
    pub(crate) async fn delete_everything(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE projects SET deleted_at_us = 0")
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "WITH spare AS (DELETE FROM spare_databases RETURNING name)
             INSERT INTO garbage (kind, name) SELECT 'database', name FROM spare",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// All passwords that were ever issued.
    pub(crate) async fn issued_passwords(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT password FROM issued_passwords ORDER BY issued_at_us, password",
        )
        .fetch_all(self.pool())
        .await?)
    }
}
