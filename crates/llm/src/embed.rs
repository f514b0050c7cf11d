//! Converts texts to vectors, in batches.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_openai::types::embeddings::{
    CreateEmbeddingRequest, CreateEmbeddingResponse, EmbeddingInput, EncodingFormat,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::config::{EmbeddingModel, LOCAL_MODEL_NAME};
use crate::endpoint::Endpoint;
use crate::error::ModelError;
use crate::local::LocalModel;
use crate::purpose::Purpose;

/// Maximum number of texts per request. OpenAI accepts 2,048; smaller requests are cheaper to retry
/// and give finer progress.
const MAX_BATCH_TEXTS: usize = 256;
/// Maximum size of the texts of a request, in bytes. OpenAI accepts 300,000 tokens, and a token has
/// at least one byte.
const MAX_BATCH_BYTES: usize = 128 * 1024;
/// Bytes per token, used to estimate token counts for the quota: slightly fewer than in English, so
/// that the estimate is high enough for most languages.
const BYTES_PER_TOKEN: usize = 3;

/// Converts texts to vectors of one model. Cheap to clone.
#[derive(Clone)]
pub struct Embedder {
    name: Arc<str>,
    dimensions: usize,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Endpoint(Arc<Endpoint>, EmbeddingModel),
    Local(Arc<LocalModel>),
}

impl Embedder {
    pub(crate) fn from_endpoint(endpoint: Arc<Endpoint>, model: EmbeddingModel) -> Self {
        Self {
            name: model.to_string().into(),
            dimensions: model.dimensions() as usize,
            backend: Backend::Endpoint(endpoint, model),
        }
    }

    pub(crate) fn local(model: Arc<LocalModel>) -> Self {
        Self {
            name: LOCAL_MODEL_NAME.into(),
            dimensions: crate::local::DIMENSIONS,
            backend: Backend::Local(model),
        }
    }

    /// Name that is stored with the vectors: the model and everything that affects its vectors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of dimensions of every vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Local(_))
    }

    /// Returns one vector for each text, in order. All values are finite and all vectors have
    /// [`Embedder::dimensions`]. No text may be empty.
    pub async fn embed(
        &self,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let vectors = match &self.backend {
            Backend::Endpoint(endpoint, model) => {
                let batches: Vec<Range<usize>> = batches(texts);
                let vectors: Vec<Vec<Vec<f32>>> = stream::iter(batches)
                    .map(|batch| request(endpoint, model, &texts[batch], purpose))
                    .buffered(endpoint.concurrency())
                    .try_collect()
                    .await?;
                vectors.into_iter().flatten().collect()
            }
            Backend::Local(model) => model.embed(texts.to_vec(), purpose).await?,
        };
        if let Some(other) = vectors
            .iter()
            .find(|vector| vector.len() != self.dimensions)
        {
            return Err(ModelError::WrongDimensions {
                expected: self.dimensions,
                got: other.len(),
            });
        }
        Ok(vectors)
    }
}

impl fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Embedder")
            .field("name", &self.name)
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}

/// Groups texts into batches: as many as fit, in order.
fn batches(texts: &[String]) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, text) in texts.iter().enumerate() {
        bytes += text.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH_TEXTS && bytes <= MAX_BATCH_BYTES => {
                batch.end = index + 1;
            }
            _ => {
                bytes = text.len();
                batches.push(index..index + 1);
            }
        }
    }
    batches
}

async fn request(
    endpoint: &Endpoint,
    model: &EmbeddingModel,
    texts: &[String],
    purpose: Purpose,
) -> Result<Vec<Vec<f32>>, ModelError> {
    let tokens = texts
        .iter()
        .map(|text| text.len() / BYTES_PER_TOKEN + 1)
        .sum();
    endpoint
        .send(tokens, purpose, || async {
            let request = CreateEmbeddingRequest {
                model: model.name().to_owned(),
                input: EmbeddingInput::StringArray(texts.to_vec()),
                encoding_format: Some(EncodingFormat::Float),
                user: None,
                dimensions: model.requested_dimensions(),
            };
            let response = endpoint
                .client()
                .embeddings()
                .create(request)
                .await
                .map_err(ModelError::from_client)?;
            vectors(response, texts.len())
        })
        .await
}

/// Returns the vectors of a response in the order of the texts, regardless of their order in the
/// response.
fn vectors(response: CreateEmbeddingResponse, texts: usize) -> Result<Vec<Vec<f32>>, ModelError> {
    let mut vectors = vec![Vec::new(); texts];
    if response.data.len() != texts {
        return Err(ModelError::InvalidResponse(
            "the number of vectors differs from the number of texts",
        ));
    }
    for embedding in response.data {
        let slot = vectors
            .get_mut(embedding.index as usize)
            .filter(|slot| slot.is_empty());
        let is_vector = !embedding.embedding.is_empty()
            && embedding.embedding.iter().all(|number| number.is_finite());
        match slot {
            Some(slot) if is_vector => *slot = embedding.embedding,
            _ => {
                return Err(ModelError::InvalidResponse(
                    "the number of vectors differs from the number of texts",
                ));
            }
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_contain_all_texts_in_order_within_both_limits() {
        let texts: Vec<String> = (0..1_000)
            .map(|index| "x".repeat(1 + (index * 37) % 3_000))
            .chain(["y".repeat(2 * MAX_BATCH_BYTES), "z".to_owned()])
            .collect();
        let batches = batches(&texts);
        assert_eq!(batches.first().map(|batch| batch.start), Some(0));
        assert_eq!(batches.last().map(|batch| batch.end), Some(texts.len()));
        assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
        for batch in batches {
            let bytes: usize = texts[batch.clone()].iter().map(String::len).sum();
            assert!(
                batch.len() <= MAX_BATCH_TEXTS && (bytes <= MAX_BATCH_BYTES || batch.len() == 1)
            );
        }
    }
}
