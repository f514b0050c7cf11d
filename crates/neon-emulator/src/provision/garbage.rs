//! Removes databases and roles that are no longer reachable.
//!
//! A change that makes objects unreachable records their names in its own transaction. The objects
//! are dropped after the transaction and by every purge, so that a crash in between leaves nothing
//! behind permanently.

use sqlx::{ConnectOptions, Connection};

use super::{ProvisionError, Provisioner, execute, sql_roles};
use crate::clock::Micros;
use crate::store::{GarbageKind, Store, connect_options};

/// The SQLSTATE for a role that other objects depend on.
const DEPENDENT_OBJECTS: &str = "2BP01";

impl Provisioner {
    /// Drops the recorded objects. Databases come first, because roles own them.
    pub(crate) async fn drop_garbage(&self) -> Result<(), ProvisionError> {
        let mut admin = self.admin.acquire().await?;
        let garbage: Vec<(i64, GarbageKind, String)> =
            sqlx::query_as("SELECT number, kind, name FROM garbage ORDER BY kind, number")
                .fetch_all(self.store.pool())
                .await?;
        for (number, kind, name) in garbage {
            if kind == GarbageKind::Role
                && self.has_sql_roles
                && !is_dropped(sql_roles::drop_administered(&mut admin, &name).await)?
            {
                continue;
            }
            let statement = match kind {
                GarbageKind::Database => format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
                GarbageKind::Role => format!("DROP ROLE IF EXISTS \"{name}\""),
            };
            if !is_dropped(execute(&mut admin, statement).await)? {
                continue;
            }
            sqlx::query("DELETE FROM garbage WHERE number = $1")
                .bind(number)
                .execute(self.store.pool())
                .await?;
        }
        Ok(())
    }

    /// Deletes branches and projects that were deleted before this moment, including their
    /// databases and roles. Returns the number of purged projects.
    pub(crate) async fn purge(&self, deleted_before: Micros) -> Result<u64, ProvisionError> {
        let mut purged = 0;
        loop {
            let mut tx = self.store.begin().await?;
            let Some(project) = Store::lock_expired_project(&mut tx, deleted_before).await? else {
                break;
            };
            let id = project.parse().map_err(crate::store::StoreError::corrupt)?;
            let mut branches = Store::lock_branches(&mut tx, &id).await?;
            branches.extend(Store::lock_hidden_branches(&mut tx, &id).await?);
            for branch in branches {
                Store::purge_branch(&mut tx, &branch.branch_id()?).await?;
            }
            Store::purge_project(&mut tx, &project).await?;
            tx.commit().await?;
            purged += 1;
        }
        let mut tx = self.store.begin().await?;
        for branch in Store::unrecoverable_branches(&mut tx, deleted_before).await? {
            let branch = branch.parse().map_err(crate::store::StoreError::corrupt)?;
            Store::purge_branch(&mut tx, &branch).await?;
        }
        tx.commit().await?;
        self.drop_garbage().await?;
        Ok(purged)
    }

    /// Deletes all projects, and drops their databases and roles and the spare databases.
    pub(crate) async fn delete_all(&self) -> Result<(), ProvisionError> {
        self.store.delete_everything().await?;
        self.purge(Micros::MAX).await?;
        Ok(())
    }

    /// Removes all privileges and ownerships of a role in the databases of its branch, so that it
    /// can be dropped. Its objects are reassigned to the owner of each database.
    pub(crate) async fn revoke_ownership(
        &self,
        role: &str,
        databases: &[(String, String)],
    ) -> Result<(), ProvisionError> {
        for (database, owner) in databases {
            let mut connection = self.connect_to(database).await?;
            execute(
                &mut connection,
                format!("REASSIGN OWNED BY \"{role}\" TO \"{owner}\"; DROP OWNED BY \"{role}\""),
            )
            .await?;
            sqlx::Connection::close(connection).await?;
        }
        Ok(())
    }
}

/// Whether a statement dropped something. If not, the dependent objects are recorded too, or will be;
/// the next call finds them.
fn is_dropped(result: Result<(), sqlx::Error>) -> Result<bool, sqlx::Error> {
    match result {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(DEPENDENT_OBJECTS) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Drops a database, if it exists.
pub(crate) async fn drop_database(uri: &str, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect_options(uri)?.connect().await?;
    execute(
        &mut connection,
        format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
    )
    .await?;
    connection.close().await
}
