//! Builds an index of a workspace's embeddings once an exact search becomes slow.
//!
//! The index is an HNSW graph of half-precision vectors of one model. A search finds candidates in it
//! and compares them exactly. The index is not built concurrently, because that needs a session of
//! its own, which pooled connections do not have. Searches continue while it is built; ingestion
//! waits and retries.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tracing::{info, warn};

use super::context::IngestContext;
use crate::ask::retrieve::MAX_INDEXED_DIMENSIONS;
use crate::domain::WorkspaceState;
use crate::ids::WorkspaceId;
use crate::jobs::{Attempt, Job, JobError, JobHandler};
use crate::tenants::Unavailable;
use crate::workspaces;

/// Number of chunks in a workspace from which an index is faster than an exact search.
pub const MIN_INDEXED_CHUNKS: i64 = 5_000;
const NAME_PREFIX: &str = "chunk_embeddings_hnsw_";
/// Timeout for building the index, in milliseconds. 50,000 vectors take about a minute on a small
/// compute.
const STATEMENT_TIMEOUT_MS: u32 = 600_000;
/// How long to wait for writes of ingestion to end, in milliseconds. New ones wait behind this.
const LOCK_TIMEOUT_MS: u32 = 10_000;
/// An index that fits into this memory is built several times as fast.
const BUILD_MEMORY: &str = "128MB";
/// After documents and before re-embedding.
const PRIORITY: i16 = 49;
/// SQLSTATE of a statement that the role may not execute.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Builds the index of the embeddings of a workspace's serving model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildVectorIndex {
    pub workspace: WorkspaceId,
}

impl Job for BuildVectorIndex {
    const NAME: &'static str = "build_vector_index";

    fn key(&self) -> String {
        format!("vector-index:{}", self.workspace)
    }

    fn priority(&self) -> i16 {
        PRIORITY
    }
}

impl JobHandler for BuildVectorIndex {
    type Context = IngestContext;
    const IS_LONG: bool = true;

    async fn run(self, context: IngestContext, attempt: Attempt) -> Result<(), JobError> {
        let deps = context.deps();
        let workspace = workspaces::store::find(&deps.database, &self.workspace)
            .await
            .map_err(|error| JobError::with_backoff(attempt, error))?;
        let Some(workspace) = workspace.filter(|found| found.state != WorkspaceState::Deleting)
        else {
            return Ok(());
        };
        let Some(model) = workspace.embedding_model.as_deref() else {
            return Ok(());
        };
        let connection = match deps.tenants.open(&workspace).await {
            Ok(connection) => connection,
            Err(Unavailable::Deleted | Unavailable::NotOwned) => return Ok(()),
            Err(reason) => return Err(JobError::with_backoff(attempt, reason)),
        };
        match build(connection.pool(), model).await {
            Ok(None) => Ok(()),
            Ok(Some(elapsed)) => {
                info!(
                    workspace.id = %workspace.id,
                    elapsed_ms = elapsed.as_millis(),
                    "built the index of the embeddings"
                );
                Ok(())
            }
            Err(error) if is_not_allowed(&error) => {
                warn!(
                    workspace.id = %workspace.id,
                    error = %service_kit::error_chain(&error),
                    "the workspace's role may not create an index, searching without one"
                );
                Ok(())
            }
            Err(error) => Err(context.failed_query(&workspace, attempt, &error).await),
        }
    }
}

fn is_not_allowed(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == INSUFFICIENT_PRIVILEGE)
}

/// Builds the index of this model's embeddings, unless there are few of them or it exists, and drops
/// those of other models. Returns how long it took.
pub async fn build(tenant: &PgPool, model: &str) -> sqlx::Result<Option<Duration>> {
    let name = index_name(model);
    let (count, dimensions, exists): (i64, Option<i32>, bool) = sqlx::query_as(
        "SELECT count(*), max(vector_dims(embedding)), to_regclass($2) IS NOT NULL
         FROM chunk_embeddings WHERE model = $1",
    )
    .bind(model)
    .bind(&name)
    .persistent(false)
    .fetch_one(tenant)
    .await?;
    let Some(dimensions) = dimensions.filter(|dimensions| {
        !exists
            && count >= MIN_INDEXED_CHUNKS
            && usize::try_from(*dimensions)
                .is_ok_and(|dimensions| dimensions <= MAX_INDEXED_DIMENSIONS)
    }) else {
        return Ok(None);
    };
    let started = std::time::Instant::now();
    let mut transaction = tenant.begin().await?;
    sqlx::query(
        "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
                set_config('maintenance_work_mem', $3, true)",
    )
    .bind(STATEMENT_TIMEOUT_MS.to_string())
    .bind(LOCK_TIMEOUT_MS.to_string())
    .bind(BUILD_MEMORY)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    let outdated: Vec<String> = sqlx::query_scalar(
        "SELECT indexname::text FROM pg_indexes
         WHERE schemaname = current_schema() AND tablename = 'chunk_embeddings' AND starts_with(indexname, $1)",
    )
    .bind(NAME_PREFIX)
    .persistent(false)
    .fetch_all(&mut *transaction)
    .await?;
    // A statement that creates an index has no parameters, so PostgreSQL quotes its parts.
    let create: String = sqlx::query_scalar(
        "SELECT format('CREATE INDEX %I ON chunk_embeddings USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops) WHERE model = %L',
                       $1::text, $2::int, $3::text)",
    )
    .bind(&name)
    .bind(dimensions)
    .bind(model)
    .persistent(false)
    .fetch_one(&mut *transaction)
    .await?;
    for index in outdated {
        let drop: String = sqlx::query_scalar("SELECT format('DROP INDEX IF EXISTS %I', $1::text)")
            .bind(index)
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop))
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Some(started.elapsed()))
}

/// A name that fits any model, in lower case, so that it needs no quotes.
fn index_name(model: &str) -> String {
    let digest = Sha256::digest(model.as_bytes());
    format!("{NAME_PREFIX}{}", hex::encode(&digest[..6]))
}
