//! The end of databases and roles that nobody can reach any more.
//!
//! A change that leaves some writes their names down in its own transaction; they are dropped after it, and by every purge, so that a
//! crash between the two leaves nothing for ever.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::{ProvisionError, Provisioner, execute};
use crate::clock::Micros;
use crate::store::{Store, connect_options};

/// PostgreSQL's word for a role that something still depends on.
const DEPENDENT_OBJECTS: &str = "2BP01";

impl Provisioner {
    /// Drops what is doomed: databases first, because roles own them.
    pub(crate) async fn bury(&self) -> Result<(), ProvisionError> {
        let mut admin = self.admin.acquire().await?;
        let doomed: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT number, kind, name FROM doomed ORDER BY kind, number")
                .fetch_all(self.store.pool())
                .await?;
        for (number, kind, name) in doomed {
            let statement = match kind.as_str() {
                "database" => format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
                _ => format!("DROP ROLE IF EXISTS \"{name}\""),
            };
            match sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut *admin)
                .await
            {
                Ok(_) => {}
                // What it is still needed for is doomed too, or will be: the next burial finds it.
                Err(sqlx::Error::Database(error))
                    if error.code().as_deref() == Some(DEPENDENT_OBJECTS) =>
                {
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            sqlx::query("DELETE FROM doomed WHERE number = $1")
                .bind(number)
                .execute(self.store.pool())
                .await?;
        }
        Ok(())
    }

    /// Forgets branches and projects that were deleted before this moment, and drops what belonged to them. Returns how many projects.
    pub(crate) async fn purge(&self, deleted_before: Micros) -> Result<u64, ProvisionError> {
        let mut purged = 0;
        loop {
            let mut tx = self.store.begin().await?;
            let Some(project) = Store::lock_expired_project(&mut tx, deleted_before).await? else {
                break;
            };
            let id = project.parse().map_err(crate::store::StoreError::corrupt)?;
            for branch in Store::lock_branches(&mut tx, &id).await? {
                Store::forget_branch(&mut tx, &branch.branch_id()?).await?;
            }
            Store::forget_project(&mut tx, &project).await?;
            tx.commit().await?;
            purged += 1;
        }
        let mut tx = self.store.begin().await?;
        for branch in Store::unrecoverable_branches(&mut tx, deleted_before).await? {
            let branch = branch.parse().map_err(crate::store::StoreError::corrupt)?;
            Store::forget_branch(&mut tx, &branch).await?;
        }
        tx.commit().await?;
        self.bury().await?;
        Ok(purged)
    }

    /// Drops the databases and roles of all projects, and those in stock, for good.
    pub(crate) async fn erase(&self) -> Result<(), ProvisionError> {
        self.store.delete_everything().await?;
        self.purge(Micros::MAX).await?;
        Ok(())
    }

    /// Takes everything away that a role owns or may do in the databases of its branch, so that it can be dropped. What it owned belongs
    /// to each database's owner then.
    pub(crate) async fn disown(
        &self,
        role: &str,
        databases: &[(String, String)],
    ) -> Result<(), ProvisionError> {
        for (database, owner) in databases {
            let mut inside = self.inside(database).await?;
            execute(
                &mut inside,
                format!("REASSIGN OWNED BY \"{role}\" TO \"{owner}\"; DROP OWNED BY \"{role}\""),
            )
            .await?;
            sqlx::Connection::close(inside).await?;
        }
        Ok(())
    }
}

/// Drops a database of a server, if it is there.
pub(crate) async fn drop_database(uri: &str, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect_options(uri)?.connect().await?;
    execute(
        &mut connection,
        format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
    )
    .await?;
    connection.close().await
}
