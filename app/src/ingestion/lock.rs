//! The per-document lock in the tenant's database: serializes all writes to a document's rows.

use sqlx::{PgPool, Postgres, Transaction};

use super::claim::DocumentClaim;
use super::error::StepError;
use crate::ids::DocumentId;

/// How long a transaction waits for the lock, in milliseconds.
const LOCK_TIMEOUT_MS: u32 = 30_000;
/// Statement timeout in milliseconds. Storing thousands of chunks on a small compute is slow.
const STATEMENT_TIMEOUT_MS: u32 = 120_000;

/// Begins a transaction that holds the document's lock. Fails with [`StepError::ClaimLost`] if the
/// claim no longer holds.
pub(super) async fn lock_claimed(
    tenant: &PgPool,
    claim: &DocumentClaim,
) -> Result<Transaction<'static, Postgres>, StepError> {
    let transaction = lock_document(tenant, claim.document)
        .await
        .map_err(StepError::TenantDatabase)?;
    // Checked under the lock: cancelling or deleting a document changes the row first, and the
    // deletion then waits for this lock before it deletes anything.
    if claim.is_current().await.map_err(StepError::MainDatabase)? {
        Ok(transaction)
    } else {
        Err(StepError::ClaimLost)
    }
}

/// Begins a transaction that holds the document's lock.
pub(super) async fn lock_document(
    tenant: &PgPool,
    document: DocumentId,
) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut transaction = tenant.begin().await?;
    sqlx::query(
        "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true),
                set_config('idle_in_transaction_session_timeout', $2, true)",
    )
    .bind(LOCK_TIMEOUT_MS.to_string())
    .bind(STATEMENT_TIMEOUT_MS.to_string())
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("document:{document}"))
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}
