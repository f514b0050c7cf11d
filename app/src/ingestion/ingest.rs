//! The ingestion job: runs the steps in order and maps each error to a retry, a failure or an
//! abort.

use std::sync::Arc;
use std::time::Instant;

use pdf_text::DocumentError;
use sqlx::error::DatabaseError;
use tracing::{Instrument as _, info, info_span, warn};

use super::claim::{ClaimedRow, Counts, DocumentClaim, ProgressReporter};
use super::context::{Checkpoint, IngestContext, TenantConnection};
use super::embed::embed;
use super::embedding_models::DocumentEmbedder;
use super::error::StepError;
use super::extract::{ExtractedDocument, chunk, extract, fetch};
use super::reembed::Reembed;
use super::store::{DocumentContent, store, store_text};
use super::target_model;
use super::vector_index::{BuildVectorIndex, MIN_INDEXED_CHUNKS};
use crate::documents::{BlockedOn, Ingest, IngestError, IngestStep, SystemFailure};
use crate::domain::{Workspace, WorkspaceState};
use crate::jobs::{self, Attempt, JobError, JobHandler, backoff};
use crate::tenants::{Unavailable, is_full};
use crate::workspaces;

/// Attempts per revision before a transient error becomes a failure. With the queue's backoff this
/// takes almost two hours.
pub const MAX_ATTEMPTS: u32 = 60;

impl JobHandler for Ingest {
    type Context = IngestContext;
    const IS_LONG: bool = true;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let span = info_span!(
            "ingest",
            document.id = %self.document,
            workspace.id = %self.workspace,
            document.revision = self.revision,
            job.attempt = attempt.number,
        );
        ingest(&self, &context, attempt).instrument(span).await
    }
}

async fn ingest(job: &Ingest, context: &IngestContext, attempt: Attempt) -> Result<(), JobError> {
    let retry = |error: sqlx::Error| JobError::with_backoff(attempt, error);
    let database = &context.deps().database;
    let workspace = workspaces::store::find(database, &job.workspace)
        .await
        .map_err(retry)?;
    let Some(workspace) = workspace.filter(|found| found.state != WorkspaceState::Deleting) else {
        return Ok(());
    };
    let Some((claim, row)) = DocumentClaim::take(database, job).await.map_err(retry)? else {
        return Ok(());
    };
    context.checkpoint(Checkpoint::Claimed).await;
    let work =
        claim.guard(async |progress| steps(context, &workspace, &claim, &row, &progress).await);
    let result = work.await.unwrap_or(Err(StepError::ClaimLost));
    let (on, reason, retry_after) = match result {
        Ok(()) => {
            context.count(|metrics| metrics.document_ingested("ready"));
            return Ok(());
        }
        Err(StepError::ClaimLost) => {
            info!("claim lost, ingestion stopped");
            return Ok(());
        }
        Err(StepError::Permanent(error)) => {
            info!(reason = error.code(), "document failed");
            return fail(context, &claim, attempt, &error).await;
        }
        // Retrying would store the same values.
        Err(StepError::MainDatabase(error) | StepError::TenantDatabase(error))
            if rejects_values(&error) =>
        {
            warn!(error = %service_kit::error_chain(&error), "a value was rejected, document failed");
            let failure = IngestError::File(DocumentError::Internal);
            return fail(context, &claim, attempt, &failure).await;
        }
        Err(StepError::MainDatabase(error)) => return Err(retry(error)),
        // Retrying would not help until a user makes space.
        Err(StepError::TenantDatabase(error)) if is_full(&error) => {
            info!("the workspace's database is full, document failed");
            let failure = IngestError::System(SystemFailure::DatabaseFull);
            return fail(context, &claim, attempt, &failure).await;
        }
        Err(StepError::TenantDatabase(error)) => {
            context
                .deps()
                .tenants
                .report_error(&workspace, &error)
                .await;
            (BlockedOn::Database, service_kit::error_chain(&error), None)
        }
        Err(StepError::Blocked {
            on,
            reason,
            retry_after,
        }) => (on, reason, retry_after),
    };
    if attempt.number >= MAX_ATTEMPTS {
        warn!(error = reason, "last attempt failed, document failed");
        return fail(context, &claim, attempt, &on.into_permanent()).await;
    }
    let retry_after = retry_after.unwrap_or_default().max(backoff(attempt.number));
    if claim.write_blocked(on, retry_after).await.map_err(retry)? {
        Err(JobError {
            retry_after,
            reason,
        })
    } else {
        Ok(())
    }
}

