//! Which embedding model workspaces are brought to, where processes with several models are at work: during a roll-out, or for long
//! by mistake.
//!
//! Every process that does jobs writes down, as it starts and then every minute, which model it is configured with. **Of the models that
//! a process was seen with in the last [`LIVE_FOR`], the one that came last is wanted**, and only to that one workspaces are brought, by
//! processes that have it; the others read new documents and answer meanwhile, and re-embed nothing. A model keeps its place while it
//! is away for less than [`FORGOTTEN_AFTER`], so a process that restarts with an older model changes nothing; when nobody has the newer one
//! any more (a roll-back), the older is wanted again. So each change of configuration moves a workspace once.
//!
//! All times are the main database's. One row a model, written by one statement: a crash leaves nothing half done.

use std::time::Duration;

use sqlx::{PgExecutor, PgPool};
use tokio::time::sleep;
use tracing::{info, warn};

/// A model that no process was seen with for so long is nobody's now.
pub const LIVE_FOR: Duration = Duration::from_mins(10);
/// A model that was away for so long counts as new when it comes back.
pub const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// How often a process writes down which model it has: several times within [`LIVE_FOR`].
const NOTED_EVERY: Duration = Duration::from_mins(1);

/// Writes down that a process is configured with this model.
pub async fn note(executor: impl PgExecutor<'_>, model: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO embedding_models AS known (model) VALUES ($1)
         ON CONFLICT (model) DO UPDATE SET seen_at = now(),
             came_at = CASE WHEN known.seen_at < now() - make_interval(secs => $2) THEN now() ELSE known.came_at END",
    )
    .bind(model)
    .bind(FORGOTTEN_AFTER.as_secs_f64())
    .execute(executor)
    .await?;
    Ok(())
}

/// The model that workspaces are brought to; `own`, the caller's, where none is written down yet.
pub async fn wanted(executor: impl PgExecutor<'_>, own: &str) -> sqlx::Result<String> {
    let newest: Option<String> = sqlx::query_scalar(
        "SELECT model FROM embedding_models WHERE seen_at > now() - make_interval(secs => $1)
         ORDER BY came_at DESC, model LIMIT 1",
    )
    .bind(LIVE_FOR.as_secs_f64())
    .fetch_optional(executor)
    .await?;
    Ok(newest.unwrap_or_else(|| own.to_owned()))
}

/// Notes the process's model for as long as it is polled, and tells the log when another is wanted.
pub async fn keep_noting(database: PgPool, model: String) {
    let mut told: Option<String> = None;
    loop {
        let noted = async {
            note(&database, &model).await?;
            wanted(&database, &model).await
        };
        match noted.await {
            Ok(wanted) if told.as_ref() == Some(&wanted) => {}
            Ok(wanted) => {
                if wanted == model {
                    info!(
                        embedding.model = model,
                        "Workspaces are brought to this process's embedding model"
                    );
                } else {
                    warn!(
                        embedding.model = model,
                        embedding.wanted = wanted,
                        "Another process was configured with another embedding model later: workspaces are brought to that one"
                    );
                }
                told = Some(wanted);
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "The embedding model of this process could not be written down; it is tried again"
            ),
        }
        sleep(NOTED_EVERY).await;
    }
}
