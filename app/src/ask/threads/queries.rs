//! Reads conversations, for pages and for the writers and readers of answers. Only [`list`],
//! [`search()`] and [`find`] check who sees a conversation.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use super::row::{IS_VISIBLE, IS_VISIBLE_IF_MIGRATED, MESSAGE_COLUMNS, THREAD_COLUMNS};
use super::{Message, Thread};
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};
use crate::tenants::{begin_with_timeout, lacks_migration};

/// Maximum number of listed conversations; older ones are omitted.
pub const MAX_LISTED_THREADS: i64 = 100;
/// Longer search terms are truncated.
pub const MAX_SEARCH_CHARS: usize = 200;
/// Limits a search, which reads the text of all conversations that the user sees.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of shown messages; older ones are omitted.
pub const MAX_SHOWN_MESSAGES: i64 = 200;
/// Maximum number of listed documents; older ones are omitted.
pub const MAX_LISTED_DOCUMENTS: i64 = 200;

/// The newest conversations that the user sees, those that the user pinned first.
pub async fn list(database: &PgPool, reader: UserId) -> Result<Vec<Thread>, sqlx::Error> {
    let fetch = async |query: String| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query));
        query.bind(reader.0).fetch_all(database).await
    };
    // The index finds the newest conversations, but not the pinned ones.
    let pinned = newest(&format!(
        "{IS_VISIBLE_IF_MIGRATED} AND t.pinned_by @> ARRAY[$1]"
    ));
    let listed = fetch(format!(
        "SELECT * FROM (({pinned}) UNION ({})) listed
         ORDER BY is_pinned DESC, updated_at DESC, id LIMIT {MAX_LISTED_THREADS}",
        newest(IS_VISIBLE_IF_MIGRATED)
    ));
    match listed.await {
        Err(error) if lacks_migration(&error) => fetch(newest(IS_VISIBLE)).await,
        listed => listed,
    }
}

/// Selects the newest conversations that meet the condition.
fn newest(condition: &str) -> String {
    format!(
        "SELECT {THREAD_COLUMNS} FROM threads t WHERE {condition}
         ORDER BY t.updated_at DESC, t.id LIMIT {MAX_LISTED_THREADS}"
    )
}

/// Like [`list`], but only conversations whose title or messages contain the text, ignoring case.
/// Fails with a statement timeout after [`SEARCH_TIMEOUT`].
pub async fn search(
    database: &PgPool,
    reader: UserId,
    text: &str,
) -> Result<Vec<Thread>, sqlx::Error> {
    let text: String = text.chars().take(MAX_SEARCH_CHARS).collect();
    let query = format!(
        "SELECT {THREAD_COLUMNS} FROM threads t
         WHERE {IS_VISIBLE} AND (strpos(lower(title), lower($3)) > 0
            OR EXISTS (SELECT FROM messages m WHERE m.thread_id = t.id AND strpos(lower(m.text), lower($3)) > 0))
         ORDER BY is_pinned DESC, updated_at DESC, id LIMIT $2"
    );
    let mut transaction = begin_with_timeout(database, SEARCH_TIMEOUT).await?;
    let found = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(reader.0)
        .bind(MAX_LISTED_THREADS)
        .bind(text)
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;
    Ok(found)
}

/// The conversation, if it exists and the user sees it.
pub async fn find(
    database: &PgPool,
    thread: ThreadId,
    reader: UserId,
) -> Result<Option<Thread>, sqlx::Error> {
    let query = format!("SELECT {THREAD_COLUMNS} FROM threads t WHERE t.id = $2 AND {IS_VISIBLE}");
    sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(reader.0)
        .bind(thread.0)
        .fetch_optional(database)
        .await
}

/// The messages of a conversation, in order.
pub async fn messages(database: &PgPool, thread: ThreadId) -> Result<Vec<Message>, sqlx::Error> {
    let newest = format!(
        "SELECT * FROM (SELECT {MESSAGE_COLUMNS} FROM messages m WHERE thread_id = $1 ORDER BY ordinal DESC LIMIT $2) newest ORDER BY ordinal"
    );
    let mut messages: Vec<Message> = sqlx::query_as(sqlx::AssertSqlSafe(newest))
        .bind(thread.0)
        .bind(MAX_SHOWN_MESSAGES)
        .fetch_all(database)
        .await?;
    mark_removed_documents(database, &mut messages).await?;
    Ok(messages)
}

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
    mark_removed_documents(database, &mut found).await?;
    Ok(found.pop())
}

/// Documents that can be asked about, newest first.
pub async fn documents(database: &PgPool) -> Result<Vec<(DocumentId, String)>, sqlx::Error> {
    sqlx::query_as("SELECT id, title FROM documents ORDER BY created_at DESC, id LIMIT $1")
        .bind(MAX_LISTED_DOCUMENTS)
        .fetch_all(database)
        .await
}

/// Marks citations of deleted documents and clears their quotes.
async fn mark_removed_documents(
    database: &PgPool,
    messages: &mut [Message],
) -> Result<(), sqlx::Error> {
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
    let existing: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM documents WHERE id = ANY($1)")
        .bind(&cited)
        .fetch_all(database)
        .await?;
    for citation in messages
        .iter_mut()
        .flat_map(|message| &mut message.citations)
    {
        citation.document_removed = !existing.contains(&citation.document.0);
        if citation.document_removed {
            citation.quote.clear();
        }
    }
    Ok(())
}
