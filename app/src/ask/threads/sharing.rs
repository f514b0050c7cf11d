//! Shares conversations with the workspace, and pins them.

use sqlx::PgPool;

use crate::ids::{ThreadId, UserId};

/// Lets all members see a conversation, or only its author. Returns whether the author has such a
/// conversation.
pub async fn share(
    database: &PgPool,
    thread: ThreadId,
    author: UserId,
    is_shared: bool,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query(
        "UPDATE threads SET is_shared = $3 WHERE id = $1 AND created_by = $2 AND deleted_at IS NULL",
    )
    .bind(thread.0)
    .bind(author.0)
    .bind(is_shared)
    .execute(database)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// Pins a conversation for a user, or removes the pin.
pub async fn pin(
    database: &PgPool,
    thread: ThreadId,
    user: UserId,
    is_pinned: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE threads SET pinned_by = array_remove(pinned_by, $2) || CASE WHEN $3 THEN ARRAY[$2] ELSE '{}' END
         WHERE id = $1",
    )
    .bind(thread.0)
    .bind(user.0)
    .bind(is_pinned)
    .execute(database)
    .await?;
    Ok(())
}
