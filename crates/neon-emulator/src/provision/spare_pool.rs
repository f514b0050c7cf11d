//! A pool of spare databases.
//!
//! Creating a database copies about 300 files, which takes PostgreSQL far longer than everything
//! else that a new project requires. A benchmark of the emulator's clients would measure mostly
//! that. With spare databases, a first connection only has to rename one. The pool is not refilled,
//! because that would cause the same load during the benchmark.

use futures::stream::{self, StreamExt, TryStreamExt};
use sqlx::AssertSqlSafe;

use super::{MAX_PROVISIONING, ProvisionError, Provisioner, execute};
use crate::store::Tx;

/// The SQLSTATE for a database that does not exist.
const NO_SUCH_DATABASE: &str = "3D000";

impl Provisioner {
    /// Creates spare databases until there are `target` of them.
    pub(crate) async fn fill_spare_pool(&self, target: u32) -> Result<(), ProvisionError> {
        let available: i64 = sqlx::query_scalar("SELECT count(*) FROM spare_databases")
            .fetch_one(self.store.pool())
            .await?;
        let missing = u64::from(target).saturating_sub(available.unsigned_abs());
        stream::iter(0..missing)
            .map(|_| self.create_spare())
            .buffer_unordered(MAX_PROVISIONING as usize)
            .try_collect()
            .await
    }

    async fn create_spare(&self) -> Result<(), ProvisionError> {
        let name = format!("spare_{}", uuid::Uuid::new_v4().simple());
        let mut admin = self.admin.acquire().await?;
        execute(&mut admin, self.create_statement(&name, None)).await?;
        sqlx::query("INSERT INTO spare_databases (name) VALUES ($1)")
            .bind(&name)
            .execute(self.store.pool())
            .await?;
        Ok(())
    }

    /// Turns a spare database into the database `name`. Returns `false` if there is none.
    pub(super) async fn take_spare(
        &self,
        admin: &mut sqlx::PgConnection,
        tx: &mut Tx,
        name: &str,
        owner: &str,
    ) -> Result<bool, ProvisionError> {
        loop {
            let spare: Option<String> = sqlx::query_scalar(
                "DELETE FROM spare_databases WHERE name =
                     (SELECT name FROM spare_databases LIMIT 1 FOR UPDATE SKIP LOCKED)
                 RETURNING name",
            )
            .fetch_optional(&mut **tx)
            .await?;
            let Some(spare) = spare else { return Ok(false) };
            let rename = format!("ALTER DATABASE \"{spare}\" RENAME TO \"{name}\"");
            match sqlx::raw_sql(AssertSqlSafe(rename))
                .execute(&mut *admin)
                .await
            {
                Ok(_) => {}
                // The database was renamed, but the transaction that recorded this was lost in a
                // crash.
                Err(sqlx::Error::Database(error))
                    if error.code().as_deref() == Some(NO_SUCH_DATABASE) =>
                {
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            execute(
                admin,
                format!("ALTER DATABASE \"{name}\" OWNER TO \"{owner}\""),
            )
            .await?;
            return Ok(true);
        }
    }
}
