//! Who writes an answer: one writer at a time in all processes, by a lease in the answer's row.
//!
//! A writer renews its lease while it writes. One that is killed does not, and the next reader takes the answer up from its beginning.
//! Every write names the claim, so that a writer that was frozen and taken for dead changes nothing any more.

use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Failure;
use super::threads::Citation;
use crate::ids::{MessageId, ThreadId};

/// A writer that gave no sign of life for so long is taken for dead.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// An answer that was begun so often and never ended is given up.
const TAKES_MAX: i32 = 5;

/// The right to write an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) message: MessageId,
    writer: Uuid,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    NotFound,
    Failed(Failure),
}

impl Claim {
    /// Takes the answer if it is pending and nobody writes it. `model` is who will answer; `None`: extracts.
    pub(super) async fn take(
        database: &PgPool,
        message: MessageId,
        writer: Uuid,
        model: Option<&str>,
    ) -> Result<Option<Self>, sqlx::Error> {
        let takes: Option<i32> = sqlx::query_scalar(
            "UPDATE messages SET claimed_by = $2, claimed_until = now() + $3 * interval '1 second', takes = takes + 1,
                 text = '', citations = '[]', author = CASE WHEN $4::text IS NULL THEN 'extracts' ELSE 'model' END, model = $4
             WHERE id = $1 AND state = 'pending' AND (claimed_until IS NULL OR claimed_until <= now())
             RETURNING takes",
        )
        .bind(message.0)
        .bind(writer)
        .bind(LEASE.as_secs_f64())
        .bind(model)
        .fetch_optional(database)
        .await?;
        let claim = Self { message, writer };
        match takes {
            None => Ok(None),
            Some(takes) if takes > TAKES_MAX => {
                claim
                    .end(database, End::Failed(Failure::Abandoned), "", &[])
                    .await?;
                Ok(None)
            }
            Some(_) => Ok(Some(claim)),
        }
    }

    /// Keeps what has been written so far, and renews the lease. `false`: the answer is no longer this writer's.
    pub(super) async fn keep(
        &self,
        database: &PgPool,
        text: &str,
        citations: &[Citation],
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = database.begin().await?;
        let citations = without_gone(&mut transaction, citations).await?;
        let done = sqlx::query(
            "UPDATE messages SET text = $3, citations = $4, claimed_until = now() + $5 * interval '1 second'
             WHERE id = $1 AND claimed_by = $2 AND state = 'pending'",
        )
        .bind(self.message.0)
        .bind(self.writer)
        .bind(text)
        .bind(Json(citations))
        .bind(LEASE.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The answer's last word. Does nothing if it is no longer this writer's; if it was stopped meanwhile, what was written till then is kept.
    pub(super) async fn end(
        &self,
        database: &PgPool,
        end: End,
        text: &str,
        citations: &[Citation],
    ) -> Result<(), sqlx::Error> {
        let (state, failure) = match end {
            End::Complete => ("complete", None),
            End::NotFound => ("not_found", None),
            End::Failed(failure) => ("failed", Some(failure.as_str())),
        };
        let mut transaction = database.begin().await?;
        let citations = without_gone(&mut transaction, citations).await?;
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

    /// Leaves the answer to whoever takes it up next, at once.
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

/// The citations without what they quote of documents that were removed since they were found: the removal has taken the quotes out of
/// the row once, and they must not come back. A document that is still there is held till the transaction ends, so that one that is
/// removed at the same time is removed after what is written here.
async fn without_gone(
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
    let there: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM documents WHERE id = ANY($1) ORDER BY id FOR KEY SHARE")
            .bind(&cited)
            .fetch_all(transaction)
            .await?;
    for citation in &mut citations {
        if !there.contains(&citation.document.0) {
            citation.quote.clear();
        }
    }
    Ok(citations)
}

/// Ends a pending answer where it is, whoever writes it. Returns whether it was pending.
pub(super) async fn stop(
    database: &PgPool,
    thread: ThreadId,
    message: MessageId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE messages SET state = 'stopped', claimed_until = NULL WHERE id = $1 AND thread_id = $2 AND state = 'pending'",
    )
    .bind(message.0)
    .bind(thread.0)
    .execute(database)
    .await?;
    Ok(done.rows_affected() > 0)
}
