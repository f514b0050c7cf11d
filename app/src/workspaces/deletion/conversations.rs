//! How many conversations a workspace's database holds, for the receipt, while it can still be asked.
//!
//! A deletion waits for no database: one that cannot be read soon is not counted, and goes all the same. Only numbers are read.

use std::time::Duration;

use sqlx::Row as _;
use tokio::time::timeout;
use tracing::info;

use super::progress::ConversationCount;
use crate::tenants::{Pools, Unavailable};
use crate::domain::{Workspace, WorkspaceState};

/// Limit on counting: long enough for a compute that sleeps to wake up.
const COUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the conversations could not be counted")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    Timeout,
}

/// Counts them, or says that it could not be done. Lets go of the database afterwards.
pub(super) async fn count(pools: &Pools, workspace: &Workspace) -> ConversationCount {
    let counted = timeout(COUNT_TIMEOUT, query(pools, workspace))
        .await
        .unwrap_or(Err(CountError::Timeout));
    pools.close(&workspace.id);
    counted.unwrap_or_else(|error| {
        info!(
            workspace.id = %workspace.id,
            error = &error as &dyn std::error::Error,
            "What a workspace's conversations were is not counted"
        );
        ConversationCount::Unknown
    })
}

async fn query(pools: &Pools, workspace: &Workspace) -> Result<ConversationCount, CountError> {
    // For everybody else a workspace that is being removed has no database any more.
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
