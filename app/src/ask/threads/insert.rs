//! Inserts a question and its pending answer.

use sqlx::{PgPool, Postgres, Transaction};

use super::row::{MESSAGE_COLUMNS, StoredAuthor, StoredState};
use super::{AskedQuestion, Message, QuestionTarget, shorten};
use crate::ask::{ANSWER_TIMEOUT, AskError, MAX_ANSWERS_PER_WORKSPACE, Question};
use crate::ids::{DocumentId, MessageId, ThreadId, UserId};

/// Advisory lock around counting the answers in progress and adding one.
const COUNT_LOCK: &str = "answers_in_progress";
/// Maximum length of a conversation's title, which is its first question, shortened.
const MAX_TITLE_CHARS: usize = 120;

/// Inserts a question and its pending answer in one transaction. `model` is the chat model that
/// will answer; `None` if the answer will consist of excerpts.
pub async fn ask(
    database: &PgPool,
    asked_by: UserId,
    question: &Question,
    target: QuestionTarget,
    model: Option<&str>,
) -> Result<AskedQuestion, AskError> {
    let failed = AskError::Database;
    let mut transaction = database.begin().await.map_err(failed)?;
    ensure_below_limit(&mut transaction).await?;
    let thread = match target {
        QuestionTarget::NewThread(document) => {
            create(&mut transaction, asked_by, question, document).await?
        }
        QuestionTarget::Thread(thread) => {
            continue_thread(&mut transaction, thread).await?;
            thread
        }
        QuestionTarget::ThreadAbout(thread, document) => {
            let before = continue_thread(&mut transaction, thread).await?;
            // It may have been deleted since.
            if before != document {
                set_document(&mut transaction, thread, document).await?;
            }
            thread
        }
    };
    let asked = AskedQuestion {
        thread,
        question: append(
            &mut transaction,
            thread,
            (
                StoredAuthor::Person,
                StoredState::Complete,
                question.as_str(),
            ),
            None,
            Some(asked_by),
        )
        .await
        .map_err(failed)?,
        answer: append(
            &mut transaction,
            thread,
            (StoredAuthor::of_answer(model), StoredState::Pending, ""),
            model,
            None,
        )
        .await
        .map_err(failed)?,
    };
    transaction.commit().await.map_err(failed)?;
    Ok(asked)
}

/// Starts a finished answer again, from the beginning. `model` is the chat model that will answer.
/// Returns `false` if there is no such answer, or if it is being written.
pub async fn regenerate(
    database: &PgPool,
    thread: ThreadId,
    message: MessageId,
    model: Option<&str>,
) -> Result<bool, AskError> {
    let failed = AskError::Database;
    let mut transaction = database.begin().await.map_err(failed)?;
    ensure_below_limit(&mut transaction).await?;
    // The writer of the stopped answer may still be about to save its text: without its claim, it
    // does not. The time is that of the new answer, because only recent answers count as in
    // progress.
    let updated = sqlx::query(
        "UPDATE messages SET state = 'pending', failure = NULL, text = '', citations = '[]', author = $3, model = $4, takes = 0,
             claimed_by = NULL, claimed_until = NULL, created_at = now()
         WHERE id = $1 AND thread_id = $2 AND author <> 'person' AND state <> 'pending'",
    )
    .bind(message.0)
    .bind(thread.0)
    .bind(StoredAuthor::of_answer(model))
    .bind(model)
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(updated.rows_affected() > 0)
}

/// Fails if the workspace has too many answers in progress. Holds a lock until the transaction
/// ends, so that concurrent questions count each other.
async fn ensure_below_limit(transaction: &mut Transaction<'_, Postgres>) -> Result<(), AskError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(COUNT_LOCK)
        .execute(&mut **transaction)
        .await
        .map_err(AskError::Database)?;
    // A new answer without a writer counts as well, because its page is about to open its stream.
    // One that is older than the longest possible answer was abandoned and does not count.
    let in_progress: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messages WHERE state = 'pending'
           AND (claimed_until > now() OR created_at > now() - $1 * interval '1 second')",
    )
    .bind(ANSWER_TIMEOUT.as_secs_f64())
    .fetch_one(&mut **transaction)
    .await
    .map_err(AskError::Database)?;
    if in_progress >= MAX_ANSWERS_PER_WORKSPACE {
        return Err(AskError::TooManyAnswers);
    }
    Ok(())
}

async fn create(
    transaction: &mut Transaction<'_, Postgres>,
    asked_by: UserId,
    question: &Question,
    document: Option<DocumentId>,
) -> Result<ThreadId, AskError> {
    let title = title(transaction, document).await?;
    let thread = ThreadId::random();
    sqlx::query(
        "INSERT INTO threads (id, title, created_by, document_id, document_title) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(thread.0)
    .bind(shorten(question.as_str(), MAX_TITLE_CHARS))
    .bind(asked_by.0)
    .bind(document.map(|document| document.0))
    .bind(title)
    .execute(&mut **transaction)
    .await
    .map_err(AskError::Database)?;
    Ok(thread)
}

async fn title(
    transaction: &mut Transaction<'_, Postgres>,
    document: Option<DocumentId>,
) -> Result<Option<String>, AskError> {
    let Some(document) = document else {
        return Ok(None);
    };
    let title = sqlx::query_scalar("SELECT title FROM documents WHERE id = $1")
        .bind(document.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(AskError::Database)?;
    title.ok_or(AskError::DocumentNotFound).map(Some)
}

/// Locks the conversation until the transaction ends, so that concurrent questions get different
/// ordinals. Returns the document that it is about.
async fn continue_thread(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
) -> Result<Option<DocumentId>, AskError> {
    sqlx::query_scalar("UPDATE threads SET updated_at = now() WHERE id = $1 RETURNING document_id")
        .bind(thread.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(AskError::Database)?
        .ok_or(AskError::ThreadNotFound)
}

async fn set_document(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
    document: Option<DocumentId>,
) -> Result<(), AskError> {
    let title = title(transaction, document).await?;
    sqlx::query("UPDATE threads SET document_id = $2, document_title = $3 WHERE id = $1")
        .bind(thread.0)
        .bind(document.map(|document| document.0))
        .bind(title)
        .execute(&mut **transaction)
        .await
        .map_err(AskError::Database)?;
    Ok(())
}

async fn append(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
    (author, state, text): (StoredAuthor, StoredState, &str),
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
