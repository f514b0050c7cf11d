//! Branches and their contents (roles and databases).

use neon_client::ids::{BranchId, ProjectId};

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct BranchRow {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) parent_at_us: Option<Micros>,
    pub(crate) name: String,
    pub(crate) is_default: bool,
    pub(crate) protected: bool,
    pub(crate) init_source: String,
    pub(crate) expires_at_us: Option<Micros>,
    pub(crate) expires_set_us: Option<Micros>,
    pub(crate) last_reset_us: Option<Micros>,
    pub(crate) restored_from: Option<String>,
    /// The branch that this one, restored from a snapshot, will replace.
    pub(crate) restored_as: Option<String>,
    pub(crate) ready_at_us: Micros,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
    pub(crate) deleted_at_us: Option<Micros>,
    pub(crate) deleted_by: Option<DeletionMethod>,
}

impl BranchRow {
    pub(crate) fn branch_id(&self) -> Result<BranchId, StoreError> {
        self.id.parse().map_err(StoreError::corrupt)
    }
}

/// How a branch was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum DeletionMethod {
    User,
    Ttl,
}

impl DeletionMethod {
    /// The value of `deletion_method` in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ttl => "ttl",
        }
    }
}

/// Which deleted branches a query includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeletedBranches {
    Exclude,
    /// Include branches that were deleted at or after this moment.
    IncludeSince(Micros),
}

impl Store {
    /// The branches of a project, the default branch first.
    pub(crate) async fn branches(&self, project: &ProjectId) -> Result<Vec<BranchRow>, StoreError> {
        self.branches_with(project, DeletedBranches::Exclude).await
    }

    /// The branches of a project, optionally including recoverable ones.
    pub(crate) async fn branches_with(
        &self,
        project: &ProjectId,
        deleted: DeletedBranches,
    ) -> Result<Vec<BranchRow>, StoreError> {
        let since = match deleted {
            DeletedBranches::Exclude => Micros::MAX,
            DeletedBranches::IncludeSince(since) => since,
        };
        Ok(sqlx::query_as(
            "SELECT * FROM branches WHERE project_id = $1 AND NOT is_snapshot AND (deleted_at_us IS NULL OR deleted_at_us >= $2)
             ORDER BY is_default DESC, created_at_us, id",
        )
        .bind(project.as_str())
        .bind(since)
        .fetch_all(self.pool())
        .await?)
    }

    pub(crate) async fn branch(
        &self,
        project: &ProjectId,
        id: &BranchId,
    ) -> Result<BranchRow, StoreError> {
        sqlx::query_as(
            "SELECT * FROM branches WHERE project_id = $1 AND id = $2 AND NOT is_snapshot AND deleted_at_us IS NULL",
        )
        .bind(project.as_str())
        .bind(id.as_str())
        .fetch_optional(self.pool())
        .await?
        .ok_or(StoreError::NotFound("branch"))
    }

