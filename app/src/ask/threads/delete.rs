//! Deletes conversations, and the quotes of deleted documents.
//!
//! A deleted conversation disappears immediately, can be restored for [`UNDO_TIME`], and is then
//! deleted by a job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

use super::Thread;
use super::row::THREAD_COLUMNS;
use crate::ids::{DocumentId, ThreadId, UserId, WorkspaceId};
use crate::jobs::Job;
use crate::tenants::{is_full, lacks_migration};

/// How long the page offers to undo a deletion.
pub const UNDO_TIME: Duration = Duration::from_secs(10);
/// How long a deletion can be undone. Longer than the page says, because responses take a while.
const MAX_UNDO_TIME: Duration = Duration::from_secs(15);

/// Permanently deletes a workspace's deleted conversations once they can no longer be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeConversations {
    pub workspace: WorkspaceId,
}

impl PurgeConversations {
    /// When the job of a deletion runs.
    pub const DELAY: Duration = Duration::from_secs(20);
    /// When it runs if the process ends during the deletion. Longer than a request takes.
    pub const MAX_DELAY: Duration = Duration::from_mins(2);
}

impl Job for PurgeConversations {
    const NAME: &'static str = "purge_conversations";

    fn key(&self) -> String {
        format!("purge_conversations:{}", self.workspace)
    }
}

/// What became of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It can be restored for [`UNDO_TIME`].
    CanBeUndone,
    /// It is deleted: the tenant has not been migrated yet, or its database is full.
    Final,
    NotFound,
}

/// Deletes a conversation with all its messages, and stops its pending answers for the user.
pub async fn delete(
    database: &PgPool,
    thread: ThreadId,
    user: UserId,
) -> Result<Deletion, sqlx::Error> {
    match mark_deleted(database, thread, user).await {
        Ok(true) => Ok(Deletion::CanBeUndone),
        Ok(false) => Ok(Deletion::NotFound),
        // Users delete conversations to free space, so this must work in a full database.
        Err(error) if lacks_migration(&error) || is_full(&error) => {
            let deleted = sqlx::query("DELETE FROM threads WHERE id = $1")
                .bind(thread.0)
                .execute(database)
                .await?;
            Ok(match deleted.rows_affected() {
                0 => Deletion::NotFound,
                _ => Deletion::Final,
            })
        }
        Err(error) => Err(error),
    }
}

async fn mark_deleted(
    database: &PgPool,
    thread: ThreadId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let marked =
        sqlx::query("UPDATE threads SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL")
            .bind(thread.0)
            .execute(&mut *transaction)
            .await?;
    // Their writers notice that they cannot save any more.
    sqlx::query(
        "UPDATE messages SET state = 'stopped', stopped_by = $2 WHERE thread_id = $1 AND state = 'pending'",
    )
    .bind(thread.0)
    .bind(user.0)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(marked.rows_affected() > 0)
}

/// A deleted conversation that can be restored, as the user sees it.
pub async fn find_deleted(
    database: &PgPool,
    thread: ThreadId,
    user: UserId,
) -> Result<Option<Thread>, sqlx::Error> {
    let query = format!(
        "SELECT {THREAD_COLUMNS} FROM threads t WHERE t.id = $2 AND t.deleted_at > now() - make_interval(secs => $3)"
    );
    let found = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(user.0)
        .bind(thread.0)
        .bind(MAX_UNDO_TIME.as_secs_f64())
        .fetch_optional(database)
        .await;
    match found {
        Err(error) if lacks_migration(&error) => Ok(None),
        found => found,
    }
}

/// Restores a deleted conversation. Returns `false` if it is too late.
pub async fn restore(database: &PgPool, thread: ThreadId) -> Result<bool, sqlx::Error> {
    let restored = sqlx::query(
        "UPDATE threads SET deleted_at = NULL WHERE id = $1 AND deleted_at > now() - make_interval(secs => $2)",
    )
    .bind(thread.0)
    .bind(MAX_UNDO_TIME.as_secs_f64())
    .execute(database)
    .await?;
    Ok(restored.rows_affected() > 0)
}

/// Deletes the conversations that cannot be restored any more, with all their messages. Returns
/// their number.
pub async fn purge_deleted(database: &PgPool) -> Result<u64, sqlx::Error> {
    let deleted =
        sqlx::query("DELETE FROM threads WHERE deleted_at <= now() - make_interval(secs => $1)")
            .bind(MAX_UNDO_TIME.as_secs_f64())
            .execute(database)
            .await?;
    Ok(deleted.rows_affected())
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
