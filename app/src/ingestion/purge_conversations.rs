//! Permanently deletes conversations: those that users deleted, once they can no longer be restored,
//! and the private ones of users who are no longer members.

use sqlx::PgPool;

use super::context::IngestContext;
use crate::ask::threads::{self, DeletePrivateConversations, PurgeConversations};
use crate::ids::WorkspaceId;
use crate::jobs::{Attempt, JobError, JobHandler};
use crate::tenants::{Unavailable, lacks_migration};
use crate::workspaces;

impl JobHandler for PurgeConversations {
    type Context = IngestContext;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        delete(&context, &self.workspace, attempt, async |database| {
            threads::purge_deleted(database).await
        })
        .await
    }
}

impl JobHandler for DeletePrivateConversations {
    type Context = IngestContext;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let database = &context.deps().database;
        let is_member = workspaces::store::for_member(database, self.user, &self.workspace)
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?
            .is_some();
        if is_member {
            return Ok(());
        }
        delete(&context, &self.workspace, attempt, async |database| {
            threads::delete_private(database, self.user).await
        })
        .await
    }
}

/// Runs a deletion, which returns the number of conversations, on the workspace's database.
async fn delete(
    context: &IngestContext,
    workspace: &WorkspaceId,
    attempt: Attempt,
    deletion: impl AsyncFnOnce(&PgPool) -> Result<u64, sqlx::Error>,
) -> Result<(), JobError> {
    let Some(workspace) = workspaces::store::find(&context.deps().database, workspace)
        .await
        .map_err(|error| JobError::with_backoff(attempt, error))?
    else {
        return Ok(());
    };
    let connection = match context.deps().tenants.open(&workspace).await {
        Ok(connection) => connection,
        // The conversations are gone with their database.
        Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
        Err(reason) => return Err(JobError::with_backoff(attempt, reason)),
    };
    match deletion(connection.pool()).await {
        Ok(0) => {}
        Ok(conversations) => {
            tracing::info!(workspace.id = %workspace.id, conversations, "deleted conversations");
        }
        // Before the migration, deletions were final, and all conversations were shared.
        Err(error) if lacks_migration(&error) => {}
        Err(error) => return Err(context.failed_query(&workspace, attempt, &error).await),
    }
    Ok(())
}
