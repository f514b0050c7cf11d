//! Re-embeds a workspace with another model: creates the new embeddings beside the old ones, which
//! stay in use until the new ones are complete.
//!
//! The job processes a few batches per run and reschedules itself, so it neither blocks a worker
//! nor loses progress. Once every chunk has an embedding, the workspace switches to the new model.
//! The old embeddings are deleted later, when no question in progress can still need them.
//! Documents ingested in the meantime get embeddings of both models.

use std::time::Duration;

use pgvector::Vector;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};
use tracing::info;
use uuid::Uuid;

use super::context::IngestContext;
use super::embedding_models::{DocumentEmbedder, EmbedError};
use super::target_model;
use super::vector_index::BuildVectorIndex;
use crate::domain::{Workspace, WorkspaceState};
use crate::events::{self, Event};
use crate::ids::WorkspaceId;
use crate::jobs::{self, Attempt, Job, JobError, JobHandler, backoff};
use crate::tenants::Unavailable;
use crate::workspaces;

/// How long the old embeddings are kept after the switch. A page that follows an answer keeps the
/// workspace as loaded for up to four minutes, and an answer started at the end of that may wait
/// two more minutes before it searches.
pub const OLD_VECTOR_RETENTION: Duration = Duration::from_mins(10);
/// Delay before a job that reached a worker with another model is tried again.
const OTHER_MODEL_DELAY: Duration = Duration::from_secs(10);
/// Chunks embedded and stored together.
const BATCH_CHUNKS: i64 = 64;
/// Batches per run, so that other jobs get their turn.
const BATCHES_PER_RUN: u32 = 20;
/// Pause between batches, so that users' uploads and questions get through to the model.
const BATCH_PAUSE: Duration = Duration::from_millis(100);
const RUN_PAUSE: Duration = Duration::from_secs(1);
/// Old embeddings deleted per statement.
const DELETE_BATCH: i64 = 2_000;
/// Users' uploads run first.
const PRIORITY: i16 = 50;

/// Re-embeds a workspace's chunks with another model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reembed {
    pub workspace: WorkspaceId,
    /// The target model when the job was added (see [`super::target_model`]). Only workers
    /// configured with this model run the job, and only while it is the target.
    pub model: String,
}

enum ReembedError {
    TenantDatabase(sqlx::Error),
    MainDatabase(sqlx::Error),
    Queue(jobs::QueueError),
    Model(EmbedError),
}

impl Job for Reembed {
    const NAME: &'static str = "reembed_workspace";

    fn key(&self) -> String {
        format!("reembed:{}", self.workspace)
    }

    fn queue_name(&self) -> Option<String> {
        Some(self.key())
    }

    fn priority(&self) -> i16 {
        PRIORITY
    }
}

impl JobHandler for Reembed {
    type Context = IngestContext;
    const IS_LONG: bool = true;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let deps = context.deps();
        let model = deps.models.current();
        let target = target_model::target(&deps.database, model.name())
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?;
        if self.model != target {
            // The target changed. The job for the new target deletes what this one created.
            let job = Self {
                workspace: self.workspace,
                model: target,
            };
            return jobs::add(&deps.database, &job)
                .await
                .map_err(|error| JobError::with_backoff(attempt, error));
        }
        if target != model.name() {
            return Err(JobError {
                retry_after: OTHER_MODEL_DELAY,
                reason: "this worker is configured with another embedding model".to_owned(),
            });
        }
        let workspace = workspaces::store::find(&deps.database, &self.workspace)
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?;
        let Some(workspace) = workspace.filter(|found| found.state != WorkspaceState::Deleting)
        else {
            return Ok(());
        };
        let connection = match deps.tenants.open(&workspace).await {
            Ok(connection) => connection,
            Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
            Err(reason) => return Err(JobError::with_backoff(attempt, reason)),
        };
        match advance(&context, &workspace, connection.pool(), &*model).await {
            Ok(None) => Ok(()),
            Ok(Some(retry_after)) => Err(JobError {
                retry_after,
                reason: "re-embedding is not complete yet".to_owned(),
            }),
            Err(ReembedError::TenantDatabase(error)) => {
                Err(context.failed_query(&workspace, attempt, &error).await)
            }
            Err(ReembedError::MainDatabase(error)) => Err(JobError::with_backoff(attempt, error)),
            Err(ReembedError::Queue(error)) => Err(JobError::with_backoff(attempt, error)),
            Err(ReembedError::Model(error)) => {
                let retry_after = match &error {
                    EmbedError::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
                    EmbedError::Rejected { .. } => Duration::ZERO,
                };
                Err(JobError {
                    retry_after: retry_after.max(backoff(attempt.number)),
                    reason: error.to_string(),
                })
            }
        }
    }
}

/// Runs some batches. `Some`: continue after this time.
async fn advance(
    context: &IngestContext,
    workspace: &Workspace,
    tenant: &PgPool,
    model: &dyn DocumentEmbedder,
) -> Result<Option<Duration>, ReembedError> {
    for _ in 0..BATCHES_PER_RUN {
        if embed_batch(tenant, model).await? == 0 {
            return complete(context, workspace, tenant, model.name()).await;
        }
        tokio::time::sleep(BATCH_PAUSE).await;
    }
    Ok(Some(RUN_PAUSE))
}

