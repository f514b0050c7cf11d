//! The rows of conversations and messages.

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::{Author, Citation, Message, MessageState, Thread};
use crate::ask::Failure;
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};
use crate::rows::moment;

/// What a [`Message`] is read from, of the table `messages` as `m`.
pub(super) const MESSAGE_COLUMNS: &str = "m.id, m.thread_id, m.ordinal, m.author, m.state, m.text, m.citations, m.model, m.failure, m.created_by, \
    (extract(epoch from m.created_at) * 1000000)::bigint AS created_us";

impl FromRow<'_, PgRow> for Thread {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let document: Option<Uuid> = row.try_get("document_id")?;
        let title: Option<String> = row.try_get("document_title")?;
        Ok(Self {
            id: ThreadId(row.try_get("id")?),
            title: row.try_get("title")?,
            document: document.map(|id| (DocumentId(id), title.unwrap_or_default())),
            updated_at: moment(row, "updated_us")?,
        })
    }
}

impl FromRow<'_, PgRow> for Message {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let author: String = row.try_get("author")?;
        let model: Option<String> = row.try_get("model")?;
        let state: String = row.try_get("state")?;
        let failure: Option<String> = row.try_get("failure")?;
        let citations: Json<Vec<Citation>> = row.try_get("citations")?;
        let created_by: Option<Uuid> = row.try_get("created_by")?;
        Ok(Self {
            id: MessageId(row.try_get("id")?),
            thread: ThreadId(row.try_get("thread_id")?),
            ordinal: row.try_get("ordinal")?,
            author: match author.as_str() {
                "person" => Author::Person,
                "model" => Author::Model(model.unwrap_or_default()),
                _ => Author::Extracts,
            },
            state: match state.as_str() {
                "pending" => MessageState::Pending,
                "complete" => MessageState::Complete,
                "stopped" => MessageState::Stopped,
                "not_found" => MessageState::NotFound,
                _ => MessageState::Failed(Failure::of(failure.as_deref().unwrap_or_default())),
            },
            text: row.try_get("text")?,
            citations: citations.0,
            created_by: created_by.map(UserId),
            created_at: moment(row, "created_us")?,
        })
    }
}
