//! User actions on documents. Each changes the row and enqueues the job that carries it out, in one
//! transaction.

use sqlx::{PgConnection, PgPool};

use super::jobs::{DeleteDocument, DiscardText, Ingest, RenameDocument};
use super::row::{DocumentPhase, publish_change};
use super::{IngestError, SystemFailure, Title};
use crate::ids::{DocumentId, WorkspaceId};
use crate::jobs;

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the document does not exist")]
    NotFound,
    /// The document's file is not stored, so it cannot be ingested.
    #[error("the document's file is not stored")]
    FileMissing,
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to enqueue the job")]
    Queue(#[from] jobs::QueueError),
}

/// Cancels work in progress. A pending upload is deleted together with its row. An ingestion stops
/// but the file stays, and results of an earlier ingestion stay in use. A document that is not
/// being worked on is left unchanged.
pub async fn cancel(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let row = lock(&mut transaction, workspace, document).await?;
    match row.state {
        DocumentPhase::Uploading => start_deletion(&mut transaction, workspace, document).await?,
        DocumentPhase::Queued | DocumentPhase::Working => {
            sqlx::query(
                "UPDATE documents
                 SET state = CASE WHEN page_count IS NULL THEN 'failed' ELSE 'ready' END::document_state,
                     failure = CASE WHEN page_count IS NULL THEN $3 END,
                     revision = revision + 1, claim = NULL, step = NULL, percent = NULL, blocked_on = NULL, retry_at = NULL,
                     updated_at = now()
                 WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.as_str())
            .bind(document.0)
            .bind(IngestError::System(SystemFailure::Cancelled))
            .execute(&mut *transaction)
            .await?;
            jobs::cancel(&mut *transaction, &Ingest::job_key(document)).await?;
            if row.page_count.is_none() {
                let job = DiscardText {
                    workspace: workspace.clone(),
                    document,
                };
                jobs::add(&mut *transaction, &job).await?;
            }
        }
        DocumentPhase::Ready | DocumentPhase::Failed | DocumentPhase::Deleting => return Ok(()),
    }
    publish_change(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Ingests the file again. Earlier results stay in use until the new ingestion is complete. A
/// document that is already being ingested is left unchanged.
pub async fn retry(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let row = lock(&mut transaction, workspace, document).await?;
    let has_file = match row.state {
        DocumentPhase::Ready => true,
        DocumentPhase::Failed => row.failure.as_ref().is_none_or(IngestError::has_file),
        DocumentPhase::Queued | DocumentPhase::Working => return Ok(()),
        DocumentPhase::Uploading | DocumentPhase::Deleting => false,
    };
    if !has_file {
        return Err(ChangeError::FileMissing);
    }
    let revision = sqlx::query_scalar(
        "UPDATE documents SET state = 'queued', failure = NULL, revision = revision + 1, claim = NULL,
                step = NULL, percent = NULL, blocked_on = NULL, retry_at = NULL, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 RETURNING revision",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .fetch_one(&mut *transaction)
    .await?;
    let job = Ingest::for_revision(&mut transaction, workspace, document, revision).await?;
    jobs::add(&mut *transaction, &job).await?;
    publish_change(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Changes the title. The document list shows it immediately; a job updates the tenant's database,
/// which citations read.
pub async fn rename(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    title: &Title,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let renamed = sqlx::query(
        "UPDATE documents SET title = $3, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND state <> 'deleting'",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(title.as_str())
    .execute(&mut *transaction)
    .await?;
    if renamed.rows_affected() == 0 {
        return Err(ChangeError::NotFound);
    }
    let job = RenameDocument {
        workspace: workspace.clone(),
        document,
    };
    jobs::add(&mut *transaction, &job).await?;
    publish_change(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Marks the document as being deleted. A job then deletes its contents, and the row last.
/// Idempotent.
pub async fn delete(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let row = lock(&mut transaction, workspace, document).await?;
    if row.state != DocumentPhase::Deleting {
        start_deletion(&mut transaction, workspace, document).await?;
        publish_change(&mut *transaction, workspace, document).await?;
        transaction.commit().await?;
    }
    Ok(())
}

async fn start_deletion(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    sqlx::query(
        "UPDATE documents SET state = 'deleting', failure = NULL, revision = revision + 1, claim = NULL,
                step = NULL, percent = NULL, blocked_on = NULL, retry_at = NULL, updated_at = now()
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .execute(&mut *transaction)
    .await?;
    jobs::cancel(&mut *transaction, &Ingest::job_key(document)).await?;
    let job = DeleteDocument {
        workspace: workspace.clone(),
        document,
    };
    jobs::add(&mut *transaction, &job).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct LockedRow {
    state: DocumentPhase,
    failure: Option<IngestError>,
    page_count: Option<i32>,
}

/// Locks the row until the end of the transaction.
async fn lock(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<LockedRow, ChangeError> {
    sqlx::query_as(
        "SELECT state, failure, page_count FROM documents WHERE workspace_id = $1 AND id = $2 FOR UPDATE",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .fetch_optional(transaction)
    .await?
    .ok_or(ChangeError::NotFound)
}
