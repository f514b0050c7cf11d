//! Completes an upload: verifies the file before anything is done with it.
//!
//! Length and checksum are part of the signature, so the object store has already verified them.
//! They are verified here again (from the store's metadata, or by reading the file if the store
//! keeps no checksum), so that correctness does not depend on the store's implementation.

use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tokio::io::AsyncReadExt as _;

use super::jobs::Ingest;
use super::row::publish_change;
use super::{Document, DocumentStatus, IngestError, SystemFailure, find};
use crate::domain::Workspace;
use crate::ids::{DocumentId, WorkspaceId};
use crate::jobs;
use crate::objects::{
    ObjectKey, ObjectMetadata, ObjectStore, ObjectStoreError, Sha256Digest, TransientError,
};
use pdf_text::DocumentError;

/// A PDF must contain its signature within this many bytes from the start.
pub const MAGIC_WINDOW_BYTES: u16 = 1024;
const MAGIC: &[u8] = b"%PDF-";
const READ_BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadOutcome {
    /// The file matches what was announced and will be ingested, or already is.
    Accepted,
    /// The file does not match. The row holds the reason and the file is deleted.
    Rejected(IngestError),
}

#[derive(Debug, thiserror::Error)]
pub enum CompleteUploadError {
    #[error("the document does not exist")]
    NotFound,
    /// No file has arrived yet; it can still be uploaded.
    #[error("the file has not arrived")]
    NotArrived,
    #[error("failed to verify the file in the object store")]
    Objects(#[from] ObjectStoreError),
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to enqueue the ingestion")]
    Queue(#[from] jobs::QueueError),
}

/// Verifies the uploaded file and enqueues its ingestion. Idempotent.
pub async fn complete_upload(
    database: &PgPool,
    objects: &ObjectStore,
    workspace: &Workspace,
    document: DocumentId,
) -> Result<UploadOutcome, CompleteUploadError> {
    let row = find(database, &workspace.id, document)
        .await?
        .ok_or(CompleteUploadError::NotFound)?;
    match row.state {
        DocumentStatus::Uploading => {}
        DocumentStatus::Deleting => return Err(CompleteUploadError::NotFound),
        DocumentStatus::Failed(error) => return Ok(UploadOutcome::Rejected(error)),
        DocumentStatus::Queued | DocumentStatus::Working { .. } | DocumentStatus::Ready => {
            return Ok(UploadOutcome::Accepted);
        }
    }
    let key = objects
        .prefix(workspace.region.as_deref(), &workspace.id)
        .document(document);
    let stored = objects
        .head(&key)
        .await?
        .ok_or(CompleteUploadError::NotArrived)?;
    match inspect(objects, &key, &row, &stored).await? {
        None => {
            accept(database, &workspace.id, document).await?;
            Ok(UploadOutcome::Accepted)
        }
        Some(error) => {
            // Update the row first: if deleting the file fails now, the next upload overwrites it,
            // and deleting the document deletes it.
            reject(database, &workspace.id, document, &error).await?;
            objects.delete(&key).await?;
            Ok(UploadOutcome::Rejected(error))
        }
    }
}

async fn inspect(
    objects: &ObjectStore,
    key: &ObjectKey,
    row: &Document,
    stored: &ObjectMetadata,
) -> Result<Option<IngestError>, ObjectStoreError> {
    let mismatch = Some(IngestError::System(SystemFailure::UploadMismatch));
    if stored.byte_count != row.byte_count {
        return Ok(mismatch);
    }
    let sha256 = match stored.sha256 {
        Some(sha256) => sha256,
        None => digest(objects, key).await?,
    };
    if sha256 != row.content_sha256 {
        return Ok(mismatch);
    }
    let start = objects.read_start(key, MAGIC_WINDOW_BYTES).await?;
    Ok((!is_pdf(&start)).then_some(IngestError::File(DocumentError::NotPdf)))
}

fn is_pdf(start: &[u8]) -> bool {
    start
        .windows(MAGIC.len())
        .take(usize::from(MAGIC_WINDOW_BYTES))
        .any(|window| window == MAGIC)
}

async fn digest(objects: &ObjectStore, key: &ObjectKey) -> Result<Sha256Digest, ObjectStoreError> {
    let mut file = objects.read(key).await?;
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut hash = Sha256::new();
    loop {
        let count = file
            .read(&mut buffer)
            .await
            .map_err(|_| ObjectStoreError::Unavailable(TransientError::Interrupted))?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(hash.finalize().into()),
            Some(bytes) => hash.update(bytes),
        }
    }
}

async fn accept(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
) -> Result<(), CompleteUploadError> {
    let mut transaction = database.begin().await?;
    let revision: Option<i32> = sqlx::query_scalar(
        "UPDATE documents SET state = 'queued', updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND state = 'uploading' RETURNING revision",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .fetch_optional(&mut *transaction)
    .await?;
    // `None`: a concurrent request completed or removed the upload.
    if let Some(revision) = revision {
        let job = Ingest::for_revision(&mut transaction, workspace, document, revision).await?;
        jobs::add(&mut *transaction, &job).await?;
        publish_change(&mut *transaction, workspace, document).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn reject(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    error: &IngestError,
) -> Result<(), CompleteUploadError> {
    let mut transaction = database.begin().await?;
    sqlx::query(
        "UPDATE documents SET state = 'failed', failure = $3, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND state = 'uploading'",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(error)
    .execute(&mut *transaction)
    .await?;
    publish_change(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdf_has_its_signature_near_the_start() {
        assert!(is_pdf(b"%PDF-1.7\n"));
        let mut late = vec![b' '; 1000];
        late.extend_from_slice(b"%PDF-1.4");
        assert!(is_pdf(&late));
        assert!(!is_pdf(b"PK\x03\x04 a zip that holds %PDF "));
        assert!(!is_pdf(b"%PD"));
        assert!(!is_pdf(b""));
    }
}
