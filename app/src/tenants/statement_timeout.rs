//! Limits the time of statements in tenant databases.

use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};

/// `query_canceled`.
const QUERY_CANCELED: &str = "57014";

/// Begins a transaction whose statements are canceled after this time, see
/// [`is_statement_timeout`]. The pooler rejects a limit for a whole session.
pub async fn begin_with_timeout(
    database: &PgPool,
    timeout: Duration,
) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut transaction = database.begin().await?;
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(timeout.as_millis().to_string())
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// Whether the statement timeout ended the query.
pub fn is_statement_timeout(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some(QUERY_CANCELED))
}
