//! Fakes of the tenants' pools and of the embedding models. Both can be made unavailable; the
//! models count their calls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app::domain::Workspace;
use app::ingestion::{
    DocumentEmbedder, EmbedError, EmbeddingModels, TenantConnection, TenantDatabases,
};
use app::tenants::Unavailable;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

/// The only tenant's database.
pub(crate) struct FakeTenants {
    pub(super) pool: PgPool,
    pub(crate) unavailable: AtomicBool,
}

impl TenantDatabases for FakeTenants {
    fn open<'a>(
        &'a self,
        _workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<TenantConnection, Unavailable>> {
        Box::pin(async move {
            if self.unavailable.load(Ordering::SeqCst) {
                return Err(Unavailable::Unreachable {
                    retry_after: Duration::from_secs(1),
                });
            }
            Ok(TenantConnection::from_pool(self.pool.clone()))
        })
    }

    fn report_error<'a>(&'a self, _: &'a Workspace, _: &'a sqlx::Error) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// Models whose embeddings are derived from a checksum of the text.
#[derive(Default)]
pub(crate) struct CountingModels {
    /// Texts embedded so far, by any model.
    pub(crate) texts: Arc<AtomicUsize>,
    pub(crate) unavailable: Arc<AtomicBool>,
    /// The model for new documents, if not `first`.
    pub(crate) current: Mutex<Option<&'static str>>,
}

pub(crate) struct CountingModel {
    name: String,
    texts: Arc<AtomicUsize>,
    unavailable: Arc<AtomicBool>,
}

impl CountingModels {
    fn model(&self, name: &str) -> Arc<dyn DocumentEmbedder> {
        Arc::new(CountingModel {
            name: name.to_owned(),
            texts: Arc::clone(&self.texts),
            unavailable: Arc::clone(&self.unavailable),
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.texts.load(Ordering::SeqCst)
    }
}

impl EmbeddingModels for CountingModels {
    fn current(&self) -> Arc<dyn DocumentEmbedder> {
        let name = *self.current.lock().unwrap();
        self.model(name.unwrap_or("first"))
    }

    fn named(&self, name: &str) -> Option<Arc<dyn DocumentEmbedder>> {
        Some(self.model(name))
    }
}

impl DocumentEmbedder for CountingModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            if self.unavailable.load(Ordering::SeqCst) {
                return Err(EmbedError::Unavailable {
                    reason: "made unavailable by the test".to_owned(),
                    retry_after: None,
                });
            }
            self.texts.fetch_add(texts.len(), Ordering::SeqCst);
            Ok(texts
                .iter()
                .map(|text| {
                    let digest = Sha256::digest(format!("{}{text}", self.name));
                    digest.iter().take(8).map(|byte| f32::from(*byte)).collect()
                })
                .collect())
        })
    }
}
