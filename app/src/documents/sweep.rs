//! Uploads that never came: after their deadline the row says so.

use sqlx::PgPool;

use super::row::note_event;
use super::{Failure, OwnFailure};
use crate::ids::{DocumentId, WorkspaceId};

/// Rows of one sweep at most; the next takes the rest.
const BATCH_MAX: i64 = 500;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that are past their deadline and now say so.
    pub uploads: usize,
}

/// Fails the uploads whose deadline has passed. A file that came after all lies unused under its key until the row is removed or
/// the same file is sent again.
pub async fn sweep_uploads(database: &PgPool) -> sqlx::Result<Swept> {
    let mut transaction = database.begin().await?;
    let rows: Vec<(uuid::Uuid, String)> = sqlx::query_as(
        "UPDATE documents SET state = 'failed', failure = $1, updated_at = now()
         WHERE id IN (SELECT id FROM documents WHERE state = 'uploading' AND upload_deadline < now()
                      ORDER BY upload_deadline LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING id, workspace_id",
    )
    .bind(Failure::Own(OwnFailure::UploadMissing).to_column())
    .bind(BATCH_MAX)
    .fetch_all(&mut *transaction)
    .await?;
    for (document, workspace) in &rows {
        if let Ok(workspace) = workspace.parse::<WorkspaceId>() {
            note_event(&mut *transaction, &workspace, DocumentId(*document)).await?;
        }
    }
    transaction.commit().await?;
    Ok(Swept {
        uploads: rows.len(),
    })
}
