//! What people do to documents: each a change of the row and the job that carries it out, in one transaction.

use sqlx::{PgConnection, PgPool, Row as _};

use super::row::note_event;
use super::{Failure, OwnFailure, Title};
use crate::ids::{DocumentId, WorkspaceId};
use crate::ingestion::{Ingest, RemoveDocument, RenameDocument};
use crate::jobs;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such document in the workspace.
    #[error("there is no such document")]
    NotFound,
    /// Its file is not here, so it cannot be read.
    #[error("the document's file is not here")]
    NoFile,
    /// The main database did not do it.
    #[error("the document could not be changed")]
    Database(#[from] sqlx::Error),
    /// The job could not be added.
    #[error("the change could not be queued")]
    Queue(#[from] jobs::QueueError),
}

/// Stops what is under way. An upload is given up, and its row goes; a reading stops, and the file stays: what was read before still
/// serves. A document at rest stays as it is.
pub async fn cancel(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let row = lock(&mut transaction, workspace, document).await?;
    match row.state.as_str() {
        "uploading" => begin_removal(&mut transaction, workspace, document).await?,
        "queued" | "working" => {
            let failure = Failure::Own(OwnFailure::Cancelled).to_column();
            sqlx::query(
                "UPDATE documents
                 SET state = CASE WHEN page_count IS NULL THEN 'failed' ELSE 'ready' END::document_state,
                     failure = CASE WHEN page_count IS NULL THEN $3 END,
                     reading = reading + 1, claim = NULL, step = NULL, percent = NULL, trouble = NULL, retry_at = NULL,
                     updated_at = now()
                 WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.as_str())
            .bind(document.0)
            .bind(failure)
            .execute(&mut *transaction)
            .await?;
            jobs::cancel(&mut *transaction, &Ingest::key_of(document)).await?;
        }
        _ => return Ok(()),
    }
    note_event(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Has the file read once more. What was read before serves until that is done. One that is being read is left to it.
pub async fn retry(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let row = lock(&mut transaction, workspace, document).await?;
    let has_file = match row.state.as_str() {
        "ready" => true,
        "failed" => row
            .failure
            .as_deref()
            .is_none_or(|text| Failure::from_column(text).has_file()),
        "queued" | "working" => return Ok(()),
        _ => false,
    };
    if !has_file {
        return Err(ChangeError::NoFile);
    }
    let reading = sqlx::query_scalar(
        "UPDATE documents SET state = 'queued', failure = NULL, reading = reading + 1, claim = NULL,
                step = NULL, percent = NULL, trouble = NULL, retry_at = NULL, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 RETURNING reading",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .fetch_one(&mut *transaction)
    .await?;
    let job = Ingest::of(&mut transaction, workspace, document, reading).await?;
    jobs::add(&mut *transaction, &job).await?;
    note_event(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Gives it another title. The list shows it at once; the tenant's database, which citations read, follows by a job.
pub async fn rename(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    title: &Title,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let renamed = sqlx::query(
        "UPDATE documents SET title = $3, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND state <> 'removing'",
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
    note_event(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Takes it away: the row says so at once, everything else goes by a job, and the row goes last. Asking twice is fine.
pub async fn remove(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    let mut transaction = database.begin().await?;
    let row = lock(&mut transaction, workspace, document).await?;
    if row.state != "removing" {
        begin_removal(&mut transaction, workspace, document).await?;
        note_event(&mut *transaction, workspace, document).await?;
        transaction.commit().await?;
    }
    Ok(())
}

async fn begin_removal(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), ChangeError> {
    sqlx::query(
        "UPDATE documents SET state = 'removing', failure = NULL, reading = reading + 1, claim = NULL,
                step = NULL, percent = NULL, trouble = NULL, retry_at = NULL, updated_at = now()
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .execute(&mut *transaction)
    .await?;
    jobs::cancel(&mut *transaction, &Ingest::key_of(document)).await?;
    let job = RemoveDocument {
        workspace: workspace.clone(),
        document,
    };
    jobs::add(&mut *transaction, &job).await?;
    Ok(())
}

struct Locked {
    state: String,
    failure: Option<String>,
}

/// Whoever else changes the document waits until the transaction ends.
async fn lock(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<Locked, ChangeError> {
    let row = sqlx::query(
        "SELECT state::text AS state, failure FROM documents WHERE workspace_id = $1 AND id = $2 FOR UPDATE",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .fetch_optional(transaction)
    .await?
    .ok_or(ChangeError::NotFound)?;
    Ok(Locked {
        state: row.try_get("state")?,
        failure: row.try_get("failure")?,
    })
}
