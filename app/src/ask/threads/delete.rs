//! Deletes conversations, and the quotes of deleted documents.

use sqlx::{PgExecutor, PgPool};

use crate::ids::{DocumentId, ThreadId};

/// Deletes a conversation with all its messages. Returns whether it existed.
pub async fn delete(database: &PgPool, thread: ThreadId) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query("DELETE FROM threads WHERE id = $1")
        .bind(thread.0)
        .execute(database)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Clears the quotes of a deleted document in all answers. Idempotent.
pub async fn clear_quotes_of_document(
    executor: impl PgExecutor<'_>,
    document: DocumentId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE messages SET citations = (
             SELECT jsonb_agg(CASE WHEN citation ->> 'document' = $1 THEN citation || '{\"quote\": \"\"}' ELSE citation END ORDER BY position)
             FROM jsonb_array_elements(citations) WITH ORDINALITY AS cited (citation, position))
         WHERE citations @> jsonb_build_array(jsonb_build_object('document', $1::text))",
    )
    .bind(document.to_string())
    .execute(executor)
    .await?;
    Ok(())
}
