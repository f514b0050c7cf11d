//! Texts to vectors, as ingestion needs it: one model after another, by name.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use models::{Embedder, ModelError, Models, Purpose, Retry};

/// A model that embeds documents.
pub trait Embeds: Send + Sync {
    /// As it stands beside its vectors.
    fn name(&self) -> &str;

    /// The vectors of these texts, in their order.
    fn embed<'a>(
        &'a self,
        texts: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, VectorsError>>;
}

/// All models that can be had.
pub trait Embedders: Send + Sync {
    /// What documents are embedded with from now on.
    fn current(&self) -> Arc<dyn Embeds>;

    /// The model that made vectors of this name, if it can still be had.
    fn named(&self, name: &str) -> Option<Arc<dyn Embeds>>;
}

/// There are no vectors.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VectorsError {
    /// Waiting helps.
    #[error("the embedding model is away: {why}")]
    Away {
        /// For the log.
        why: String,
        /// Not before this has passed.
        after: Option<Duration>,
    },
    /// Only a person can mend it.
    #[error("the embedding model refuses: {why}")]
    Refused {
        /// For the log.
        why: String,
    },
}

impl From<ModelError> for VectorsError {
    fn from(error: ModelError) -> Self {
        match error.retry() {
            Retry::Later(after) => Self::Away {
                why: error.to_string(),
                after,
            },
            // A key or a bill is mended while documents wait; what the model itself refuses is not.
            Retry::Never
                if matches!(error, ModelError::Unauthorized | ModelError::QuotaExhausted) =>
            {
                Self::Away {
                    why: error.to_string(),
                    after: None,
                }
            }
            Retry::Never => Self::Refused {
                why: error.to_string(),
            },
        }
    }
}

impl Embeds for Embedder {
    fn name(&self) -> &str {
        Embedder::name(self)
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, VectorsError>> {
        Box::pin(async move {
            Embedder::embed(self, texts, Purpose::Document)
                .await
                .map_err(VectorsError::from)
        })
    }
}

impl Embedders for Models {
    fn current(&self) -> Arc<dyn Embeds> {
        Arc::new(self.embedder().clone())
    }

    fn named(&self, name: &str) -> Option<Arc<dyn Embeds>> {
        self.embedder_named(name)
            .map(|embedder| Arc::new(embedder) as Arc<dyn Embeds>)
    }
}
