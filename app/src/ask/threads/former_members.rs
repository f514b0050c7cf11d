//! Deletes the private conversations of users who are no longer members.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::ids::{UserId, WorkspaceId};
use crate::jobs::Job;

/// Permanently deletes a user's private conversations in a workspace, unless the user is a member
/// again by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletePrivateConversations {
    pub workspace: WorkspaceId,
    pub user: UserId,
}

impl DeletePrivateConversations {
    /// How long the conversations of a user are kept who leaves or is removed, and may come back.
    pub const RETENTION: Duration = Duration::from_hours(30 * 24);
}

impl Job for DeletePrivateConversations {
    const NAME: &'static str = "delete_private_conversations";

    fn key(&self) -> String {
        format!("private-conversations:{}:{}", self.workspace, self.user)
    }
}

/// Permanently deletes the conversations that only this user can see, with all their messages.
/// Returns their number.
pub async fn delete_private(database: &PgPool, user: UserId) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query("DELETE FROM threads WHERE created_by = $1 AND NOT is_shared")
        .bind(user.0)
        .execute(database)
        .await?;
    Ok(deleted.rows_affected())
}
