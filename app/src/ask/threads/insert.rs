//! A question and its answer to come, written down.

use sqlx::{PgPool, Postgres, Transaction};

use super::row::MESSAGE_COLUMNS;
use super::{Asked, Message, Place, shortened};
use crate::ask::{ANSWER_LIMIT, ANSWERS_PER_WORKSPACE_MAX, AskError, Question};
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};

/// The advisory lock of whoever counts answers under way and adds one.
const COUNT_LOCK: &str = "answers_under_way";
/// Characters of a conversation's title, which its first question gives.
const TITLE_CHARS_MAX: usize = 120;

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
