//! What is taken out of conversations: themselves, and the words of documents that go.

use sqlx::{PgExecutor, PgPool};

use crate::ids::{DocumentId, ThreadId};

/// Takes a conversation away with all that was said in it. Returns whether it was there.
pub async fn remove(database: &PgPool, thread: ThreadId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM threads WHERE id = $1")
        .bind(thread.0)
        .execute(database)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes what answers quote of a document out of them; for when the document is removed. Safe to do again.
pub async fn forget_document(
    executor: impl PgExecutor<'_>,
    document: DocumentId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE messages SET citations = (
             SELECT jsonb_agg(CASE WHEN citation ->> 'document' = $1 THEN citation || '{\"quote\": \"\"}' ELSE citation END ORDER BY place)
             FROM jsonb_array_elements(citations) WITH ORDINALITY AS cited (citation, place))
         WHERE citations @> jsonb_build_array(jsonb_build_object('document', $1::text))",
    )
    .bind(document.to_string())
    .execute(executor)
    .await?;
    Ok(())
}
