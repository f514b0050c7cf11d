//! Vectors for a document's chunks, kept as drafts in the tenant's database as soon as they are made.
//!
//! What some chunk of the same text already has is taken from there; what an earlier run has drafted is there. Only the rest goes to
//! the model, a slice at a time, so that a crash pays for a slice again at most, and memory holds some slices and never a
//! document's vectors.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use pgvector::Vector;
use rag::Chunk;
use sqlx::{PgPool, Postgres, Transaction};

use super::claim::{Claim, Meter};
use super::ingest::StepError;
use super::vectors::{Embeds, VectorsError};
use super::workshop::{Checkpoint, Workshop};
use crate::documents::{Failure, OwnFailure, Step, Trouble};
use crate::ids::DocumentId;

/// Milliseconds that a transaction waits for another worker's hold of the document.
const LOCK_LIMIT_MS: u32 = 30_000;
/// Milliseconds that one statement may take in the tenant's database: storing thousands of chunks in a slow compute takes a while.
const STATEMENT_LIMIT_MS: u32 = 120_000;

/// Drafts of all vectors that are not there yet, for these models one after another.
pub(super) async fn embed(
    workshop: &Workshop,
    tenant: &PgPool,
    claim: &Claim,
    chunks: &[Chunk],
    models: &[std::sync::Arc<dyn Embeds>],
    meter: &Meter,
) -> Result<(), StepError> {
    let mut texts: HashMap<[u8; 32], &str> = HashMap::new();
    for chunk in chunks {
        texts.entry(chunk.content_sha256).or_insert(&chunk.text);
    }
    let all = texts.len() * models.len();
    for (at, model) in models.iter().enumerate() {
        let mut missing = texts.clone();
        for had in take_over(tenant, claim, model.name(), &texts).await? {
            missing.remove(&had);
        }
        // In the order of the document, so that a run that is cut off and its next one agree on what comes first.
        let mut seen = HashSet::new();
        let missing: Vec<([u8; 32], String)> = chunks
            .iter()
            .filter(|chunk| missing.contains_key(&chunk.content_sha256))
            .filter(|chunk| seen.insert(chunk.content_sha256))
            .map(|chunk| (chunk.content_sha256, chunk.text.clone()))
            .collect();
        let mut done = (at + 1) * texts.len() - missing.len();
        meter.share(Step::Embed, done, all);
        let missing = &missing;
        let cut = model.slices();
        let slices = cut.of(missing.len()).into_iter().map(|slice| async move {
            let slice = &missing[slice];
            let (ids, texts): (Vec<[u8; 32]>, Vec<String>) = slice.iter().cloned().unzip();
            let vectors = model.embed(&texts).await.map_err(of_model)?;
            if vectors.len() != texts.len() {
                return Err(Failure::Own(OwnFailure::ModelRefused).into());
            }
            keep(tenant, claim, model.name(), &ids, vectors).await?;
            workshop.reached(Checkpoint::Drafted).await;
            Ok::<usize, StepError>(ids.len())
        });
        let slices: Vec<_> = slices.collect();
        let mut under_way = stream::iter(slices).buffer_unordered(cut.at_once);
        while let Some(count) = under_way.try_next().await? {
            done += count;
            meter.share(Step::Embed, done, all);
        }
    }
    Ok(())
}

fn of_model(error: VectorsError) -> StepError {
    match error {
        VectorsError::Away { after, .. } => StepError::Trouble {
            trouble: Trouble::Model,
            why: error.to_string(),
            after,
        },
        VectorsError::Refused { why } => {
            tracing::error!(
                error = why,
                "The embedding model refuses; documents fail with that until it is mended"
            );
            Failure::Own(OwnFailure::ModelRefused).into()
        }
    }
}

/// Drafts what chunks of the same text have, and says which texts have drafts now.
async fn take_over(
    tenant: &PgPool,
    claim: &Claim,
    model: &str,
    texts: &HashMap<[u8; 32], &str>,
) -> Result<Vec<[u8; 32]>, StepError> {
    let wanted: Vec<&[u8]> = texts.keys().map(|sha256| &sha256[..]).collect();
    let mut transaction = hold(tenant, claim).await?;
    sqlx::query(
        "INSERT INTO embedding_drafts (document_id, model, content_sha256, embedding)
         SELECT DISTINCT ON (c.content_sha256) $1, $2, c.content_sha256, e.embedding
         FROM chunks c JOIN chunk_embeddings e ON e.chunk_id = c.id AND e.model = $2
         WHERE c.content_sha256 = ANY($3)
         ON CONFLICT DO NOTHING",
    )
    .bind(claim.document.0)
    .bind(model)
    .bind(&wanted)
    .persistent(false)
    .execute(&mut *transaction)
    .await
    .map_err(StepError::Tenant)?;
    let had: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT content_sha256 FROM embedding_drafts WHERE document_id = $1 AND model = $2",
    )
    .bind(claim.document.0)
    .bind(model)
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await
    .map_err(StepError::Tenant)?;
    transaction.commit().await.map_err(StepError::Tenant)?;
    Ok(had
        .into_iter()
        .filter_map(|sha256| sha256.try_into().ok())
        .collect())
}

async fn keep(
    tenant: &PgPool,
    claim: &Claim,
    model: &str,
    ids: &[[u8; 32]],
    vectors: Vec<Vec<f32>>,
) -> Result<(), StepError> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| &id[..]).collect();
    let vectors: Vec<Vector> = vectors.into_iter().map(Vector::from).collect();
    let mut transaction = hold(tenant, claim).await?;
    sqlx::query(
        "INSERT INTO embedding_drafts (document_id, model, content_sha256, embedding)
         SELECT $1, $2, made.sha256, made.embedding
         FROM unnest($3::bytea[], $4::vector[]) AS made (sha256, embedding)
         ON CONFLICT DO NOTHING",
    )
    .bind(claim.document.0)
    .bind(model)
    .bind(&ids)
    .bind(&vectors)
    .persistent(false)
    .execute(&mut *transaction)
    .await
    .map_err(StepError::Tenant)?;
    transaction.commit().await.map_err(StepError::Tenant)
}

/// A transaction in the tenant's database that nobody else who writes of the document gets past, begun only while the document is wanted.
pub(super) async fn hold(
    tenant: &PgPool,
    claim: &Claim,
) -> Result<Transaction<'static, Postgres>, StepError> {
    let transaction = lock(tenant, claim.document)
        .await
        .map_err(StepError::Tenant)?;
    // Looked at under the lock: whoever says "no longer wanted" afterwards waits for it before taking anything away.
    if claim.still_wanted().await.map_err(StepError::Main)? {
        Ok(transaction)
    } else {
        Err(StepError::Unwanted)
    }
}

/// The lock alone.
pub(super) async fn lock(
    tenant: &PgPool,
    document: DocumentId,
) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut transaction = tenant.begin().await?;
    sqlx::query(
        "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true),
                set_config('idle_in_transaction_session_timeout', $2, true)",
    )
    .bind(LOCK_LIMIT_MS.to_string())
    .bind(STATEMENT_LIMIT_MS.to_string())
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
