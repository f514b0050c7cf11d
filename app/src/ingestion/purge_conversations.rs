//! Permanently deletes a workspace's deleted conversations once they can no longer be restored.

use super::context::IngestContext;
use crate::ask::threads::{self, PurgeConversations};
use crate::jobs::{Attempt, JobError, JobHandler};
use crate::tenants::{Unavailable, lacks_migration};
use crate::workspaces;

impl JobHandler for PurgeConversations {
    type Context = IngestContext;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let retry = |error: sqlx::Error| JobError::with_backoff(attempt, error);
        let Some(workspace) = workspaces::store::find(&context.deps().database, &self.workspace)
            .await
            .map_err(retry)?
        else {
            return Ok(());
        };
        let connection = match context.deps().tenants.open(&workspace).await {
            Ok(connection) => connection,
            // The conversations are gone with their database.
            Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
            Err(reason) => return Err(JobError::with_backoff(attempt, reason)),
        };
        match threads::purge_deleted(connection.pool()).await {
            Ok(0) => {}
            Ok(conversations) => {
                tracing::info!(workspace.id = %workspace.id, conversations, "deleted conversations");
            }
            // Deletions were final before the migration.
            Err(error) if lacks_migration(&error) => {}
            Err(error) => return Err(context.failed_query(&workspace, attempt, &error).await),
        }
        Ok(())
    }
}
