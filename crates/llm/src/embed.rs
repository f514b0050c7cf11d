//! Texts -> vectors, in batches.

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

/// Texts of a request. OpenAI takes 2,048; smaller requests fail more cheaply and show progress.
const BATCH_TEXTS: usize = 256;
/// Bytes of a request's texts. OpenAI takes 300,000 tokens, and no token is shorter than a byte.
const BATCH_BYTES: usize = 128 * 1024;
/// Bytes of a token, for the quota: a little fewer than in English, so that what is taken from it is enough in most languages.
const TOKEN_BYTES: usize = 3;

/// What an embedding is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be kept. Waits its turn, and is tried again with patience.
    Document,
    /// To search with, while somebody waits. Goes first, and fails soon.
    Question,
}

/// Turns texts into vectors of one model. Cheap to clone.
#[derive(Clone)]
pub struct Embedder {
    name: Arc<str>,
    dimensions: usize,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Endpoint(Arc<Endpoint>, EmbeddingModel),
    Local(Arc<LocalModel>),
}

impl Embedder {
    pub(crate) fn of_endpoint(endpoint: Arc<Endpoint>, model: EmbeddingModel) -> Self {
        Self {
            name: model.to_string().into(),
            dimensions: model.dimensions() as usize,
            kind: Kind::Endpoint(endpoint, model),
        }
    }

    pub(crate) fn local(model: Arc<LocalModel>) -> Self {
        Self {
            name: LOCAL_MODEL_NAME.into(),
            dimensions: crate::local::DIMENSIONS,
            kind: Kind::Local(model),
        }
    }

    /// What stands beside the vectors: the model, and all that changes its vectors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of every vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether it runs on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, Kind::Local(_))
    }

    /// One vector for each text, in their order; all finite, and of [`Embedder::dimensions`]. No text may be empty.
    pub async fn embed(
        &self,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let vectors = match &self.kind {
            Kind::Endpoint(endpoint, model) => {
                let batches: Vec<Range<usize>> = batches(texts);
                let vectors: Vec<Vec<Vec<f32>>> = stream::iter(batches)
                    .map(|batch| request(endpoint, model, &texts[batch], purpose))
                    .buffered(endpoint.concurrency())
                    .try_collect()
                    .await?;
                vectors.into_iter().flatten().collect()
            }
            Kind::Local(model) => model.embed(texts.to_vec(), purpose).await?,
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

/// Which texts go together: as many as fit, in order.
fn batches(texts: &[String]) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, text) in texts.iter().enumerate() {
        bytes += text.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_TEXTS && bytes <= BATCH_BYTES => {
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
    let tokens = texts.iter().map(|text| text.len() / TOKEN_BYTES + 1).sum();
    endpoint
        .send(tokens, purpose, || async {
            let request = CreateEmbeddingRequest {
                model: model.name().to_owned(),
                input: EmbeddingInput::StringArray(texts.to_vec()),
                encoding_format: Some(EncodingFormat::Float),
                user: None,
                dimensions: model.asked_dimensions(),
            };
            let response = endpoint
                .client()
                .embeddings()
                .create(request)
                .await
                .map_err(ModelError::of_client)?;
            vectors(response, texts.len())
        })
        .await
}

/// The vectors of a response, in the order of the texts, wherever they stand in it.
fn vectors(response: CreateEmbeddingResponse, texts: usize) -> Result<Vec<Vec<f32>>, ModelError> {
    let mut vectors = vec![Vec::new(); texts];
    if response.data.len() != texts {
        return Err(ModelError::NotUnderstood("not one vector for each text"));
    }
    for embedding in response.data {
        let place = vectors
            .get_mut(embedding.index as usize)
            .filter(|place| place.is_empty());
        let is_vector = !embedding.embedding.is_empty()
            && embedding.embedding.iter().all(|number| number.is_finite());
        match place {
            Some(place) if is_vector => *place = embedding.embedding,
            _ => return Err(ModelError::NotUnderstood("not one vector for each text")),
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_all_texts_in_order_within_both_limits() {
        let texts: Vec<String> = (0..1_000)
            .map(|index| "x".repeat(1 + (index * 37) % 3_000))
            .chain(["y".repeat(2 * BATCH_BYTES), "z".to_owned()])
            .collect();
        let batches = batches(&texts);
        assert_eq!(batches.first().map(|batch| batch.start), Some(0));
        assert_eq!(batches.last().map(|batch| batch.end), Some(texts.len()));
        assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
        for batch in batches {
            let bytes: usize = texts[batch.clone()].iter().map(String::len).sum();
            assert!(batch.len() <= BATCH_TEXTS && (bytes <= BATCH_BYTES || batch.len() == 1));
        }
    }
}
