//! Deletes a document: its rows in the tenant's database, then its file, and its own row last, so
//! that until everything is deleted a row records what is left to delete.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tracing::info;

use super::context::{Checkpoint, IngestContext};
use super::lock::lock_document;
use crate::ask::threads;
use crate::documents::{self, DeleteDocument, DiscardText, DocumentStatus};
use crate::domain::{Workspace, WorkspaceState};
use crate::ids::{DocumentId, WorkspaceId};
use crate::jobs::{self, Attempt, Job, JobError, JobHandler};
use crate::tenants::Unavailable;
use crate::workspaces;

impl JobHandler for DeleteDocument {
    type Context = IngestContext;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let deps = context.deps();
        let retry = |error: sqlx::Error| JobError::with_backoff(attempt, error);
        let Some(workspace) = workspaces::store::find(&deps.database, &self.workspace)
            .await
            .map_err(retry)?
        else {
            return Ok(());
        };
        let row = documents::find(&deps.database, &self.workspace, self.document)
            .await
            .map_err(retry)?;
        let Some(row) = row.filter(|row| row.state == DocumentStatus::Deleting) else {
            return Ok(());
        };
        if workspace.state == WorkspaceState::Deleting {
            // Deleting the workspace deletes the document as well.
            return Ok(());
        }
        delete_rows(&context, &workspace, self.document, attempt).await?;
        context.checkpoint(Checkpoint::RowsDeleted).await;
        let key = deps
            .objects
            .prefix(workspace.region.as_deref(), &workspace.id)
            .document(self.document);
        deps.objects
            .delete(&key)
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?;
        context.checkpoint(Checkpoint::FileDeleted).await;
        self.delete_row(&deps.database, workspace.region, row.upload_deadline)
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?;
        info!(document.id = %self.document, "document deleted");
        Ok(())
    }
}

impl JobHandler for DiscardText {
    type Context = IngestContext;

    /// Does not run at the same time as an ingestion of the document, which has the same queue.
    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let database = &context.deps().database;
        let retry = |error: sqlx::Error| JobError::with_backoff(attempt, error);
        let workspace = workspaces::store::find(database, &self.workspace)
            .await
            .map_err(retry)?;
        let row = documents::find(database, &self.workspace, self.document)
            .await
            .map_err(retry)?;
        let (Some(workspace), Some(row)) = (workspace, row) else {
            return Ok(());
        };
        // Another ingestion may have been requested since the cancellation.
        let is_cancelled = matches!(row.state, DocumentStatus::Failed(_));
        if workspace.state == WorkspaceState::Deleting || !is_cancelled || row.page_count.is_some()
        {
            return Ok(());
        }
        delete_rows(&context, &workspace, self.document, attempt).await
    }
}

async fn delete_rows(
    context: &IngestContext,
    workspace: &Workspace,
    document: DocumentId,
    attempt: Attempt,
) -> Result<(), JobError> {
    let connection = match context.deps().tenants.open(workspace).await {
        Ok(connection) => connection,
        // The rows were deleted together with the database.
        Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
        // The database was never available, so it has no rows.
        Err(_) if workspace.available_at.is_none() => return Ok(()),
        Err(reason) => return Err(JobError::with_backoff(attempt, reason)),
    };
    let deleted = async {
        // An ingestion that is about to commit holds this lock: either its rows are visible once
        // the lock is acquired, or it will not write any.
        let mut transaction = lock_document(connection.pool(), document).await?;
        for statement in [
            "DELETE FROM embedding_drafts WHERE document_id = $1",
            "DELETE FROM documents WHERE id = $1",
        ] {
            sqlx::query(statement)
                .bind(document.0)
                .persistent(false)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        // Answers must not quote the document any more. In a full database, this update needs the
        // space that the deletion above has freed.
        let mut transaction = lock_document(connection.pool(), document).await?;
        threads::clear_quotes_of_document(&mut *transaction, document).await?;
        transaction.commit().await
    };
    if let Err(error) = deleted.await {
        return Err(context.failed_query(workspace, attempt, &error).await);
    }
    Ok(())
}

impl DeleteDocument {
    async fn delete_row(
        &self,
        database: &PgPool,
        region: Option<String>,
        upload_deadline: jiff::Timestamp,
    ) -> Result<(), jobs::QueueError> {
        let mut transaction = database.begin().await?;
        sqlx::query(
            "DELETE FROM documents WHERE workspace_id = $1 AND id = $2 AND state = 'deleting'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .execute(&mut *transaction)
        .await?;
        // A client that still has the presigned URL could upload the file again, to a key that no
        // row refers to.
        let remaining = upload_deadline.duration_since(jiff::Timestamp::now());
        if let Ok(remaining) = Duration::try_from(remaining)
            && !remaining.is_zero()
        {
            let job = DeleteOrphanedFile {
                workspace: self.workspace.clone(),
                document: self.document,
                region,
            };
            jobs::add_after(&mut *transaction, &job, remaining).await?;
        }
        documents::publish_change(&mut *transaction, &self.workspace, self.document).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Deletes a deleted document's file once more, after its last presigned URL has expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOrphanedFile {
    pub workspace: WorkspaceId,
    pub document: DocumentId,
    /// The workspace's region, which determines the bucket. Part of the job because the workspace
    /// may be deleted by then.
    #[serde(default)]
    pub region: Option<String>,
}

impl Job for DeleteOrphanedFile {
    const NAME: &'static str = "delete_orphaned_file";

    fn key(&self) -> String {
        format!("orphaned-file:{}", self.document)
    }
}

impl JobHandler for DeleteOrphanedFile {
    type Context = IngestContext;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let deps = context.deps();
        let key = deps
            .objects
            .prefix(self.region.as_deref(), &self.workspace)
            .document(self.document);
        deps.objects
            .delete(&key)
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?;
        Ok(())
    }
}
