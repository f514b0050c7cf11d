//! Periodic cleanup, once a minute, of what no other job takes care of.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tracing::{info, warn};

use super::context::IngestContext;
use super::reembed::Reembed;
use super::target_model;
use crate::config;
use crate::documents::{self, DeleteDocument, DocumentPhase, Ingest, IngestError, SystemFailure};
use crate::identity::sessions;
use crate::ids::{DocumentId, WorkspaceId};
use crate::jobs::{self, Attempt, Job, JobError, JobHandler, QueueError};

/// Documents per sweep. The next sweep handles the rest.
const MAX_DOCUMENTS: i64 = 500;
/// A pending row that has not changed for this long must have a job. Before that, the transaction
/// that adds the job may not be committed yet.
const MIN_AGE_SECONDS: f64 = 60.0;
/// Re-embeddings started per sweep, so that changing the model for ten thousand workspaces is
/// spread over hours.
const MAX_REEMBEDDINGS: i64 = 20;

/// Fails overdue uploads, recovers documents whose job was given up or lost, starts re-embeddings,
/// and deletes old rows of the queue and of sign-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {}

#[derive(Debug, Clone)]
pub struct SweepContext {
    pub context: IngestContext,
    pub sessions: config::SessionLifetimes,
}

impl Job for Sweep {
    const NAME: &'static str = "sweep";
    const MAX_STARTS: i16 = 2;

    fn key(&self) -> String {
        "sweep".to_owned()
    }
}

impl JobHandler for Sweep {
    type Context = SweepContext;

    async fn run(self, context: SweepContext, _attempt: Attempt) -> Result<(), JobError> {
        let SweepContext { context, sessions } = context;
        let database = &context.deps().database;
        // Sequential and independent of each other; whatever fails is retried a minute later.
        match documents::fail_overdue_uploads(database).await {
            Ok(0) => {}
            Ok(uploads) => info!(uploads, "failed overdue uploads"),
            Err(error) => log_failure("uploads", &error),
        }
        if let Err(error) = recover_documents(database).await {
            log_failure("documents without jobs", &error);
        }
        if let Err(error) = start_reembeddings(database, &context.embedding_model()).await {
            log_failure("re-embeddings", &error);
        }
        if let Err(error) = sessions::sweep(database, sessions).await {
            log_failure("sessions", &error);
        }
        match jobs::delete_old_dead_jobs(database).await {
            Ok(0) => {}
            Ok(jobs) => info!(jobs, "deleted old dead jobs"),
            Err(error) => log_failure("dead jobs", &error),
        }
        Ok(())
    }
}

fn log_failure(target: &str, error: &(dyn std::error::Error + 'static)) {
    warn!(
        sweep.target = target,
        error = %service_kit::error_chain(error),
        "sweep failed, retrying in a minute"
    );
}

#[derive(sqlx::FromRow)]
struct DocumentWithoutJob {
    id: DocumentId,
    #[sqlx(try_from = "String")]
    workspace_id: WorkspaceId,
    revision: i32,
    state: DocumentPhase,
    /// Whether the job is a dead letter; if not, it was lost.
    given_up: bool,
}

/// Recovers documents that wait for a job that does not exist: fails the document if the job was
/// given up, and enqueues it again if it was lost.
async fn recover_documents(database: &PgPool) -> Result<(), QueueError> {
    let documents: Vec<DocumentWithoutJob> = sqlx::query_as(
        "SELECT d.id, d.workspace_id, d.revision, d.state,
                EXISTS (SELECT FROM jobs j WHERE j.dead_at IS NOT NULL
                           AND j.key = CASE d.state WHEN 'deleting' THEN 'delete:' ELSE 'ingest:' END || d.id) AS given_up
         FROM documents d JOIN workspaces w ON w.id = d.workspace_id
         WHERE d.state IN ('queued', 'working', 'deleting') AND w.state <> 'deleting'
           AND d.updated_at < now() - make_interval(secs => $1)
           AND (d.retry_at IS NULL OR d.retry_at < now() - make_interval(secs => $1))
           AND NOT EXISTS (SELECT FROM jobs j WHERE j.dead_at IS NULL AND NOT j.superseded
                              AND j.key = CASE d.state WHEN 'deleting' THEN 'delete:' ELSE 'ingest:' END || d.id)
         ORDER BY d.updated_at LIMIT $2",
    )
    .bind(MIN_AGE_SECONDS)
    .bind(MAX_DOCUMENTS)
    .fetch_all(database)
    .await?;
    for found in documents {
        let (workspace, document) = (found.workspace_id, found.id);
        if found.state == DocumentPhase::Deleting {
            warn!(document.id = %document, "deletion job was given up or lost, adding it again");
            let job = DeleteDocument {
                workspace,
                document,
            };
            jobs::add(database, &job).await?;
        } else if found.given_up {
            warn!(document.id = %document, "ingestion job was given up, failing the document");
            fail(database, &workspace, document, found.revision).await?;
        } else {
            warn!(document.id = %document, "ingestion job was lost, adding it again");
            requeue(database, &workspace, document, found.revision).await?;
        }
    }
    Ok(())
}

/// Enqueues the job if the document still waits for this revision. The row is locked for the check,
/// so that the job of a newer revision is not replaced.
async fn requeue(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    revision: i32,
) -> Result<(), QueueError> {
    let mut transaction = database.begin().await?;
    let waiting: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM documents
         WHERE workspace_id = $1 AND id = $2 AND revision = $3 AND state IN ('queued', 'working') FOR UPDATE",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(revision)
    .fetch_optional(&mut *transaction)
    .await?;
    if waiting.is_some() {
        let job = Ingest::for_revision(&mut transaction, workspace, document, revision).await?;
        jobs::add(&mut *transaction, &job).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn fail(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    revision: i32,
) -> Result<(), QueueError> {
    let mut transaction = database.begin().await?;
    sqlx::query(
        "UPDATE documents SET state = 'failed', failure = $4, revision = revision + 1, claim = NULL, step = NULL, percent = NULL,
                blocked_on = NULL, retry_at = NULL, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND revision = $3 AND state IN ('queued', 'working')",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(revision)
    .bind(IngestError::System(SystemFailure::WorkerCrashed))
    .execute(&mut *transaction)
    .await?;
    documents::publish_change(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Starts re-embedding workspaces whose serving model is not the target model, a few per sweep.
async fn start_reembeddings(database: &PgPool, own: &str) -> Result<(), QueueError> {
    let model = target_model::target(database, own).await?;
    let workspaces: Vec<String> = sqlx::query_scalar(
        "SELECT w.id FROM workspaces w
         WHERE w.embedding_model <> $1 AND w.state = 'active'
           AND NOT EXISTS (SELECT FROM jobs j
                            WHERE j.key = 'reembed:' || w.id AND j.dead_at IS NULL AND NOT j.superseded)
         ORDER BY w.id LIMIT $2",
    )
    .bind(&model)
    .bind(MAX_REEMBEDDINGS)
    .fetch_all(database)
    .await?;
    for workspace in workspaces {
        if let Ok(workspace) = workspace.parse() {
            let job = Reembed {
                workspace,
                model: model.clone(),
            };
            jobs::add(database, &job).await?;
        }
    }
    Ok(())
}
