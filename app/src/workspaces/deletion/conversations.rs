//! Counts a workspace's conversations for the receipt, before its database is deleted.
//!
//! The deletion does not depend on the database: if it cannot be read soon, the count is unknown.
//! Only numbers are read.

use std::time::Duration;

use service_kit::error_chain;
use sqlx::Row as _;
use tokio::time::timeout;
use tracing::info;

use super::progress::ConversationCount;
use crate::domain::{Workspace, WorkspaceState};
use crate::tenants::{Pools, Unavailable};

/// Long enough for a suspended compute to start.
const COUNT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("query on the tenant database failed")]
    Database(#[from] sqlx::Error),
    #[error("timed out")]
    Timeout,
}

/// Counts the conversations, then closes the database.
pub(super) async fn count(pools: &Pools, workspace: &Workspace) -> ConversationCount {
    let counted = timeout(COUNT_TIMEOUT, query(pools, workspace))
        .await
        .unwrap_or(Err(CountError::Timeout));
    pools.close(&workspace.id);
    counted.unwrap_or_else(|error| {
        info!(
            workspace.id = %workspace.id,
            error = %error_chain(&error),
            "failed to count the workspace's conversations"
        );
        ConversationCount::Unknown
    })
}

async fn query(pools: &Pools, workspace: &Workspace) -> Result<ConversationCount, CountError> {
    // [`Pools::get`] rejects workspaces that are being deleted.
    let workspace = Workspace {
        state: WorkspaceState::Active,
        ..workspace.clone()
    };
    let tenant = pools.get(&workspace).await?;
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM threads) AS threads, (SELECT count(*) FROM messages) AS messages",
    )
    .fetch_one(tenant.pool())
    .await?;
    let number = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    Ok(ConversationCount::Counted {
        threads: number("threads")?,
        messages: number("messages")?,
    })
}
