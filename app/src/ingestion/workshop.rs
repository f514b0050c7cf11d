//! What jobs work with.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use pdf_text::Extractor;
use sqlx::PgPool;

use super::vectors::{Embedders, Embeds};
use crate::documents::Step;
use crate::objects::Objects;
use crate::telemetry::Metrics;
use crate::tenants::{Pools, TenantDatabase, Unavailable};
use crate::domain::Workspace;

/// The tools of ingestion; clones share them.
#[derive(Clone)]
pub struct Workshop(Arc<Tools>);

#[derive(Clone)]
pub(super) struct Tools {
    /// The app's own database.
    pub(super) database: PgPool,
    pub(super) objects: Objects,
    pub(super) tenants: Arc<dyn TenantDatabases>,
    pub(super) extractor: Extractor,
    pub(super) models: Arc<dyn Embedders>,
    metrics: Option<Arc<Metrics>>,
    checkpoints: Option<Arc<dyn Checkpoints>>,
}

impl Workshop {
    /// Over the app's parts.
    pub fn new(
        database: PgPool,
        objects: Objects,
        tenants: Arc<dyn TenantDatabases>,
        extractor: Extractor,
        models: Arc<dyn Embedders>,
    ) -> Self {
        Self(Arc::new(Tools {
            database,
            objects,
            tenants,
            extractor,
            models,
            metrics: None,
            checkpoints: None,
        }))
    }

    /// The same, with its work counted.
    #[must_use]
    pub fn counted_by(&self, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Tools {
            metrics: Some(metrics),
            ..Tools::clone(&self.0)
        }))
    }

    /// The same, told about every effect: tests of crashes stop there.
    #[must_use]
    pub fn with_checkpoints(&self, checkpoints: Arc<dyn Checkpoints>) -> Self {
        Self(Arc::new(Tools {
            checkpoints: Some(checkpoints),
            ..Tools::clone(&self.0)
        }))
    }

    /// The model that documents are embedded with from now on.
    pub fn embedding_model(&self) -> String {
        self.0.models.current().name().to_owned()
    }

    pub(super) fn tools(&self) -> &Tools {
        &self.0
    }

    pub(super) fn embeds(&self, model: &str) -> Option<Arc<dyn Embeds>> {
        self.0.models.named(model)
    }

    pub(super) fn count(&self, count: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.0.metrics {
            count(metrics);
        }
    }

    pub(super) async fn reached(&self, checkpoint: Checkpoint) {
        if let Some(checkpoints) = &self.0.checkpoints {
            checkpoints.reached(checkpoint).await;
        }
    }
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop").finish_non_exhaustive()
    }
}

/// Where a job has had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checkpoint {
    /// The document is claimed.
    Claimed,
    /// This step is done.
    Done(Step),
    /// A slice of vectors is kept.
    Drafted,
    /// All rows are written and not committed.
    Written,
    /// A removal has taken the rows in the tenant's database.
    RowsRemoved,
    /// A removal has taken the file.
    FileRemoved,
}

/// Is told about effects.
pub trait Checkpoints: Send + Sync {
    /// Goes on when the future ends.
    fn reached(&self, checkpoint: Checkpoint) -> BoxFuture<'_, ()>;
}

/// Opens tenants' databases: the pools, or what stands for them in tests.
pub trait TenantDatabases: Send + Sync {
    /// The workspace's database, ready for queries.
    fn open<'a>(&'a self, workspace: &'a Workspace) -> BoxFuture<'a, Result<Lease, Unavailable>>;

    /// Is told of an error that a query failed with, so that the next opening begins anew if that helps.
    fn failed<'a>(&'a self, workspace: &'a Workspace, error: &'a sqlx::Error) -> BoxFuture<'a, ()>;
}

/// A tenant's database in use.
#[derive(Debug, Clone)]
pub struct Lease {
    pool: PgPool,
    /// Keeps the pool open.
    kept: Option<TenantDatabase>,
}

impl Lease {
    /// Of a pool that somebody else keeps open.
    pub fn of_pool(pool: PgPool) -> Self {
        Self { pool, kept: None }
    }

    /// The pool, for queries.
    pub fn pool(&self) -> &PgPool {
        self.kept.as_ref().map_or(&self.pool, TenantDatabase::pool)
    }
}

impl TenantDatabases for Pools {
    fn open<'a>(&'a self, workspace: &'a Workspace) -> BoxFuture<'a, Result<Lease, Unavailable>> {
        Box::pin(async move {
            let database = self.get(workspace).await?;
            Ok(Lease {
                pool: database.pool().clone(),
                kept: Some(database),
            })
        })
    }

    fn failed<'a>(&'a self, workspace: &'a Workspace, error: &'a sqlx::Error) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            Pools::failed(self, workspace, error).await;
        })
    }
}
