//! The dependencies of ingestion jobs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use pdf_text::Extractor;
use sqlx::PgPool;

use super::embedding_models::{DocumentEmbedder, EmbeddingModels};
use crate::documents::IngestStep;
use crate::domain::Workspace;
use crate::jobs::{Attempt, JobError};
use crate::objects::ObjectStore;
use crate::telemetry::Metrics;
use crate::tenants::{Pools, TenantDatabase, Unavailable, is_full};

/// Minimum wait before a job writes to a full database again. Each attempt wakes its compute.
const FULL_DATABASE_RETRY: Duration = Duration::from_mins(15);

/// The dependencies of ingestion jobs. Cheap to clone.
#[derive(Clone)]
pub struct IngestContext(Arc<IngestDependencies>);

#[derive(Clone)]
pub(super) struct IngestDependencies {
    pub(super) database: PgPool,
    pub(super) objects: ObjectStore,
    pub(super) tenants: Arc<dyn TenantDatabases>,
    pub(super) extractor: Extractor,
    pub(super) models: Arc<dyn EmbeddingModels>,
    metrics: Option<Arc<Metrics>>,
    checkpoints: Option<Arc<dyn Checkpoints>>,
}

impl IngestContext {
    pub fn new(
        database: PgPool,
        objects: ObjectStore,
        tenants: Arc<dyn TenantDatabases>,
        extractor: Extractor,
        models: Arc<dyn EmbeddingModels>,
    ) -> Self {
        Self(Arc::new(IngestDependencies {
            database,
            objects,
            tenants,
            extractor,
            models,
            metrics: None,
            checkpoints: None,
        }))
    }

    #[must_use]
    pub fn with_metrics(&self, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(IngestDependencies {
            metrics: Some(metrics),
            ..IngestDependencies::clone(&self.0)
        }))
    }

    /// Calls `checkpoints` after every effect, so that tests can simulate a crash there.
    #[must_use]
    pub fn with_checkpoints(&self, checkpoints: Arc<dyn Checkpoints>) -> Self {
        Self(Arc::new(IngestDependencies {
            checkpoints: Some(checkpoints),
            ..IngestDependencies::clone(&self.0)
        }))
    }

    /// The model for new documents.
    pub fn embedding_model(&self) -> String {
        self.0.models.current().name().to_owned()
    }

    pub(super) fn deps(&self) -> &IngestDependencies {
        &self.0
    }

    /// Reports a failed query on a workspace's database. Returns the error of the job.
    pub(super) async fn failed_query(
        &self,
        workspace: &Workspace,
        attempt: Attempt,
        error: &sqlx::Error,
    ) -> JobError {
        self.0.tenants.report_error(workspace, error).await;
        let failed = JobError::with_backoff(attempt, error);
        if is_full(error) {
            return JobError {
                retry_after: failed.retry_after.max(FULL_DATABASE_RETRY),
                ..failed
            };
        }
        failed
    }

    pub(super) fn embedder(&self, model: &str) -> Option<Arc<dyn DocumentEmbedder>> {
        self.0.models.named(model)
    }

    pub(super) fn count(&self, count: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.0.metrics {
            count(metrics);
        }
    }

    pub(super) async fn checkpoint(&self, checkpoint: Checkpoint) {
        if let Some(checkpoints) = &self.0.checkpoints {
            checkpoints.reached(checkpoint).await;
        }
    }
}

impl fmt::Debug for IngestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngestContext").finish_non_exhaustive()
    }
}

/// A point right after an effect of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checkpoint {
    Claimed,
    StepDone(IngestStep),
    /// The text of a new document is written but not committed.
    TextWritten,
    /// A batch of embeddings is saved.
    VectorsDrafted,
    /// All rows are written but not committed.
    RowsWritten,
    /// A deletion has deleted the rows in the tenant's database.
    RowsDeleted,
    /// A deletion has deleted the file.
    FileDeleted,
}

/// Observes effects.
pub trait Checkpoints: Send + Sync {
    /// The job continues when the future completes.
    fn reached(&self, checkpoint: Checkpoint) -> BoxFuture<'_, ()>;
}

/// Opens tenants' databases: the connection pools, or fakes in tests.
pub trait TenantDatabases: Send + Sync {
    fn open<'a>(
        &'a self,
        workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<TenantConnection, Unavailable>>;

    /// Reports a failed query, so that the pool can be replaced if that helps.
    fn report_error<'a>(
        &'a self,
        workspace: &'a Workspace,
        error: &'a sqlx::Error,
    ) -> BoxFuture<'a, ()>;
}

/// A connection pool of a tenant's database, kept open while this value lives.
#[derive(Debug, Clone)]
pub struct TenantConnection {
    pool: PgPool,
    guard: Option<TenantDatabase>,
}

impl TenantConnection {
    /// Wraps a pool whose lifetime the caller manages.
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool, guard: None }
    }

    pub fn pool(&self) -> &PgPool {
        self.guard.as_ref().map_or(&self.pool, TenantDatabase::pool)
    }
}

impl TenantDatabases for Pools {
    fn open<'a>(
        &'a self,
        workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<TenantConnection, Unavailable>> {
        Box::pin(async move {
            let database = self.get(workspace).await?;
            Ok(TenantConnection {
                pool: database.pool().clone(),
                guard: Some(database),
            })
        })
    }

    fn report_error<'a>(
        &'a self,
        workspace: &'a Workspace,
        error: &'a sqlx::Error,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            Pools::report_error(self, workspace, error).await;
        })
    }
}