async fn steps(
    context: &IngestContext,
    workspace: &Workspace,
    claim: &DocumentClaim,
    row: &ClaimedRow,
    progress: &ProgressReporter,
) -> Result<(), StepError> {
    let started = Instant::now();
    let deps = context.deps();
    let key = deps
        .objects
        .prefix(workspace.region.as_deref(), &workspace.id)
        .document(claim.document);

    progress.report(IngestStep::Fetch, 0);
    let fetched = async {
        // Check the database first: reading a file is pointless if its text cannot be stored. The
        // compute also wakes up while the file is being read.
        drop(connect(context, workspace).await?);
        fetch(&deps.objects, &key, row).await
    };
    timed(context, IngestStep::Fetch, fetched).await?;

    progress.report(IngestStep::Extract, 0);
    let extracted = extract(&deps.extractor, &deps.objects, &key, row, progress);
    let ExtractedDocument { report, chunks } =
        timed(context, IngestStep::Extract, extracted).await?;
    let page_count = i32::try_from(report.page_count).unwrap_or(i32::MAX);
    let unreadable_pages: Vec<i32> = report
        .unread()
        .into_iter()
        .filter_map(|number| i32::try_from(number).ok())
        .collect();

    progress.report(IngestStep::Chunk, 0);
    let chunks = timed(context, IngestStep::Chunk, chunk(chunks)).await?;
    let tenant = connect(context, workspace).await?;
    let current = context.embedding_model();
    let target = target_model::target(&deps.database, &current)
        .await
        .map_err(StepError::MainDatabase)?;
    let embedders = models_for(context, workspace, &target);
    let models: Vec<String> = embedders
        .iter()
        .map(|model| model.name().to_owned())
        .collect();
    let input = DocumentContent {
        chunks: &chunks,
        page_count,
        models: &models,
    };
    let has_text = row.is_first;
    if has_text {
        store_text(context, tenant.pool(), claim, &input).await?;
        info!(
            elapsed_ms = started.elapsed().as_millis(),
            "document searchable by its words"
        );
    }

    progress.report(IngestStep::Embed, 0);
    let embedded = embed(
        context,
        tenant.pool(),
        claim,
        &chunks,
        &embedders,
        has_text,
        progress,
    );
    timed(context, IngestStep::Embed, embedded).await?;

    progress.report(IngestStep::Store, 0);
    let stored = store(context, tenant.pool(), claim, &input, has_text);
    timed(context, IngestStep::Store, stored).await?;
    drop(tenant);

    let counts = Counts {
        pages: page_count,
        chunks: i32::try_from(chunks.len()).unwrap_or(i32::MAX),
        unreadable_pages,
        page_report: report,
    };
    finish(context, claim, &counts, &models, target).await?;
    info!(
        document.pages = page_count,
        document.pages_unreadable = counts.unreadable_pages.len(),
        document.chunks = counts.chunks,
        elapsed_ms = started.elapsed().as_millis(),
        "document ready"
    );
    Ok(())
}

/// Whether Postgres does not accept a value of a document: an error of the classes 22 (data exception) or
/// 23 (violated constraint).
fn rejects_values(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["22", "23"].iter().any(|class| code.starts_with(class)))
}

/// Runs a step in a span of its own and records its duration.
async fn timed<T>(
    context: &IngestContext,
    step: IngestStep,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    let started = Instant::now();
    let output = work
        .instrument(info_span!("ingest_step", step = step.as_str()))
        .await?;
    context.count(|metrics| metrics.document_step(step.as_str(), started.elapsed()));
    context.checkpoint(Checkpoint::StepDone(step)).await;
    Ok(output)
}

async fn fail(
    context: &IngestContext,
    claim: &DocumentClaim,
    attempt: Attempt,
    error: &IngestError,
) -> Result<(), JobError> {
    let failed = claim.fail(error).await;
    if failed.map_err(|error| JobError::with_backoff(attempt, error))? {
        context.count(|metrics| metrics.document_ingested(error.code()));
    }
    Ok(())
}

