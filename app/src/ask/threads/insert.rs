//! Inserts a question and its pending answer.

use std::collections::HashSet;

use sqlx::types::Json;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::row::{IS_VISIBLE, MESSAGE_COLUMNS, StoredAuthor, StoredState, THREAD_COLUMNS};
use super::{AskedQuestion, Message, QuestionTarget, ScopeDocument, Thread, shorten};
use crate::ask::{
    ANSWER_TIMEOUT, AskError, MAX_ANSWERS_PER_WORKSPACE, MAX_SCOPE_DOCUMENTS, Question,
};
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
    target: QuestionTarget<'_>,
    model: Option<&str>,
) -> Result<AskedQuestion, AskError> {
    let failed = AskError::Database;
    let mut transaction = database.begin().await.map_err(failed)?;
    ensure_below_limit(&mut transaction).await?;
    let thread = match target {
        QuestionTarget::NewThread(documents) => {
            let thread = create(&mut transaction, asked_by, question).await?;
            set_documents(&mut transaction, thread, documents).await?;
            thread
        }
        QuestionTarget::Thread(thread) => {
            continue_thread(&mut transaction, thread, asked_by).await?;
            thread
        }
        QuestionTarget::ThreadAbout(thread, documents) => {
            let before = continue_thread(&mut transaction, thread, asked_by).await?;
            // Unchanged documents may have been deleted since.
            if !is_about(&before, documents) {
                set_documents(&mut transaction, thread, documents).await?;
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
) -> Result<ThreadId, AskError> {
    let thread = ThreadId::random();
    sqlx::query("INSERT INTO threads (id, title, created_by) VALUES ($1, $2, $3)")
        .bind(thread.0)
        .bind(shorten(question.as_str(), MAX_TITLE_CHARS))
        .bind(asked_by.0)
        .execute(&mut **transaction)
        .await
        .map_err(AskError::Database)?;
    Ok(thread)
}

/// Locks the conversation until the transaction ends, so that concurrent questions get different
/// ordinals.
async fn continue_thread(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
    asked_by: UserId,
) -> Result<Thread, AskError> {
    let query = format!(
        "UPDATE threads t SET updated_at = now() WHERE t.id = $2 AND {IS_VISIBLE} RETURNING {THREAD_COLUMNS}"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(asked_by.0)
        .bind(thread.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(AskError::Database)?
        .ok_or(AskError::ThreadNotFound)
}

/// Whether the conversation is about these documents, in any order.
fn is_about(thread: &Thread, documents: &[DocumentId]) -> bool {
    let scope = thread.documents.iter().map(|scope| scope.document);
    scope.collect::<HashSet<_>>() == documents.iter().copied().collect()
}

/// Limits the conversation to these documents. An empty list removes the limit.
async fn set_documents(
    transaction: &mut Transaction<'_, Postgres>,
    thread: ThreadId,
    documents: &[DocumentId],
) -> Result<(), AskError> {
    let failed = AskError::Database;
    let documents = with_titles(transaction, documents).await?;
    let first = documents.first();
    let is_migrated: bool = sqlx::query_scalar(
        "UPDATE threads t SET document_id = $2, document_title = $3 WHERE id = $1 RETURNING to_jsonb(t) ? 'documents'",
    )
    .bind(thread.0)
    .bind(first.map(|scope| scope.document.0))
    .bind(first.map(|scope| &scope.title))
    .fetch_one(&mut **transaction)
    .await
    .map_err(failed)?;
    if is_migrated {
        sqlx::query("UPDATE threads SET documents = $2 WHERE id = $1")
            .bind(thread.0)
            .bind(Json(&documents))
            .execute(&mut **transaction)
            .await
            .map_err(failed)?;
    } else if documents.len() > 1 {
        return Err(AskError::NotMigrated);
    }
    Ok(())
}

/// The documents with their titles, each once.
async fn with_titles(
    transaction: &mut Transaction<'_, Postgres>,
    documents: &[DocumentId],
) -> Result<Vec<ScopeDocument>, AskError> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    if documents.len() > MAX_SCOPE_DOCUMENTS {
        return Err(AskError::TooManyDocuments);
    }
    let ids: Vec<Uuid> = documents.iter().map(|document| document.0).collect();
    let titled: Vec<(DocumentId, String)> = sqlx::query_as(
        "SELECT id, title FROM documents WHERE id = ANY($1) ORDER BY array_position($1, id)",
    )
    .bind(&ids)
    .fetch_all(&mut **transaction)
    .await
    .map_err(AskError::Database)?;
    if documents
        .iter()
        .any(|document| titled.iter().all(|(found, _)| found != document))
    {
        return Err(AskError::DocumentNotFound);
    }
    Ok(titled
        .into_iter()
        .map(|(document, title)| ScopeDocument { document, title })
        .collect())
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
