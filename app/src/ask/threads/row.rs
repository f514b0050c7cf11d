//! Decodes the rows of conversations and messages.

use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row as _};

use super::{Author, Citation, Message, MessageState, ScopeDocument, Thread, Visibility};
use crate::ask::AnswerFailure;
use crate::ids::DocumentId;

/// The columns of a [`Thread`] for the user `$1`, from table `threads` as `t`. Tenants that have not
/// been migrated yet lack some of them, which `to_jsonb` tolerates.
pub(super) const THREAD_COLUMNS: &str = "t.id, t.title, t.created_by, t.document_id, t.document_title, t.updated_at, \
    (to_jsonb(t) ->> 'is_shared')::boolean AS is_shared, to_jsonb(t) -> 'documents' AS documents, \
    coalesce(to_jsonb(t) -> 'pinned_by' ? $1::text, false) AS is_pinned";

/// Whether the user `$1` sees a conversation, from table `threads` as `t`.
pub const IS_VISIBLE: &str = "(to_jsonb(t) ->> 'deleted_at' IS NULL \
    AND (t.created_by = $1 OR coalesce((to_jsonb(t) ->> 'is_shared')::boolean, true)))";

/// [`IS_VISIBLE`] in tenants that have been migrated. The planner can estimate how many rows it
/// selects, so it uses the index on `updated_at`.
pub(super) const IS_VISIBLE_IF_MIGRATED: &str =
    "(t.deleted_at IS NULL AND (t.created_by = $1 OR t.is_shared))";

/// The columns of a [`Message`], from table `messages` as `m`.
pub(super) const MESSAGE_COLUMNS: &str = "m.id, m.thread_id, m.ordinal, m.author, m.state, m.text, m.citations, m.model, m.failure, \
    m.created_by, m.created_at";

/// The column `messages.author`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(in crate::ask) enum StoredAuthor {
    Person,
    Model,
    #[sqlx(rename = "extracts")]
    Excerpts,
}

impl StoredAuthor {
    /// The author of an answer by this model, or of one made of excerpts.
    pub(in crate::ask) fn of_answer(model: Option<&str>) -> Self {
        model.map_or(Self::Excerpts, |_| Self::Model)
    }
}

/// The column `messages.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(in crate::ask) enum StoredState {
    Pending,
    Complete,
    Stopped,
    Failed,
    NotFound,
}

impl FromRow<'_, PgRow> for Thread {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let first = (row.try_get("document_id")?, row.try_get("document_title")?);
        let is_shared: Option<bool> = row.try_get("is_shared")?;
        Ok(Self {
            id: row.try_get("id")?,
            title: row.try_get("title")?,
            created_by: row.try_get("created_by")?,
            visibility: match is_shared {
                Some(false) => Visibility::Private,
                Some(true) => Visibility::Shared,
                None => Visibility::NotRestricted,
            },
            is_pinned: row.try_get("is_pinned")?,
            documents: scope(first, row.try_get("documents")?),
            updated_at: row.try_get::<SqlTimestamp, _>("updated_at")?.to_jiff(),
        })
    }
}

/// The documents of a conversation. The list is ignored unless it begins with `document_id`, because
/// older versions of the app change only that column.
pub(in crate::ask) fn scope(
    (first, title): (Option<DocumentId>, Option<String>),
    documents: Option<Json<Vec<ScopeDocument>>>,
) -> Vec<ScopeDocument> {
    let Some(document) = first else {
        return Vec::new();
    };
    let listed = documents.map(|Json(documents)| documents);
    let title = title.unwrap_or_default();
    listed
        .filter(|listed| {
            listed
                .first()
                .is_some_and(|first| first.document == document)
        })
        .unwrap_or_else(|| vec![ScopeDocument { document, title }])
}

impl FromRow<'_, PgRow> for Message {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let model: Option<String> = row.try_get("model")?;
        let citations: Json<Vec<Citation>> = row.try_get("citations")?;
        Ok(Self {
            id: row.try_get("id")?,
            thread: row.try_get("thread_id")?,
            ordinal: row.try_get("ordinal")?,
            author: match row.try_get("author")? {
                StoredAuthor::Person => Author::Person,
                StoredAuthor::Model => Author::Model(model.unwrap_or_default()),
                StoredAuthor::Excerpts => Author::Excerpts,
            },
            state: match row.try_get("state")? {
                StoredState::Pending => MessageState::Pending,
                StoredState::Complete => MessageState::Complete,
                StoredState::Stopped => MessageState::Stopped,
                StoredState::NotFound => MessageState::NotFound,
                StoredState::Failed => MessageState::Failed(failure(row)?),
            },
            text: row.try_get("text")?,
            citations: citations.0,
            created_by: row.try_get("created_by")?,
            created_at: row.try_get::<SqlTimestamp, _>("created_at")?.to_jiff(),
        })
    }
}

/// A reason that a newer version wrote counts as an interruption.
fn failure(row: &PgRow) -> Result<AnswerFailure, sqlx::Error> {
    match row.try_get("failure") {
        Err(sqlx::Error::ColumnDecode { .. }) => Ok(AnswerFailure::Interrupted),
        failure => failure,
    }
}
