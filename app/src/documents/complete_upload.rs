//! The end of an upload: what arrived is looked at before anything is done with it.
//!
//! The store has checked length and checksum when it took the file, since both were signed. They are checked here all the same, by what
//! the store says, or where it keeps no checksum by reading the file, so that nothing rests on a store's care.

use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tokio::io::AsyncReadExt as _;

use super::row::note_event;
use super::{Document, Failure, OwnFailure, State, find};
use crate::ids::{DocumentId, WorkspaceId};
use crate::ingestion::Ingest;
use crate::jobs;
use crate::objects::{Objects, ObjectsError, Place, Sha256Digest, Stored};
use crate::domain::Workspace;
use pdf_text::Refusal;

/// Within so many bytes from its beginning a PDF has to say that it is one.
pub const MAGIC_WINDOW_BYTES: u16 = 1024;
/// What it says.
const MAGIC: &[u8] = b"%PDF-";
/// How much of a file is read at once when its checksum is made here.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How an upload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completed {
    /// It is as announced and will be read. (Also when that was so before.)
    Accepted,
    /// It is not; the row says so, the file is gone.
    Refused(Failure),
}

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// There is no such document in the workspace.
    #[error("there is no such document")]
    NotFound,
    /// No file is there (yet); it may still be sent.
    #[error("the file has not arrived")]
    NotArrived,
    /// The store did not answer as hoped.
    #[error("the file could not be looked at")]
    Objects(#[from] ObjectsError),
    /// The main database did not do it.
    #[error("the upload could not be completed")]
    Database(#[from] sqlx::Error),
    /// The job could not be added.
    #[error("the document could not be queued")]
    Queue(#[from] jobs::QueueError),
}

/// Looks at the file, and has it read if it is what was announced. May be repeated.
pub async fn complete(
    database: &PgPool,
    objects: &Objects,
    workspace: &Workspace,
    document: DocumentId,
) -> Result<Completed, CompleteError> {
    let row = find(database, &workspace.id, document)
        .await?
        .ok_or(CompleteError::NotFound)?;
    match row.state {
        State::Uploading => {}
        State::Removing => return Err(CompleteError::NotFound),
        State::Failed(failure) => return Ok(Completed::Refused(failure)),
        State::Queued | State::Working { .. } | State::Ready => return Ok(Completed::Accepted),
    }
    let place = objects
        .prefix(workspace.region.as_deref(), &workspace.id)
        .document(document);
    let stored = objects
        .head(&place)
        .await?
        .ok_or(CompleteError::NotArrived)?;
    match inspect(objects, &place, &row, &stored).await? {
        None => {
            accept(database, &workspace.id, document).await?;
            Ok(Completed::Accepted)
        }
        Some(failure) => {
            // The row first: if the file cannot be removed now, the next upload overwrites it, and removal takes it.
            refuse(database, &workspace.id, document, &failure).await?;
            objects.remove(&place).await?;
            Ok(Completed::Refused(failure))
        }
    }
}

async fn inspect(
    objects: &Objects,
    place: &Place,
    row: &Document,
    stored: &Stored,
) -> Result<Option<Failure>, ObjectsError> {
    let mismatch = Some(Failure::Own(OwnFailure::UploadMismatch));
    if stored.byte_count != row.byte_count {
        return Ok(mismatch);
    }
    let sha256 = match stored.sha256 {
        Some(sha256) => sha256,
        None => digest(objects, place).await?,
    };
    if sha256 != row.content_sha256 {
        return Ok(mismatch);
    }
    let start = objects.read_start(place, MAGIC_WINDOW_BYTES).await?;
    Ok((!is_pdf(&start)).then_some(Failure::File(Refusal::NotPdf)))
}

fn is_pdf(start: &[u8]) -> bool {
    start
        .windows(MAGIC.len())
        .take(usize::from(MAGIC_WINDOW_BYTES))
        .any(|window| window == MAGIC)
}

async fn digest(objects: &Objects, place: &Place) -> Result<Sha256Digest, ObjectsError> {
    let mut file = objects.read(place).await?;
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut hash = Sha256::new();
    loop {
        let count = file
            .read(&mut buffer)
            .await
            .map_err(|_| ObjectsError::Away(crate::objects::Trouble::CutOff))?;
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
) -> Result<(), CompleteError> {
    let mut transaction = database.begin().await?;
    let reading: Option<i32> = sqlx::query_scalar(
        "UPDATE documents SET state = 'queued', updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND state = 'uploading' RETURNING reading",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .fetch_optional(&mut *transaction)
    .await?;
    // None: somebody else completed or removed it meanwhile, and saw to the rest.
    if let Some(reading) = reading {
        let job = Ingest::of(&mut transaction, workspace, document, reading).await?;
        jobs::add(&mut *transaction, &job).await?;
        note_event(&mut *transaction, workspace, document).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn refuse(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    failure: &Failure,
) -> Result<(), CompleteError> {
    let mut transaction = database.begin().await?;
    sqlx::query(
        "UPDATE documents SET state = 'failed', failure = $3, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND state = 'uploading'",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(failure.to_column())
    .execute(&mut *transaction)
    .await?;
    note_event(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdf_says_so_near_its_beginning() {
        assert!(is_pdf(b"%PDF-1.7\n"));
        let mut late = vec![b' '; 1000];
        late.extend_from_slice(b"%PDF-1.4");
        assert!(is_pdf(&late));
        assert!(!is_pdf(b"PK\x03\x04 a zip that holds %PDF "));
        assert!(!is_pdf(b"%PD"));
        assert!(!is_pdf(b""));
    }
}