    /// Locks all branches of a project, including deleted ones.
    pub(crate) async fn lock_branches(
        tx: &mut Tx,
        project: &ProjectId,
    ) -> Result<Vec<BranchRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM branches WHERE project_id = $1 AND NOT is_snapshot ORDER BY id FOR UPDATE",
        )
        .bind(project.as_str())
        .fetch_all(&mut **tx)
        .await?)
    }

    /// Locks the hidden branches of a project, which hold the contents of its snapshots.
    pub(crate) async fn lock_hidden_branches(
        tx: &mut Tx,
        project: &ProjectId,
    ) -> Result<Vec<BranchRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM branches WHERE project_id = $1 AND is_snapshot ORDER BY id FOR UPDATE",
        )
        .bind(project.as_str())
        .fetch_all(&mut **tx)
        .await?)
    }

    /// Inserts a branch or updates its mutable columns.
    pub(crate) async fn save_branch(tx: &mut Tx, row: &BranchRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO branches (id, project_id, parent_id, parent_at_us, name, is_default, protected, init_source, expires_at_us,
                 expires_set_us, last_reset_us, restored_from, ready_at_us, created_at_us, updated_at_us, deleted_at_us, deleted_by,
                 restored_as)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             ON CONFLICT (id) DO UPDATE SET parent_id = $3, parent_at_us = $4, name = $5, is_default = $6, protected = $7,
                 init_source = $8, expires_at_us = $9, expires_set_us = $10, last_reset_us = $11, restored_from = $12,
                 ready_at_us = $13, updated_at_us = $15, deleted_at_us = $16, deleted_by = $17, restored_as = $18",
        )
        .bind(&row.id)
        .bind(&row.project_id)
        .bind(&row.parent_id)
        .bind(row.parent_at_us)
        .bind(&row.name)
        .bind(row.is_default)
        .bind(row.protected)
        .bind(&row.init_source)
        .bind(row.expires_at_us)
        .bind(row.expires_set_us)
        .bind(row.last_reset_us)
        .bind(&row.restored_from)
        .bind(row.ready_at_us)
        .bind(row.created_at_us)
        .bind(row.updated_at_us)
        .bind(row.deleted_at_us)
        .bind(row.deleted_by)
        .bind(&row.restored_as)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// The project and the ID of a branch whose `expires_at` has passed.
    pub(crate) async fn next_expired_branch(
        &self,
        now: Micros,
    ) -> Result<Option<(String, String)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT branch.project_id, branch.id FROM branches AS branch JOIN projects AS project ON project.id = branch.project_id
             WHERE branch.expires_at_us <= $1 AND branch.deleted_at_us IS NULL AND project.deleted_at_us IS NULL
                 AND project.busy_until_us <= $1
             ORDER BY branch.expires_at_us LIMIT 1",
        )
        .bind(now)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Moves all roles and databases to another branch. Their physical names do not change.
    pub(crate) async fn move_contents(
        tx: &mut Tx,
        from: &BranchId,
        to: &BranchId,
    ) -> Result<(), StoreError> {
        for sql in [
            "UPDATE roles SET branch_id = $2, physical_name = coalesce(physical_name, 'role_' || branch_id || '_' || number) WHERE branch_id = $1",
            "UPDATE databases SET branch_id = $2, physical_name = coalesce(physical_name, 'db_' || branch_id || '_' || number) WHERE branch_id = $1",
        ] {
            sqlx::query(sql)
                .bind(from.as_str())
                .bind(to.as_str())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// Deletes all roles and databases of a branch, and records the physical ones as garbage.
    pub(crate) async fn discard_contents(tx: &mut Tx, branch: &BranchId) -> Result<(), StoreError> {
        for sql in [
            "WITH deleted AS (DELETE FROM databases WHERE branch_id = $1 RETURNING *)
             INSERT INTO garbage (kind, name)
             SELECT 'database', coalesce(physical_name, 'db_' || branch_id || '_' || number) FROM deleted WHERE provisioned_at_us IS NOT NULL",
            "WITH deleted AS (DELETE FROM roles WHERE branch_id = $1 RETURNING *)
             INSERT INTO garbage (kind, name)
             SELECT 'role', coalesce(physical_name, 'role_' || branch_id || '_' || number) FROM deleted WHERE applied_password IS NOT NULL",
        ] {
            sqlx::query(sql)
                .bind(branch.as_str())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// Deletes a branch with its computes, roles and databases.
    pub(crate) async fn purge_branch(tx: &mut Tx, branch: &BranchId) -> Result<(), StoreError> {
        Self::discard_contents(tx, branch).await?;
        sqlx::query("DELETE FROM branches WHERE id = $1")
            .bind(branch.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Branches that were deleted before this moment and can no longer be recovered.
    pub(crate) async fn unrecoverable_branches(
        tx: &mut Tx,
        before: Micros,
    ) -> Result<Vec<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT id FROM branches WHERE deleted_at_us < $1 FOR UPDATE")
                .bind(before)
                .fetch_all(&mut **tx)
                .await?,
        )
    }
}
