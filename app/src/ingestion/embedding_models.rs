//! The embedding models as ingestion uses them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use llm::{Embedder, ModelError, Models, Purpose, Retry};

/// How a document's texts are split into batches that are embedded and saved together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizing {
    /// Texts in the first batch.
    pub first: usize,
    /// Batches double in size up to this number of texts.
    pub max: usize,
    /// Batches of one document in flight at the same time.
    pub concurrency: usize,
}

impl BatchSizing {
    /// For a remote endpoint, which bills by request and serves requests concurrently.
    pub const REMOTE: Self = Self {
        first: 64,
        max: 64,
        concurrency: 4,
    };
    /// For a model in this process, which may take most of a second per text. Small batches make
    /// progress visible early; concurrent batches would only compete for the same cores.
    pub const LOCAL: Self = Self {
        first: 4,
        max: 16,
        concurrency: 1,
    };

    /// The ranges of the batches for this number of texts, in order.
    pub fn ranges(self, texts: usize) -> Vec<std::ops::Range<usize>> {
        let (mut ranges, mut start, mut size) = (Vec::new(), 0, self.first.max(1));
        while start < texts {
            let end = texts.min(start + size);
            ranges.push(start..end);
            (start, size) = (end, (size * 2).min(self.max.max(1)));
        }
        ranges
    }
}

/// A model that embeds documents.
pub trait DocumentEmbedder: Send + Sync {
    /// As stored beside its embeddings.
    fn name(&self) -> &str;

    /// How many texts to embed at a time.
    fn batch_sizing(&self) -> BatchSizing {
        BatchSizing::REMOTE
    }

    /// The embeddings of these texts, in the same order.
    fn embed<'a>(&'a self, texts: &'a [String])
    -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>>;
}

pub trait EmbeddingModels: Send + Sync {
    /// The model for new documents.
    fn current(&self) -> Arc<dyn DocumentEmbedder>;

    /// The model of this name, if it is available.
    fn named(&self, name: &str) -> Option<Arc<dyn DocumentEmbedder>>;
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbedError {
    /// Retrying helps.
    #[error("the embedding model is unavailable: {reason}")]
    Unavailable {
        reason: String,
        /// The earliest time for a retry, if the endpoint named one.
        retry_after: Option<Duration>,
    },
    /// An operator has to fix the configuration.
    #[error("the embedding model rejected the request: {reason}")]
    Rejected { reason: String },
}

impl From<ModelError> for EmbedError {
    fn from(error: ModelError) -> Self {
        match error.retry() {
            Retry::Later(retry_after) => Self::Unavailable {
                reason: error.to_string(),
                retry_after,
            },
            // Operators fix keys and bills while documents wait, so these errors are retried. What
            // the model itself rejects is not.
            Retry::Never
                if matches!(error, ModelError::Unauthorized | ModelError::QuotaExhausted) =>
            {
                Self::Unavailable {
                    reason: error.to_string(),
                    retry_after: None,
                }
            }
            Retry::Never => Self::Rejected {
                reason: error.to_string(),
            },
        }
    }
}

impl DocumentEmbedder for Embedder {
    fn name(&self) -> &str {
        Embedder::name(self)
    }

    fn batch_sizing(&self) -> BatchSizing {
        if self.is_local() {
            BatchSizing::LOCAL
        } else {
            BatchSizing::REMOTE
        }
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            Embedder::embed(self, texts, Purpose::Document)
                .await
                .map_err(EmbedError::from)
        })
    }
}

impl EmbeddingModels for Models {
    fn current(&self) -> Arc<dyn DocumentEmbedder> {
        Arc::new(self.embedder().clone())
    }

    fn named(&self, name: &str) -> Option<Arc<dyn DocumentEmbedder>> {
        self.embedder_named(name)
            .map(|embedder| Arc::new(embedder) as Arc<dyn DocumentEmbedder>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_every_text_once_and_start_small_for_a_local_model() {
        for sizing in [BatchSizing::LOCAL, BatchSizing::REMOTE] {
            for texts in [0, 1, 4, 5, 63, 64, 65, 500] {
                let all: Vec<usize> = sizing.ranges(texts).into_iter().flatten().collect();
                assert_eq!(all, (0..texts).collect::<Vec<_>>(), "{sizing:?}");
            }
        }
        let sizes = |sizing: BatchSizing, texts| -> Vec<usize> {
            sizing
                .ranges(texts)
                .into_iter()
                .map(|range| range.len())
                .collect()
        };
        assert_eq!(sizes(BatchSizing::LOCAL, 50), [4, 8, 16, 16, 6]);
        assert_eq!(sizes(BatchSizing::REMOTE, 130), [64, 64, 2]);
    }
}