/// Connects to the workspace's database.
async fn connect(
    context: &IngestContext,
    workspace: &Workspace,
) -> Result<TenantConnection, StepError> {
    let deps = context.deps();
    let connection = deps.tenants.open(workspace).await;
    if connection.is_ok() && workspace.available_at.is_none() {
        // From here on the database may hold rows, which deleting the workspace has to delete.
        workspaces::store::mark_available(&deps.database, &workspace.id)
            .await
            .map_err(StepError::MainDatabase)?;
    }
    connection.map_err(|reason| {
        let on = match reason {
            Unavailable::Provisioning(_)
            | Unavailable::Stalled(_)
            | Unavailable::SchemaOutdated { .. } => BlockedOn::DatabaseNotReady,
            Unavailable::Deleted
            | Unavailable::NotOwned
            | Unavailable::PoolsExhausted
            | Unavailable::Full
            | Unavailable::Unreachable { .. } => BlockedOn::Database,
        };
        StepError::blocked(on, &reason)
    })
}

/// The models to embed with: the current model, plus the workspace's serving model if it differs
/// and is available. Only the serving model if it is also the target.
fn models_for(
    context: &IngestContext,
    workspace: &Workspace,
    target: &str,
) -> Vec<Arc<dyn DocumentEmbedder>> {
    let current = context.deps().models.current();
    let serving = workspace
        .embedding_model
        .as_deref()
        .filter(|serving| *serving != current.name())
        .and_then(|serving| context.embedder(serving));
    match serving {
        Some(serving) if serving.name() == target => vec![serving],
        serving => std::iter::once(current).chain(serving).collect(),
    }
}

/// Marks the document as ready and starts the workspace's re-embedding if it needs one.
async fn finish(
    context: &IngestContext,
    claim: &DocumentClaim,
    counts: &Counts,
    written: &[String],
    target: String,
) -> Result<(), StepError> {
    let mut transaction = context
        .deps()
        .database
        .begin()
        .await
        .map_err(StepError::MainDatabase)?;
    // Locked until the commit, so that the serving model cannot change between this check and
    // marking the document ready.
    let serving: Option<Option<String>> = sqlx::query_scalar(
        "SELECT embedding_model FROM workspaces WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(claim.workspace.as_str())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(StepError::MainDatabase)?;
    match serving.ok_or(StepError::ClaimLost)? {
        None => {
            if let Some(first) = written.first() {
                workspaces::store::serve_embedding_model(
                    &mut *transaction,
                    &claim.workspace,
                    None,
                    first,
                )
                .await
                .map_err(StepError::MainDatabase)?;
            }
        }
        Some(serving) => {
            if !written.contains(&serving) && context.embedder(&serving).is_some() {
                // The serving model changed during this attempt. Retry with the new one; existing
                // drafts are reused.
                return Err(StepError::Blocked {
                    on: BlockedOn::Model,
                    reason: "the workspace's embedding model changed".to_owned(),
                    retry_after: None,
                });
            }
            // Chunks lack embeddings of the target model, or have embeddings of another model to
            // delete.
            if serving != target || written.iter().any(|model| *model != serving) {
                let job = Reembed {
                    workspace: claim.workspace.clone(),
                    model: target,
                };
                // Enqueued even if a job is running: it may have checked for the last time already,
                // or be for another model. The new job then runs after it.
                jobs::add(&mut *transaction, &job).await?;
            }
        }
    }
    let chunks_before: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(chunk_count), 0) FROM documents WHERE workspace_id = $1 AND id <> $2",
    )
    .bind(claim.workspace.as_str())
    .bind(claim.document.0)
    .fetch_one(&mut *transaction)
    .await
    .map_err(StepError::MainDatabase)?;
    if chunks_before + i64::from(counts.chunks) >= MIN_INDEXED_CHUNKS {
        let job = BuildVectorIndex {
            workspace: claim.workspace.clone(),
        };
        jobs::add(&mut *transaction, &job).await?;
    }
    let finished = claim
        .finish(&mut transaction, counts)
        .await
        .map_err(StepError::MainDatabase)?;
    if !finished {
        return Err(StepError::ClaimLost);
    }
    transaction.commit().await.map_err(StepError::MainDatabase)
}
