//! Another embedding model for a workspace: its vectors are made beside the old ones, which serve until the new are complete.
//!
//! The job does some slices a turn and goes back into the queue, so that it neither keeps a worker from others nor loses what it has done.
//! When no chunk lacks a vector the workspace is told to serve the new model, and some time later, when no question under way can
//! still want them, the vectors of others go. Documents that come meanwhile get vectors of both.

use std::time::Duration;

use pgvector::Vector;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};
use tracing::info;
use uuid::Uuid;

use crate::jobs::{self, Job, Setback, Turn, backoff};
use super::vectors::{Embeds, VectorsError};
use super::wanted_model;
use super::workshop::Workshop;
use crate::ids::WorkspaceId;
use crate::tenants::Unavailable;
use crate::events::{self, Event};
use crate::workspaces;
use crate::domain::{Workspace, WorkspaceState};

/// How long the old vectors stay after the new ones serve. Whoever looks on at an answer keeps the workspace as it was then, for up to
/// four minutes, and an answer taken up at the end of that may wait two more for its turn before it searches.
pub const VECTORS_KEPT_AFTER_FLIP: Duration = Duration::from_mins(10);
/// A job that comes to a worker with another model tries its luck again after this.
const OTHER_WORKER_AFTER: Duration = Duration::from_secs(10);
/// Chunks embedded and kept together.
const SLICE_CHUNKS: i64 = 64;
/// Slices of one turn; then others have theirs.
const SLICES_A_TURN: u32 = 20;
/// Between two slices, so that people's own documents and questions come through at the model.
const PACE: Duration = Duration::from_millis(100);
/// Between two turns.
const REST: Duration = Duration::from_secs(1);
/// Old vectors deleted by one statement.
const DELETE_BATCH: i64 = 2_000;
/// People's own documents go first.
const PRIORITY: i16 = 50;

/// Brings a workspace to another model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reembed {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// The model to bring it to, the wanted one when the job was added (see [`super::wanted_model`]): only workers with that one do it, and
    /// only while it is wanted.
    pub model: String,
}

impl Reembed {
    /// The key of a workspace's job.
    pub(super) fn key_of(workspace: &WorkspaceId) -> String {
        format!("reembed:{workspace}")
    }
}

enum Trouble {
    Tenant(sqlx::Error),
    Main(sqlx::Error),
    Model(VectorsError),
}

impl Job for Reembed {
    type State = Workshop;
    const NAME: &'static str = "reembed_workspace";

    fn key(&self) -> String {
        Self::key_of(&self.workspace)
    }

    fn lane(&self) -> Option<String> {
        Some(format!("reembed:{}", self.workspace))
    }

    fn priority(&self) -> i16 {
        PRIORITY
    }

    async fn run(self, workshop: Workshop, turn: Turn) -> Result<(), Setback> {
        let tools = workshop.tools();
        let model = tools.models.current();
        let wanted = wanted_model::wanted(&tools.database, model.name())
            .await
            .map_err(|error| Setback::backoff(turn, error))?;
        if self.model != wanted {
            // Not any more. What was made for it is cleared away by the job of the one that is.
            let job = Self {
                workspace: self.workspace,
                model: wanted,
            };
            return jobs::add(&tools.database, &job)
                .await
                .map_err(|error| Setback::backoff(turn, error));
        }
        if wanted != model.name() {
            return Err(Setback {
                after: OTHER_WORKER_AFTER,
                why: "this worker embeds with another model".to_owned(),
            });
        }
        let workspace = workspaces::store::find(&tools.database, &self.workspace)
            .await
            .map_err(|error| Setback::backoff(turn, error))?;
        let Some(workspace) = workspace.filter(|found| found.state != WorkspaceState::Deleting)
        else {
            return Ok(());
        };
        let lease = match tools.tenants.open(&workspace).await {
            Ok(lease) => lease,
            Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
            Err(reason) => return Err(Setback::backoff(turn, reason)),
        };
        match advance(&workshop, &workspace, lease.pool(), &*model).await {
            Ok(None) => Ok(()),
            Ok(Some(after)) => Err(Setback {
                after,
                why: "re-embedding has more to do".to_owned(),
            }),
            Err(Trouble::Tenant(error)) => {
                tools.tenants.failed(&workspace, &error).await;
                Err(Setback::backoff(turn, error))
            }
            Err(Trouble::Main(error)) => Err(Setback::backoff(turn, error)),
            Err(Trouble::Model(error)) => {
                let after = match &error {
                    VectorsError::Away { after, .. } => after.unwrap_or_default(),
                    VectorsError::Refused { .. } => Duration::ZERO,
                };
                Err(Setback {
                    after: after.max(backoff(turn.attempt)),
                    why: error.to_string(),
                })
            }
        }
    }
}

