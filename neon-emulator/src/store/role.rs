//! Roles with their passwords, and where a connection goes.

use neon::ids::{BranchId, EndpointId, RoleName};

use super::{Store, StoreError, Tx};
use crate::clock::Micros;

/// A role as it is written down.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct RoleRow {
    pub(crate) number: i64,
    pub(crate) branch_id: String,
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) old_password: Option<String>,
    pub(crate) password_from_us: Micros,
    pub(crate) applied_password: Option<String>,
    pub(crate) created_at_us: Micros,
    pub(crate) updated_at_us: Micros,
}

impl RoleRow {
    /// The password that opens a database at this moment.
    pub(crate) fn password_at(&self, now: Micros) -> &str {
        match &self.old_password {
            Some(old) if now < self.password_from_us => old,
            _ => &self.password,
        }
    }
}

/// What the endpoint of a connection leads to.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Route {
    pub(crate) project_id: String,
    pub(crate) branch_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) disabled: bool,
    pub(crate) ready_at_us: Micros,
}

impl Store {
    /// The roles of a branch.
    pub(crate) async fn roles(&self, branch: &BranchId) -> Result<Vec<RoleRow>, StoreError> {
        Ok(
            sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 ORDER BY number")
                .bind(branch.as_str())
                .fetch_all(self.pool())
                .await?,
        )
    }

    /// One role.
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

    /// One role, held for a change.
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

    /// Gives a role a new password that holds from a moment on; until then the one before does.
    pub(crate) async fn set_password(
        tx: &mut Tx,
        role: &RoleRow,
        password: &str,
        now: Micros,
        holds_from: Micros,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE roles SET old_password = $2, password = $3, password_from_us = $4, updated_at_us = $5 WHERE number = $1",
        )
        .bind(role.number)
        .bind(role.password_at(now))
        .bind(password)
        .bind(holds_from)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Remembers that a password was given out, so that tests can look for it where it must not be.
    pub(crate) async fn note_password(
        tx: &mut Tx,
        password: &str,
        now: Micros,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO passwords_given (password, given_at_us) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(password)
            .bind(now)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Where connections to an endpoint go, unless its project is deleted.
    pub(crate) async fn route(&self, endpoint: &EndpointId) -> Result<Option<Route>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT project.id AS project_id, endpoint.branch_id, endpoint.id AS endpoint_id, endpoint.disabled,
                 endpoint.ready_at_us
             FROM endpoints AS endpoint JOIN projects AS project ON project.id = endpoint.project_id
             WHERE endpoint.id = $1 AND project.deleted_at_us IS NULL",
        )
        .bind(endpoint.as_str())
        .fetch_optional(self.pool())
        .await?)
    }
}
