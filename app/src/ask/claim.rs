//! A writer's claim on an answer: one writer at a time across all processes, by a lease in the
//! answer's row.
//!
//! A writer renews its claim while it writes. If it is killed the claim expires, and the next
//! reader starts the answer from the beginning. Every write requires the claim, so a writer that
//! was suspended and replaced changes nothing.

use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::AnswerFailure;
use super::threads::{Citation, StoredAuthor, StoredState};
use crate::ids::{MessageId, ThreadId, UserId};
use crate::tenants::lacks_migration;

/// A claim expires this long after its last renewal.
pub(super) const CLAIM_TTL: Duration = Duration::from_secs(15);
/// An answer that was started this often without finishing is given up.
const MAX_STARTS: i32 = 5;

/// The right to write an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerClaim {
    pub(super) message: MessageId,
    writer: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerOutcome {
    Complete,
    NotFound,
    Failed(AnswerFailure),
}

impl AnswerClaim {
    /// Claims the answer if it is pending and has no writer. `model` is the chat model that will
    /// answer; `None` if the answer will consist of excerpts.
    pub(super) async fn take(
        database: &PgPool,
        message: MessageId,
        writer: Uuid,
        model: Option<&str>,
    ) -> Result<Option<Self>, sqlx::Error> {
        let starts: Option<i32> = sqlx::query_scalar(
            "UPDATE messages SET claimed_by = $2, claimed_until = now() + $3 * interval '1 second', takes = takes + 1,
                 text = '', citations = '[]', author = $5, model = $4
             WHERE id = $1 AND state = 'pending' AND (claimed_until IS NULL OR claimed_until <= now())
             RETURNING takes",
        )
        .bind(message.0)
        .bind(writer)
        .bind(CLAIM_TTL.as_secs_f64())
        .bind(model)
        .bind(StoredAuthor::of_answer(model))
        .fetch_optional(database)
        .await?;
        let claim = Self { message, writer };
        match starts {
            None => Ok(None),
            Some(starts) if starts > MAX_STARTS => {
                claim
                    .finish(
                        database,
                        AnswerOutcome::Failed(AnswerFailure::Abandoned),
                        "",
                        &[],
                    )
                    .await?;
                Ok(None)
            }
            Some(_) => Ok(Some(claim)),
        }
    }

    /// Saves what has been written so far and renews the claim. Returns `false` if the claim is
    /// lost.
    pub(super) async fn save(
        &self,
        database: &PgPool,
        text: &str,
        citations: &[Citation],
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = database.begin().await?;
        let citations = without_removed_quotes(&mut transaction, citations).await?;
        let done = sqlx::query(
            "UPDATE messages SET text = $3, citations = $4, claimed_until = now() + $5 * interval '1 second'
             WHERE id = $1 AND claimed_by = $2 AND state = 'pending'",
        )
        .bind(self.message.0)
        .bind(self.writer)
        .bind(text)
        .bind(Json(citations))
        .bind(CLAIM_TTL.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Saves the end of the answer. Does nothing if the claim is lost. If the answer was stopped in
    /// the meantime, keeps that state and the text written until then.
    pub(super) async fn finish(
        &self,
        database: &PgPool,
        outcome: AnswerOutcome,
        text: &str,
        citations: &[Citation],
    ) -> Result<(), sqlx::Error> {
        let (state, failure) = match outcome {
            AnswerOutcome::Complete => (StoredState::Complete, None),
            AnswerOutcome::NotFound => (StoredState::NotFound, None),
            AnswerOutcome::Failed(failure) => (StoredState::Failed, Some(failure)),
        };
        let mut transaction = database.begin().await?;
        let citations = without_removed_quotes(&mut transaction, citations).await?;
        sqlx::query(
            "UPDATE messages SET text = $3, citations = $4, claimed_until = NULL,
                 state = CASE WHEN state = 'stopped' THEN state ELSE $5 END, failure = CASE WHEN state = 'stopped' THEN NULL ELSE $6 END
             WHERE id = $1 AND claimed_by = $2 AND state IN ('pending', 'stopped')",
        )
        .bind(self.message.0)
        .bind(self.writer)
        .bind(text)
        .bind(Json(citations))
        .bind(state)
        .bind(failure)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Saves that the answer failed, and keeps the text that was saved before. Does nothing if the
    /// claim is lost, and keeps the state of an answer that was stopped.
    pub(super) async fn fail(
        &self,
        database: &PgPool,
        failure: AnswerFailure,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE messages SET claimed_until = NULL, state = CASE WHEN state = 'stopped' THEN state ELSE $3 END,
                 failure = CASE WHEN state = 'stopped' THEN NULL ELSE $4 END
             WHERE id = $1 AND claimed_by = $2 AND state IN ('pending', 'stopped')",
        )
        .bind(self.message.0)
        .bind(self.writer)
        .bind(StoredState::Failed)
        .bind(failure)
        .execute(database)
        .await?;
        Ok(())
    }

    /// Releases the claim, so that another process can start the answer immediately.
    pub(super) async fn release(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE messages SET claimed_until = NULL, takes = takes - 1 WHERE id = $1 AND claimed_by = $2 AND state = 'pending'",
        )
        .bind(self.message.0)
        .bind(self.writer)
        .execute(database)
        .await?;
        Ok(())
    }
}

/// Returns the citations without the quotes of documents that have been deleted since the search:
/// the deletion cleared the quotes in the row, and they must not reappear. Locks the rows of the
/// other documents until the transaction ends, so that a concurrent deletion runs after this write
/// and clears it.
async fn without_removed_quotes(
    transaction: &mut PgConnection,
    citations: &[Citation],
) -> Result<Vec<Citation>, sqlx::Error> {
    let mut citations = citations.to_vec();
    if citations.is_empty() {
        return Ok(citations);
    }
    let cited: Vec<Uuid> = citations
        .iter()
        .map(|citation| citation.document.0)
        .collect();
    let existing: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM documents WHERE id = ANY($1) ORDER BY id FOR KEY SHARE")
            .bind(&cited)
            .fetch_all(transaction)
            .await?;
    for citation in &mut citations {
        if !existing.contains(&citation.document.0) {
            citation.quote.clear();
        }
    }
    Ok(citations)
}

/// Stops a pending answer, no matter which process writes it, and records the user. Returns whether
/// the answer was pending.
pub(super) async fn stop(
    database: &PgPool,
    thread: ThreadId,
    message: MessageId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let stop = |who| {
        format!(
            "UPDATE messages SET state = 'stopped', claimed_until = NULL {who} WHERE id = $1 AND thread_id = $2 AND state = 'pending'"
        )
    };
    let recorded = sqlx::query(sqlx::AssertSqlSafe(stop(", stopped_by = $3")))
        .bind(message.0)
        .bind(thread.0)
        .bind(user.0)
        .execute(database)
        .await;
    let done = match recorded {
        Err(error) if lacks_migration(&error) => {
            sqlx::query(sqlx::AssertSqlSafe(stop("")))
                .bind(message.0)
                .bind(thread.0)
                .execute(database)
                .await?
        }
        done => done?,
    };
    Ok(done.rows_affected() > 0)
}
