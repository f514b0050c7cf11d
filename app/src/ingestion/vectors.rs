//! Texts to vectors, as ingestion needs it: one model after another, by name.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use llm::{Embedder, ModelError, Models, Purpose, Retry};

/// How a document's texts are cut into slices that are embedded and then kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slices {
    /// Texts of the first.
    pub first: usize,
    /// Texts of a slice at most: each is twice the one before, until then.
    pub max: usize,
    /// Slices of one document under way at once.
    pub at_once: usize,
}

impl Slices {
    /// For an endpoint, where requests are counted and answered at once.
    pub const LARGE: Self = Self {
        first: 64,
        max: 64,
        at_once: 4,
    };
    /// For a model on this machine, which takes the better part of a second for a text on a slow one: progress is seen to begin soon and
    /// to go on. Slices at once would only share its cores, and all be done late.
    pub const SMALL: Self = Self {
        first: 4,
        max: 16,
        at_once: 1,
    };

    /// The ends of the slices of so many texts, in order.
    pub fn of(self, texts: usize) -> Vec<std::ops::Range<usize>> {
        let (mut slices, mut begin, mut size) = (Vec::new(), 0, self.first.max(1));
        while begin < texts {
            let end = texts.min(begin + size);
            slices.push(begin..end);
            (begin, size) = (end, (size * 2).min(self.max.max(1)));
        }
        slices
    }
}

/// A model that embeds documents.
pub trait Embeds: Send + Sync {
    /// As it stands beside its vectors.
    fn name(&self) -> &str;

    /// How many texts it is best given at a time.
    fn slices(&self) -> Slices {
        Slices::LARGE
    }

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

    fn slices(&self) -> Slices {
        if self.is_local() {
            Slices::SMALL
        } else {
            Slices::LARGE
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_every_text_once_and_a_model_on_this_machine_has_small_ones_first() {
        for slices in [Slices::SMALL, Slices::LARGE] {
            for texts in [0, 1, 4, 5, 63, 64, 65, 500] {
                let all: Vec<usize> = slices.of(texts).into_iter().flatten().collect();
                assert_eq!(all, (0..texts).collect::<Vec<_>>(), "{slices:?}");
            }
        }
        let sizes = |slices: Slices, texts| -> Vec<usize> {
            slices
                .of(texts)
                .into_iter()
                .map(|slice| slice.len())
                .collect()
        };
        assert_eq!(sizes(Slices::SMALL, 50), [4, 8, 16, 16, 6]);
        assert_eq!(sizes(Slices::LARGE, 130), [64, 64, 2]);
    }
}
