//! Databases made in advance.
//!
//! Making a database copies some 300 files, which costs the server far more than everything else a new project does. A
//! benchmark of what stands before the emulator would measure that. With databases in stock a first connection only
//! renames one. A stock is not refilled: that would be the same work at the wrong time.

use futures::stream::{self, StreamExt, TryStreamExt};
use sqlx::AssertSqlSafe;

use super::{PROVISIONING_MAX, ProvisionError, Provisioner, execute};
use crate::store::Tx;

/// PostgreSQL's word for a database that does not exist.
const NO_SUCH_DATABASE: &str = "3D000";

impl Provisioner {
    /// Makes databases until so many are in stock.
    pub(crate) async fn stock(&self, wanted: u32) -> Result<(), ProvisionError> {
        let there: i64 = sqlx::query_scalar("SELECT count(*) FROM spare_databases")
            .fetch_one(self.store.pool())
            .await?;
        let missing = u64::from(wanted).saturating_sub(there.unsigned_abs());
        stream::iter(0..missing)
            .map(|_| self.make_spare())
            .buffer_unordered(PROVISIONING_MAX as usize)
            .try_collect()
            .await
    }

    async fn make_spare(&self) -> Result<(), ProvisionError> {
        let name = format!("spare_{}", uuid::Uuid::new_v4().simple());
        let mut admin = self.admin.acquire().await?;
        execute(&mut admin, self.create_statement(&name, None)).await?;
        sqlx::query("INSERT INTO spare_databases (name) VALUES ($1)")
            .bind(&name)
            .execute(self.store.pool())
            .await?;
        Ok(())
    }

    /// Turns a database in stock into this one. Whether there was one.
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
                // It was renamed before, and the note of that was lost in a crash.
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
