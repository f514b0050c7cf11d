//! Chooses the embedding model that workspaces are migrated to while processes with different
//! models are running: during a rollout, or permanently by misconfiguration.
//!
//! Every process that runs jobs records its configured model at startup and then every minute. **Of
//! the models with a heartbeat within [`HEARTBEAT_TIMEOUT`], the one that appeared last is the
//! target.** Workspaces are migrated only to the target, by processes configured with it; other
//! processes keep ingesting documents and answering questions, but re-embed nothing. A model that
//! is absent for less than [`FORGET_AFTER`] keeps its rank, so restarting a process with an older
//! model changes nothing. When no process has the newer model any more (a rollback), the older
//! model becomes the target again. Each change of configuration therefore migrates a workspace
//! once.
//!
//! All times are those of the main database. Each model is one row, written by one statement, so a
//! crash leaves nothing half done.

use std::time::Duration;

use sqlx::{PgExecutor, PgPool};
use tokio::time::sleep;
use tracing::{info, warn};

/// A model without a heartbeat for this long is not in use.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(10);
/// A model without a heartbeat for this long counts as new when it reappears.
pub const FORGET_AFTER: Duration = Duration::from_hours(24);
/// Several times per [`HEARTBEAT_TIMEOUT`].
const HEARTBEAT_INTERVAL: Duration = Duration::from_mins(1);

/// Records that a process is configured with this model.
pub async fn heartbeat(executor: impl PgExecutor<'_>, model: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO embedding_models AS known (model) VALUES ($1)
         ON CONFLICT (model) DO UPDATE SET seen_at = now(),
             came_at = CASE WHEN known.seen_at < now() - make_interval(secs => $2) THEN now() ELSE known.came_at END",
    )
    .bind(model)
    .bind(FORGET_AFTER.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(())
}

/// The target model; `own`, the caller's model, if none is recorded yet.
pub async fn target(executor: impl PgExecutor<'_>, own: &str) -> sqlx::Result<String> {
    let newest: Option<String> = sqlx::query_scalar(
        "SELECT model FROM embedding_models WHERE seen_at > now() - make_interval(secs => $1)
         ORDER BY came_at DESC, model LIMIT 1",
    )
    .bind(HEARTBEAT_TIMEOUT.as_secs_f64())
    .fetch_optional(executor)
    .await?;
    Ok(newest.unwrap_or_else(|| own.to_owned()))
}

/// Records this process's model periodically, and logs changes of the target.
pub async fn heartbeat_loop(database: PgPool, model: String) {
    let mut logged: Option<String> = None;
    loop {
        let recorded = async {
            heartbeat(&database, &model).await?;
            target(&database, &model).await
        };
        match recorded.await {
            Ok(target) if logged.as_ref() == Some(&target) => {}
            Ok(target) => {
                if target == model {
                    info!(
                        embedding.model = model,
                        "this process's embedding model is the target of re-embedding"
                    );
                } else {
                    warn!(
                        embedding.model = model,
                        embedding.target = target,
                        "a newer process has another embedding model, which is the target of re-embedding"
                    );
                }
                logged = Some(target);
            }
            Err(error) => warn!(
                error = %service_kit::error_chain(&error),
                "failed to record this process's embedding model, retrying"
            ),
        }
        sleep(HEARTBEAT_INTERVAL).await;
    }
}