/// Embeds one batch of chunks that have no embedding yet, and returns their number.
async fn embed_batch(tenant: &PgPool, model: &dyn DocumentEmbedder) -> Result<usize, ReembedError> {
    // Copy embeddings that chunks with the same text already have under this model.
    sqlx::query(
        "INSERT INTO chunk_embeddings (chunk_id, model, embedding)
         SELECT DISTINCT ON (missing.id) missing.id, $1, existing.embedding
         FROM (SELECT id, content_sha256 FROM chunks c
               WHERE NOT EXISTS (SELECT FROM chunk_embeddings e WHERE e.chunk_id = c.id AND e.model = $1)
               ORDER BY id LIMIT $2) AS missing
         JOIN chunks same ON same.content_sha256 = missing.content_sha256
         JOIN chunk_embeddings existing ON existing.chunk_id = same.id AND existing.model = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(model.name())
    .bind(BATCH_CHUNKS)
    .execute(tenant)
    .await
    .map_err(ReembedError::TenantDatabase)?;
    let rows = sqlx::query(
        "SELECT c.id, c.text FROM chunks c
         WHERE NOT EXISTS (SELECT FROM chunk_embeddings e WHERE e.chunk_id = c.id AND e.model = $1)
         ORDER BY c.id LIMIT $2",
    )
    .bind(model.name())
    .bind(BATCH_CHUNKS)
    .fetch_all(tenant)
    .await
    .map_err(ReembedError::TenantDatabase)?;
    let mut ids: Vec<Uuid> = Vec::with_capacity(rows.len());
    let mut texts: Vec<String> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("id").map_err(ReembedError::TenantDatabase)?);
        texts.push(row.try_get("text").map_err(ReembedError::TenantDatabase)?);
    }
    if texts.is_empty() {
        return Ok(0);
    }
    let vectors: Vec<Vector> = model
        .embed(&texts)
        .await
        .map_err(ReembedError::Model)?
        .into_iter()
        .map(Vector::from)
        .collect();
    // Chunks deleted in the meantime get none.
    sqlx::query(
        "INSERT INTO chunk_embeddings (chunk_id, model, embedding)
         SELECT c.id, $1, made.embedding
         FROM unnest($2::uuid[], $3::vector[]) AS made (id, embedding)
         JOIN chunks c ON c.id = made.id FOR KEY SHARE OF c
         ON CONFLICT DO NOTHING",
    )
    .bind(model.name())
    .bind(&ids)
    .bind(&vectors)
    .execute(tenant)
    .await
    .map_err(ReembedError::TenantDatabase)?;
    Ok(ids.len())
}

/// Every chunk has an embedding: switches the workspace to the model, and later deletes the
/// embeddings of others.
async fn complete(
    context: &IngestContext,
    workspace: &Workspace,
    tenant: &PgPool,
    model: &str,
) -> Result<Option<Duration>, ReembedError> {
    if workspace.embedding_model.as_deref() != Some(model) {
        let database = &context.deps().database;
        let mut transaction = database.begin().await.map_err(ReembedError::MainDatabase)?;
        workspaces::store::serve_embedding_model(
            &mut *transaction,
            &workspace.id,
            workspace.embedding_model.as_deref(),
            model,
        )
        .await
        .map_err(ReembedError::MainDatabase)?;
        events::publish(&mut *transaction, &Event::workspace(workspace.id.clone()))
            .await
            .map_err(ReembedError::MainDatabase)?;
        let index = BuildVectorIndex {
            workspace: workspace.id.clone(),
        };
        jobs::add(&mut *transaction, &index)
            .await
            .map_err(ReembedError::Queue)?;
        transaction
            .commit()
            .await
            .map_err(ReembedError::MainDatabase)?;
        info!(workspace.id = %workspace.id, embedding.model = model, "workspace switched to the new embeddings");
        return Ok(Some(OLD_VECTOR_RETENTION));
    }
    // Decided by the row rather than by this job's history: the job may have been restarted right
    // after the switch.
    let database = &context.deps().database;
    let retention =
        workspaces::store::old_vectors_kept_for(database, &workspace.id, OLD_VECTOR_RETENTION);
    if let Some(retry_after) = retention.await.map_err(ReembedError::MainDatabase)? {
        return Ok(Some(retry_after));
    }
    loop {
        let deleted = sqlx::query(
            "DELETE FROM chunk_embeddings WHERE (chunk_id, model) IN
                 (SELECT chunk_id, model FROM chunk_embeddings WHERE model <> $1 LIMIT $2)",
        )
        .bind(model)
        .bind(DELETE_BATCH)
        .execute(tenant)
        .await
        .map_err(ReembedError::TenantDatabase)?;
        if deleted.rows_affected() == 0 {
            return Ok(None);
        }
        tokio::time::sleep(BATCH_PAUSE).await;
    }
}
