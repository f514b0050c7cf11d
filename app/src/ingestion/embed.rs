//! Creates the embeddings of a document's chunks and saves them as drafts in the tenant's database
//! as soon as they are created. If the text is stored already, they are copied to its chunks as well,
//! where searches find them.
//!
//! Embeddings of chunks with the same text are copied, and drafts of an earlier attempt are reused.
//! Only the rest goes to the model, batch by batch, so a crash loses the batches in flight at most,
//! and memory holds a few batches instead of all embeddings of a document.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use pgvector::Vector;
use rag::Chunk;
use sqlx::PgPool;

use super::claim::{DocumentClaim, ProgressReporter};
use super::context::{Checkpoint, IngestContext};
use super::embedding_models::{DocumentEmbedder, EmbedError};
use super::error::StepError;
use super::lock::lock_claimed;
use super::store::copy_drafts;
use crate::documents::{BlockedOn, IngestError, IngestStep, SystemFailure};

/// Creates drafts of all missing embeddings, model by model.
pub(super) async fn embed(
    context: &IngestContext,
    tenant: &PgPool,
    claim: &DocumentClaim,
    chunks: &[Chunk],
    models: &[Arc<dyn DocumentEmbedder>],
    has_text: bool,
    progress: &ProgressReporter,
) -> Result<(), StepError> {
    let mut texts: HashMap<[u8; 32], &str> = HashMap::new();
    for chunk in chunks {
        texts.entry(chunk.content_sha256).or_insert(&chunk.text);
    }
    let total = texts.len() * models.len();
    for (index, model) in models.iter().enumerate() {
        let mut missing = texts.clone();
        for drafted in copy_existing(tenant, claim, model.name(), &texts, has_text).await? {
            missing.remove(&drafted);
        }
        // In document order, so that an interrupted attempt and the next one work through the
        // chunks in the same order.
        let mut seen = HashSet::new();
        let missing: Vec<([u8; 32], String)> = chunks
            .iter()
            .filter(|chunk| missing.contains_key(&chunk.content_sha256))
            .filter(|chunk| seen.insert(chunk.content_sha256))
            .map(|chunk| (chunk.content_sha256, chunk.text.clone()))
            .collect();
        let mut done = (index + 1) * texts.len() - missing.len();
        progress.report_share(IngestStep::Embed, done, total);
        let missing = &missing;
        let sizing = model.batch_sizing();
        let batches = sizing
            .ranges(missing.len())
            .into_iter()
            .map(|range| async move {
                let batch = &missing[range];
                let (hashes, texts): (Vec<[u8; 32]>, Vec<String>) = batch.iter().cloned().unzip();
                let vectors = model.embed(&texts).await.map_err(from_model)?;
                if vectors.len() != texts.len() {
                    return Err(IngestError::System(SystemFailure::ModelRejected).into());
                }
                save_drafts(tenant, claim, model.name(), &hashes, vectors, has_text).await?;
                context.checkpoint(Checkpoint::VectorsDrafted).await;
                Ok::<usize, StepError>(hashes.len())
            });
        let batches: Vec<_> = batches.collect();
        let mut in_flight = stream::iter(batches).buffer_unordered(sizing.concurrency);
        while let Some(count) = in_flight.try_next().await? {
            done += count;
            progress.report_share(IngestStep::Embed, done, total);
        }
    }
    Ok(())
}

fn from_model(error: EmbedError) -> StepError {
    match error {
        EmbedError::Unavailable { retry_after, .. } => StepError::Blocked {
            on: BlockedOn::Model,
            reason: error.to_string(),
            retry_after,
        },
        EmbedError::Rejected { reason } => {
            tracing::error!(
                error = reason,
                "embedding model rejected the texts, check its configuration"
            );
            IngestError::System(SystemFailure::ModelRejected).into()
        }
    }
}

/// Copies embeddings of chunks with the same text as drafts, and returns the hashes of all texts
/// that have a draft now.
async fn copy_existing(
    tenant: &PgPool,
    claim: &DocumentClaim,
    model: &str,
    texts: &HashMap<[u8; 32], &str>,
    has_text: bool,
) -> Result<Vec<[u8; 32]>, StepError> {
    let hashes: Vec<&[u8]> = texts.keys().map(|sha256| &sha256[..]).collect();
    let mut transaction = lock_claimed(tenant, claim).await?;
    sqlx::query(
        "INSERT INTO embedding_drafts (document_id, model, content_sha256, embedding)
         SELECT DISTINCT ON (c.content_sha256) $1, $2, c.content_sha256, e.embedding
         FROM chunks c JOIN chunk_embeddings e ON e.chunk_id = c.id AND e.model = $2
         WHERE c.content_sha256 = ANY($3)
         ON CONFLICT DO NOTHING",
    )
    .bind(claim.document.0)
    .bind(model)
    .bind(&hashes)
    .persistent(false)
    .execute(&mut *transaction)
    .await
    .map_err(StepError::TenantDatabase)?;
    if has_text {
        copy_drafts(&mut transaction, claim.document, model, None)
            .await
            .map_err(StepError::TenantDatabase)?;
    }
    let drafted: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT content_sha256 FROM embedding_drafts WHERE document_id = $1 AND model = $2",
    )
    .bind(claim.document.0)
    .bind(model)
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await
    .map_err(StepError::TenantDatabase)?;
    transaction
        .commit()
        .await
        .map_err(StepError::TenantDatabase)?;
    Ok(drafted
        .into_iter()
        .filter_map(|sha256| sha256.try_into().ok())
        .collect())
}

async fn save_drafts(
    tenant: &PgPool,
    claim: &DocumentClaim,
    model: &str,
    hashes: &[[u8; 32]],
    vectors: Vec<Vec<f32>>,
    has_text: bool,
) -> Result<(), StepError> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    let vectors: Vec<Vector> = vectors.into_iter().map(Vector::from).collect();
    let mut transaction = lock_claimed(tenant, claim).await?;
    sqlx::query(
        "INSERT INTO embedding_drafts (document_id, model, content_sha256, embedding)
         SELECT $1, $2, made.sha256, made.embedding
         FROM unnest($3::bytea[], $4::vector[]) AS made (sha256, embedding)
         ON CONFLICT DO NOTHING",
    )
    .bind(claim.document.0)
    .bind(model)
    .bind(&hashes)
    .bind(&vectors)
    .persistent(false)
    .execute(&mut *transaction)
    .await
    .map_err(StepError::TenantDatabase)?;
    if has_text {
        copy_drafts(&mut transaction, claim.document, model, Some(&hashes))
            .await
            .map_err(StepError::TenantDatabase)?;
    }
    transaction
        .commit()
        .await
        .map_err(StepError::TenantDatabase)
}
