//! How many conversations a workspace's database holds, for the receipt, while it can still be asked.
//!
//! A removal waits for no database: one that cannot be read soon is not counted, and goes all the same. Only numbers are read.

use std::time::Duration;

use sqlx::Row as _;
use tokio::time::timeout;
use tracing::info;

use super::progress::Conversations;
use crate::tenants::{Pools, Unavailable};
use crate::workspaces::{Workspace, WorkspaceState};

/// Limit on counting: long enough for a compute that sleeps to wake up.
const COUNTING_TAKES_MAX: Duration = Duration::from_secs(10);

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the conversations could not be counted")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    TooSlow,
}

/// Counts them, or says that it could not be done. Lets go of the database afterwards.
pub(super) async fn count(pools: &Pools, workspace: &Workspace) -> Conversations {
    let counted = timeout(COUNTING_TAKES_MAX, ask(pools, workspace))
        .await
        .unwrap_or(Err(CountError::TooSlow));
    pools.forget(&workspace.id);
    counted.unwrap_or_else(|error| {
        info!(
            workspace.id = %workspace.id,
            error = &error as &dyn std::error::Error,
            "What a workspace's conversations were is not counted"
        );
        Conversations::Unknown
    })
}

async fn ask(pools: &Pools, workspace: &Workspace) -> Result<Conversations, CountError> {
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
    Ok(Conversations::Counted {
        threads: number("threads")?,
        messages: number("messages")?,
    })
}
