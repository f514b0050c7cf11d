//! What is known about answers besides their text: who stopped them, and how users rate them.
//!
//! Tenants that have not been migrated yet have no place for it, and keep working without it.

use std::collections::HashMap;
use std::str::FromStr;

use sqlx::PgPool;
use uuid::Uuid;

use crate::ids::{MessageId, ThreadId, UserId};
use crate::tenants::lacks_migration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Rating {
    Good,
    Bad,
}

impl Rating {
    /// As stored, and as submitted by forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

impl FromStr for Rating {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "good" => Ok(Self::Good),
            "bad" => Ok(Self::Bad),
            _ => Err(()),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerNotes {
    pub stopped_by: Option<UserId>,
    /// The rating of the user who reads the conversation.
    pub rating: Option<Rating>,
}

/// The message, who stopped it, and its rating.
type NotesRow = (MessageId, Option<UserId>, Option<Rating>);

/// The notes of a conversation's answers that have any, for a user. `None` if the tenant has not
/// been migrated yet.
pub async fn notes(
    database: &PgPool,
    thread: ThreadId,
    user: UserId,
) -> Result<Option<HashMap<MessageId, AnswerNotes>>, sqlx::Error> {
    let rows: Result<Vec<NotesRow>, _> = sqlx::query_as(
        // A rating from before an answer was started again is about another text.
        "SELECT m.id, m.stopped_by, f.rating FROM messages m
         LEFT JOIN message_feedback f ON f.message_id = m.id AND f.user_id = $2 AND f.created_at >= m.created_at
         WHERE m.thread_id = $1 AND (m.stopped_by IS NOT NULL OR f.rating IS NOT NULL)",
    )
    .bind(thread.0)
    .bind(user.0)
    .fetch_all(database)
    .await;
    match rows {
        Ok(rows) => Ok(Some(
            rows.into_iter()
                .map(|(message, stopped_by, rating)| (message, AnswerNotes { stopped_by, rating }))
                .collect(),
        )),
        Err(error) if lacks_migration(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Saves a user's rating of a finished answer, or removes it. Returns whether the answer exists.
pub async fn rate(
    database: &PgPool,
    thread: ThreadId,
    message: MessageId,
    user: UserId,
    rating: Option<Rating>,
) -> Result<bool, sqlx::Error> {
    // Locked, so that the answer is not deleted or started again in the meantime.
    let mut transaction = database.begin().await?;
    let answer: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM messages WHERE id = $1 AND thread_id = $2 AND author <> 'person' AND state <> 'pending' FOR UPDATE",
    )
    .bind(message.0)
    .bind(thread.0)
    .fetch_optional(&mut *transaction)
    .await?;
    if answer.is_none() {
        return Ok(false);
    }
    let change = match rating {
        Some(rating) => sqlx::query(
            "INSERT INTO message_feedback (message_id, user_id, rating) VALUES ($1, $2, $3)
             ON CONFLICT (message_id, user_id) DO UPDATE SET rating = EXCLUDED.rating, created_at = now()",
        )
        .bind(message.0)
        .bind(user.0)
        .bind(rating),
        None => sqlx::query("DELETE FROM message_feedback WHERE message_id = $1 AND user_id = $2")
            .bind(message.0)
            .bind(user.0),
    };
    change.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}
