//! Snapshots. The contents of a snapshot are those of a hidden branch.

use neon_client::ids::{BranchId, ProjectId};

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct SnapshotRow {
    pub(crate) id: String,
    pub(crate) project_id: String,
    /// The hidden branch.
    pub(crate) branch_id: String,
    pub(crate) name: String,
    pub(crate) source_branch_id: String,
    pub(crate) full_size: i64,
    pub(crate) created_at_us: Micros,
    pub(crate) expires_at_us: Option<Micros>,
}

impl SnapshotRow {
    pub(crate) fn hidden_branch(&self) -> Result<BranchId, StoreError> {
        self.branch_id.parse().map_err(StoreError::corrupt)
    }
}

impl Store {
    /// The snapshots of a project, oldest first.
    pub(crate) async fn snapshots(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<SnapshotRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM snapshots WHERE project_id = $1 ORDER BY created_at_us, id",
        )
        .bind(project.as_str())
        .fetch_all(self.pool())
        .await?)
    }

    pub(crate) async fn lock_snapshots(
        tx: &mut Tx,
        project: &ProjectId,
    ) -> Result<Vec<SnapshotRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM snapshots WHERE project_id = $1 ORDER BY id FOR UPDATE")
                .bind(project.as_str())
                .fetch_all(&mut **tx)
                .await?,
        )
    }

    /// Inserts a snapshot, whose hidden branch exists, or updates its name.
    pub(crate) async fn save_snapshot(tx: &mut Tx, row: &SnapshotRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO snapshots (id, project_id, branch_id, name, source_branch_id, full_size, created_at_us, expires_at_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET name = $4",
        )
        .bind(&row.id)
        .bind(&row.project_id)
        .bind(&row.branch_id)
        .bind(&row.name)
        .bind(&row.source_branch_id)
        .bind(row.full_size)
        .bind(row.created_at_us)
        .bind(row.expires_at_us)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Hides a branch, which becomes the contents of a snapshot.
    pub(crate) async fn hide_branch(tx: &mut Tx, branch: &BranchId) -> Result<(), StoreError> {
        sqlx::query("UPDATE branches SET is_snapshot = true WHERE id = $1")
            .bind(branch.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Deletes the snapshots that expired up to a moment, and records their contents as garbage.
    pub(crate) async fn delete_expired_snapshots(&self, now: Micros) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let expired: Vec<SnapshotRow> = sqlx::query_as(
            "SELECT * FROM snapshots WHERE expires_at_us <= $1 ORDER BY id FOR UPDATE SKIP LOCKED",
        )
        .bind(now)
        .fetch_all(&mut *tx)
        .await?;
        for snapshot in &expired {
            Self::purge_branch(&mut tx, &snapshot.hidden_branch()?).await?;
        }
        tx.commit().await?;
        Ok(!expired.is_empty())
    }
}
