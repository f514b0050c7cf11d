//! Fails uploads whose deadline has passed.

use sqlx::PgPool;

use super::row::publish_change;
use super::{IngestError, SystemFailure};
use crate::ids::{DocumentId, WorkspaceId};

/// Rows per sweep. The next sweep handles the rest.
const MAX_BATCH_ROWS: i64 = 500;

/// Fails the uploads whose deadline has passed and returns their number. A file that arrives later
/// stays unused in the store until the row is deleted or the same file is uploaded again.
pub async fn fail_overdue_uploads(database: &PgPool) -> sqlx::Result<usize> {
    let mut transaction = database.begin().await?;
    let rows: Vec<(DocumentId, String)> = sqlx::query_as(
        "UPDATE documents SET state = 'failed', failure = $1, updated_at = now()
         WHERE id IN (SELECT id FROM documents WHERE state = 'uploading' AND upload_deadline < now()
                      ORDER BY upload_deadline LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING id, workspace_id",
    )
    .bind(IngestError::System(SystemFailure::UploadMissing))
    .bind(MAX_BATCH_ROWS)
    .fetch_all(&mut *transaction)
    .await?;
    for (document, workspace) in &rows {
        if let Ok(workspace) = workspace.parse::<WorkspaceId>() {
            publish_change(&mut *transaction, &workspace, *document).await?;
        }
    }
    transaction.commit().await?;
    Ok(rows.len())
}
