//! Conversations as the tenant's database keeps them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::{ANSWER_LIMIT, ANSWERS_PER_WORKSPACE_MAX, AskError, Failure, Question};
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};
use crate::workspaces::store::moment;

/// Conversations in a list at most, the newest.
pub const THREADS_LISTED_MAX: i64 = 100;
/// Messages of a conversation shown at most, the newest.
pub const MESSAGES_SHOWN_MAX: i64 = 200;
/// Documents to choose from at most, the newest.
pub const DOCUMENTS_LISTED_MAX: i64 = 200;
/// The advisory lock of whoever counts answers under way and adds one.
const COUNT_LOCK: &str = "answers_under_way";
/// Characters of a conversation's title, which its first question gives.
const TITLE_CHARS_MAX: usize = 120;

const MESSAGE_COLUMNS: &str = "m.id, m.thread_id, m.ordinal, m.author, m.state, m.text, m.citations, m.model, m.failure, m.created_by, \
    (extract(epoch from m.created_at) * 1000000)::bigint AS created_us";

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Stands in its URL.
    pub id: ThreadId,
    /// Its first question, shortened.
    pub title: String,
    /// The one document that it asks, with what it was called; `None`: all.
    pub document: Option<(DocumentId, String)>,
    /// When somebody last wrote in it.
    pub updated_at: Timestamp,
}

/// A question or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Stands in URLs.
    pub id: MessageId,
    /// Its conversation.
    pub thread: ThreadId,
    /// Its place there, from 0.
    pub ordinal: i32,
    /// Who speaks.
    pub author: Author,
    /// How far it is.
    pub state: MessageState,
    /// What is said.
    pub text: String,
    /// What an answer was given to read.
    pub citations: Vec<Citation>,
    /// Who asked.
    pub created_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A person, with a question.
    Person,
    /// A model, by its name.
    Model(String),
    /// The documents themselves.
    Extracts,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// It is to be written, or is being written.
    Pending,
    /// It is whole. So are questions.
    Complete,
    /// Somebody ended it.
    Stopped,
    /// It could not be written to its end.
    Failed(Failure),
    /// Nothing in the documents is near enough.
    NotFound,
}

/// A passage that an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// As it stands in the text: `[1]`.
    pub number: u32,
    /// Whose passage it is.
    pub document: DocumentId,
    /// What the document was called.
    pub title: String,
    /// The page where the best of it begins.
    pub page: u32,
    /// First page of the passage.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// Whether the answer refers to it.
    pub cited: bool,
    /// What it says, shortened.
    pub quote: String,
    /// Whether the document has been removed since.
    #[serde(skip)]
    pub is_gone: bool,
}

/// Where a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a new conversation, of one document or of all.
    New(Option<DocumentId>),
    /// In one that is there.
    Thread(ThreadId),
}

/// A question that was asked, and its answer to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where they stand.
    pub thread: ThreadId,
    /// What was asked.
    pub question: Message,
    /// What will be answered.
    pub answer: Message,
}

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

/// Writes down a question and its answer to come, in one transaction. `model` is who will answer; `None`: extracts.
pub async fn ask(
    database: &PgPool,
    asked_by: UserId,
    question: &Question,
    place: Place,
    model: Option<&str>,
) -> Result<Asked, AskError> {
    let failed = AskError::Database;
    let mut transaction = database.begin().await.map_err(failed)?;
    // Until the commit, so that questions asked at once count each other.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(COUNT_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    // One that nobody writes yet counts too: whoever asked is about to open it. One left lying longer than an answer takes does not.
    let under_way: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messages WHERE state = 'pending'
           AND (claimed_until > now() OR created_at > now() - $1 * interval '1 second')",
    )
    .bind(ANSWER_LIMIT.as_secs_f64())
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed)?;
    if under_way >= ANSWERS_PER_WORKSPACE_MAX {
        return Err(AskError::TooManyAnswers);
    }
    let thread = match place {
        Place::New(document) => begin(&mut transaction, asked_by, question, document).await?,
        Place::Thread(thread) => go_on(&mut transaction, thread).await?,
    };
    let (author, model) = match model {
        Some(model) => ("model", Some(model)),
        None => ("extracts", None),
    };
    let asked = Asked {
        thread,
        question: append(
            &mut transaction,
            thread,
            ("person", "complete", question.as_str()),
            None,
            Some(asked_by),
        )
        .await
        .map_err(failed)?,
        answer: append(
            &mut transaction,
            thread,
            (author, "pending", ""),
            model,
            None,
        )
        .await
        .map_err(failed)?,
    };
    transaction.commit().await.map_err(failed)?;
    Ok(asked)
}

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

async fn begin(
    transaction: &mut Transaction<'_, Postgres>,
    asked_by: UserId,
    question: &Question,
    document: Option<DocumentId>,
) -> Result<ThreadId, AskError> {
    let title: Option<String> = match document {
        None => None,
        Some(document) => Some(
            sqlx::query_scalar("SELECT title FROM documents WHERE id = $1")
                .bind(document.0)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(AskError::Database)?
                .ok_or(AskError::NoSuchDocument)?,
        ),
    };
    let thread = ThreadId::random();
    sqlx::query(
        "INSERT INTO threads (id, title, created_by, document_id, document_title) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(thread.0)
    .bind(shortened(question.as_str(), TITLE_CHARS_MAX))
    .bind(asked_by.0)
    .bind(document.map(|document| document.0))
    .bind(title)
    .execute(&mut **transaction)
    .await
    .map_err(AskError::Database)?;
    Ok(thread)
}

/// Holds the conversation until the transaction ends, so that two questions at once get places of their own.
async fn go_on(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
) -> Result<ThreadId, AskError> {
    let done = sqlx::query("UPDATE threads SET updated_at = now() WHERE id = $1")
        .bind(thread.0)
        .execute(&mut **transaction)
        .await
        .map_err(AskError::Database)?;
    if done.rows_affected() == 0 {
        return Err(AskError::NoSuchThread);
    }
    Ok(thread)
}

async fn append(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
    (author, state, text): (&str, &str, &str),
    model: Option<&str>,
    created_by: Option<UserId>,
) -> Result<Message, sqlx::Error> {
    let query = format!(
        "INSERT INTO messages AS m (id, thread_id, ordinal, author, state, text, model, created_by)
         SELECT $1, $2, coalesce(max(ordinal) + 1, 0), $3, $4, $5, $6, $7 FROM messages WHERE thread_id = $2
         RETURNING {MESSAGE_COLUMNS}"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(MessageId::random().0)
        .bind(thread.0)
        .bind(author)
        .bind(state)
        .bind(text)
        .bind(model)
        .bind(created_by.map(|user| user.0))
        .fetch_one(&mut **transaction)
        .await
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

/// One line of a text, of so many characters at most.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(characters_max - 1) {
        Some((end, _)) if line[end..].chars().nth(1).is_some() => {
            format!("{}\u{2026}", line[..end].trim_end())
        }
        _ => line,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_and_ends_where_it_no_longer_fits() {
        assert_eq!(shortened("What\nis  this?", 20), "What is this?");
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde\u{2026}");
        assert_eq!(
            shortened("\u{e9}\u{e9}\u{e9}\u{e9}", 3),
            "\u{e9}\u{e9}\u{2026}"
        );
    }
}
