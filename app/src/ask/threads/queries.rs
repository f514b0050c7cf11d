//! Conversations, read for pages and for whoever writes or follows an answer.

use sqlx::PgPool;
use uuid::Uuid;

use super::row::MESSAGE_COLUMNS;
use super::{Message, Thread};
use crate::ids::{DocumentId, MessageId, ThreadId};

/// Conversations in a list at most, the newest.
pub const THREADS_LISTED_MAX: i64 = 100;
/// Messages of a conversation shown at most, the newest.
pub const MESSAGES_SHOWN_MAX: i64 = 200;
/// Documents to choose from at most, the newest.
pub const DOCUMENTS_LISTED_MAX: i64 = 200;

/// The newest conversations.
pub async fn list(database: &PgPool) -> Result<Vec<Thread>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, title, document_id, document_title, (extract(epoch from updated_at) * 1000000)::bigint AS updated_us
         FROM threads ORDER BY updated_at DESC, id LIMIT $1",
    )
    .bind(THREADS_LISTED_MAX)
    .fetch_all(database)
    .await
}

/// One conversation.
pub async fn find(database: &PgPool, thread: ThreadId) -> Result<Option<Thread>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, title, document_id, document_title, (extract(epoch from updated_at) * 1000000)::bigint AS updated_us
         FROM threads WHERE id = $1",
    )
    .bind(thread.0)
    .fetch_optional(database)
    .await
}

/// What was said in a conversation, in order.
pub async fn messages(database: &PgPool, thread: ThreadId) -> Result<Vec<Message>, sqlx::Error> {
    let newest = format!(
        "SELECT * FROM (SELECT {MESSAGE_COLUMNS} FROM messages m WHERE thread_id = $1 ORDER BY ordinal DESC LIMIT $2) newest ORDER BY ordinal"
    );
    let mut messages: Vec<Message> = sqlx::query_as(sqlx::AssertSqlSafe(newest))
        .bind(thread.0)
        .bind(MESSAGES_SHOWN_MAX)
        .fetch_all(database)
        .await?;
    mark_gone(database, &mut messages).await?;
    Ok(messages)
}

/// One message of a conversation.
pub async fn message(
    database: &PgPool,
    thread: ThreadId,
    message: MessageId,
) -> Result<Option<Message>, sqlx::Error> {
    let query =
        format!("SELECT {MESSAGE_COLUMNS} FROM messages m WHERE thread_id = $1 AND id = $2");
    let mut found: Vec<Message> = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(thread.0)
        .bind(message.0)
        .fetch_all(database)
        .await?;
    mark_gone(database, &mut found).await?;
    Ok(found.pop())
}

/// The question that stands before an answer.
pub async fn question_of(
    database: &PgPool,
    answer: &Message,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT text FROM messages WHERE thread_id = $1 AND ordinal < $2 AND author = 'person' ORDER BY ordinal DESC LIMIT 1",
    )
    .bind(answer.thread.0)
    .bind(answer.ordinal)
    .fetch_optional(database)
    .await
}

/// Documents that can be asked, the newest first.
pub async fn documents(database: &PgPool) -> Result<Vec<(DocumentId, String)>, sqlx::Error> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT id, title FROM documents ORDER BY created_at DESC, id LIMIT $1")
            .bind(DOCUMENTS_LISTED_MAX)
            .fetch_all(database)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(id, title)| (DocumentId(id), title))
        .collect())
}

/// Finds out which of the documents cited are still there.
async fn mark_gone(database: &PgPool, messages: &mut [Message]) -> Result<(), sqlx::Error> {
    let mut cited: Vec<Uuid> = messages
        .iter()
        .flat_map(|message| &message.citations)
        .map(|citation| citation.document.0)
        .collect();
    cited.sort_unstable();
    cited.dedup();
    if cited.is_empty() {
        return Ok(());
    }
    let there: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM documents WHERE id = ANY($1)")
        .bind(&cited)
        .fetch_all(database)
        .await?;
    for citation in messages
        .iter_mut()
        .flat_map(|message| &mut message.citations)
    {
        citation.is_gone = !there.contains(&citation.document.0);
        if citation.is_gone {
            citation.quote.clear();
        }
    }
    Ok(())
}
