use neon_client::ids::{BranchId, DatabaseName, ProjectId, RoleName};

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct DatabaseRow {
    pub(crate) number: i64,
    pub(crate) branch_id: String,
    pub(crate) name: String,
    pub(crate) owner_name: String,
    pub(crate) provisioned_at_us: Option<Micros>,
    pub(crate) physical_name: Option<String>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

/// A physical object that is to be dropped. Databases come before the roles that own them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum GarbageKind {
    Database,
    Role,
}

impl DatabaseRow {
    /// The physical name in PostgreSQL.
    pub(crate) fn physical_name(&self) -> String {
        self.physical_name
            .clone()
            .unwrap_or_else(|| format!("db_{}_{}", self.branch_id, self.number))
    }
}

impl Store {
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

    /// Locks the databases of a branch.
    pub(crate) async fn lock_databases(
        tx: &mut Tx,
        branch: &BranchId,
    ) -> Result<Vec<DatabaseRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT * FROM databases WHERE branch_id = $1 ORDER BY number FOR UPDATE",
        )
        .bind(branch.as_str())
        .fetch_all(&mut **tx)
        .await?)
    }

    pub(crate) async fn database(
        &self,
        branch: &BranchId,
        name: &DatabaseName,
    ) -> Result<DatabaseRow, StoreError> {
        sqlx::query_as("SELECT * FROM databases WHERE branch_id = $1 AND name = $2")
            .bind(branch.as_str())
            .bind(name.as_str())
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("database"))
    }

    pub(crate) async fn insert_database(
        tx: &mut Tx,
        project: &ProjectId,
        branch: &BranchId,
        name: &DatabaseName,
        owner: &RoleName,
        now: Micros,
    ) -> Result<DatabaseRow, StoreError> {
        Ok(sqlx::query_as(
            "INSERT INTO databases (project_id, branch_id, name, owner_name, created_at_us, updated_at_us)
             VALUES ($1, $2, $3, $4, $5, $5) RETURNING *",
        )
        .bind(project.as_str())
        .bind(branch.as_str())
        .bind(name.as_str())
        .bind(owner.as_str())
        .bind(now)
        .fetch_one(&mut **tx)
        .await?)
    }

    /// Updates a database's mutable columns.
    pub(crate) async fn save_database(tx: &mut Tx, row: &DatabaseRow) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE databases SET name = $2, owner_name = $3, updated_at_us = $4, provisioned_at_us = $5 WHERE number = $1",
        )
        .bind(row.number)
        .bind(&row.name)
        .bind(&row.owner_name)
        .bind(row.updated_at_us)
        .bind(row.provisioned_at_us)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Deletes a database, and records the physical one as garbage.
    pub(crate) async fn discard_database(tx: &mut Tx, row: &DatabaseRow) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM databases WHERE number = $1")
            .bind(row.number)
            .execute(&mut **tx)
            .await?;
        if row.provisioned_at_us.is_some() {
            Self::record_garbage(tx, GarbageKind::Database, &row.physical_name()).await?;
        }
        Ok(())
    }

    /// Records a physical database or role that is to be dropped.
    pub(crate) async fn record_garbage(
        tx: &mut Tx,
        kind: GarbageKind,
        name: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO garbage (kind, name) VALUES ($1, $2)")
            .bind(kind)
            .bind(name)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
