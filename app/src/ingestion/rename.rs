//! Copies a new title to the tenant's database, where citations read it.

use super::context::IngestContext;
use super::lock::lock_document;
use crate::documents::{self, RenameDocument};
use crate::jobs::{Attempt, JobError, JobHandler};
use crate::tenants::Unavailable;
use crate::workspaces;

impl JobHandler for RenameDocument {
    type Context = IngestContext;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let database = &context.deps().database;
        let retry = |error: sqlx::Error| JobError::with_backoff(attempt, error);
        let Some(workspace) = workspaces::store::find(database, &self.workspace)
            .await
            .map_err(retry)?
        else {
            return Ok(());
        };
        let connection = match context.deps().tenants.open(&workspace).await {
            Ok(connection) => connection,
            // There is no row to rename; a later ingestion stores the title of that time.
            Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
            Err(reason) => return Err(JobError::with_backoff(attempt, reason)),
        };
        let renamed = async {
            let mut transaction = lock_document(connection.pool(), self.document).await?;
            // Read under the lock, so that the later of two concurrent renames wins.
            let Some(row) = documents::find(database, &self.workspace, self.document).await? else {
                return Ok(());
            };
            sqlx::query(
                "UPDATE documents SET title = $2, updated_at = now() WHERE id = $1 AND title <> $2",
            )
            .bind(self.document.0)
            .bind(&row.title)
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        if let Err(error) = renamed.await {
            return Err(context.failed_query(&workspace, attempt, &error).await);
        }
        Ok(())
    }
}