/// One turn. `Some`: there is more to do, after this time.
async fn advance(
    workshop: &Workshop,
    workspace: &Workspace,
    tenant: &PgPool,
    model: &dyn Embeds,
) -> Result<Option<Duration>, Trouble> {
    for _ in 0..SLICES_A_TURN {
        if embed_slice(tenant, model).await? == 0 {
            return complete(workshop, workspace, tenant, model.name()).await;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(Some(REST))
}

/// Embeds some chunks that lack a vector, and says how many.
async fn embed_slice(tenant: &PgPool, model: &dyn Embeds) -> Result<usize, Trouble> {
    // What the same text has under this model already costs nothing.
    sqlx::query(
        "INSERT INTO chunk_embeddings (chunk_id, model, embedding)
         SELECT DISTINCT ON (lacking.id) lacking.id, $1, had.embedding
         FROM (SELECT id, content_sha256 FROM chunks c
               WHERE NOT EXISTS (SELECT FROM chunk_embeddings e WHERE e.chunk_id = c.id AND e.model = $1)
               ORDER BY id LIMIT $2) AS lacking
         JOIN chunks twin ON twin.content_sha256 = lacking.content_sha256
         JOIN chunk_embeddings had ON had.chunk_id = twin.id AND had.model = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(model.name())
    .bind(SLICE_CHUNKS)
    .execute(tenant)
    .await
    .map_err(Trouble::Tenant)?;
    let rows = sqlx::query(
        "SELECT c.id, c.text FROM chunks c
         WHERE NOT EXISTS (SELECT FROM chunk_embeddings e WHERE e.chunk_id = c.id AND e.model = $1)
         ORDER BY c.id LIMIT $2",
    )
    .bind(model.name())
    .bind(SLICE_CHUNKS)
    .fetch_all(tenant)
    .await
    .map_err(Trouble::Tenant)?;
    let mut ids: Vec<Uuid> = Vec::with_capacity(rows.len());
    let mut texts: Vec<String> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("id").map_err(Trouble::Tenant)?);
        texts.push(row.try_get("text").map_err(Trouble::Tenant)?);
    }
    if texts.is_empty() {
        return Ok(0);
    }
    let vectors: Vec<Vector> = model
        .embed(&texts)
        .await
        .map_err(Trouble::Model)?
        .into_iter()
        .map(Vector::from)
        .collect();
    // Chunks that went meanwhile get none.
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
    .map_err(Trouble::Tenant)?;
    Ok(ids.len())
}

/// No chunk lacks a vector: the model serves, and in the end alone.
async fn complete(
    workshop: &Workshop,
    workspace: &Workspace,
    tenant: &PgPool,
    model: &str,
) -> Result<Option<Duration>, Trouble> {
    if workspace.embedding_model.as_deref() != Some(model) {
        let database = &workshop.tools().database;
        let mut transaction = database.begin().await.map_err(Trouble::Main)?;
        workspaces::store::serve_embedding_model(
            &mut *transaction,
            &workspace.id,
            workspace.embedding_model.as_deref(),
            model,
        )
        .await
        .map_err(Trouble::Main)?;
        events::notify(&mut *transaction, &Event::workspace(workspace.id.clone()))
            .await
            .map_err(Trouble::Main)?;
        transaction.commit().await.map_err(Trouble::Main)?;
        info!(workspace.id = %workspace.id, embedding.model = model, "The new vectors serve");
        return Ok(Some(VECTORS_KEPT_AFTER_FLIP));
    }
    // By the row and not by how this job came here: it may have been begun anew by whoever, right after the change.
    let database = &workshop.tools().database;
    let kept =
        workspaces::store::old_vectors_kept_for(database, &workspace.id, VECTORS_KEPT_AFTER_FLIP);
    if let Some(after) = kept.await.map_err(Trouble::Main)? {
        return Ok(Some(after));
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
        .map_err(Trouble::Tenant)?;
        if deleted.rows_affected() == 0 {
            return Ok(None);
        }
        tokio::time::sleep(PACE).await;
    }
}
