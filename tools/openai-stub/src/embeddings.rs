//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::api_error::{self, ApiError};
use crate::fault::{Fault, Route};
use crate::request::{ModelRequest, Prepared, prepare};
use crate::{Shared, hash_embedding};

const FIELDS: [&str; 5] = ["model", "input", "encoding_format", "dimensions", "user"];
const MAX_INPUTS: usize = 2_048;
const MAX_INPUT_TOKENS: usize = 8_192;
const MAX_REQUEST_TOKENS: usize = 300_000;
/// Tokens are estimated by OpenAI's rule of thumb.
const CHARS_PER_TOKEN: usize = 4;

/// Counts a request as in flight until it is dropped.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn begin(shared: &Arc<Shared>) -> Self {
        let mut counts = shared.counts();
        counts.0.embedding_requests += 1;
        counts.1 += 1;
        counts.0.max_concurrent_embedding_requests =
            counts.0.max_concurrent_embedding_requests.max(counts.1);
        drop(counts);
        Self(shared.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.counts().1 -= 1;
    }
}

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _in_flight = InFlight::begin(&shared);
    match answer(&shared, &headers, &body).await {
        Ok(response) => response,
        Err(api_error) => api_error.into_response(),
    }
}

async fn answer(shared: &Shared, headers: &HeaderMap, body: &Bytes) -> Result<Response, ApiError> {
    let prepared = prepare(shared, Route::Embeddings, headers, body, &FIELDS).await?;
    let ModelRequest {
        fields,
        model,
        fault,
    } = match prepared {
        Prepared::Request(requested) => requested,
        Prepared::Response(response) => return Ok(response),
    };
    let (_, native) = shared
        .config
        .embedding_models
        .iter()
        .find(|(name, _)| *name == model)
        .ok_or_else(|| ApiError::unknown_model(&model))?;
    let mut dimensions = dimensions(fields.get("dimensions"), *native)?;
    let is_base64 = match fields.get("encoding_format").map(|format| format.as_str()) {
        None | Some(Some("float")) => false,
        Some(Some("base64")) => true,
        Some(_) => {
            return Err(ApiError::invalid(
                Some("encoding_format"),
                "Invalid value for 'encoding_format'.",
            ));
        }
    };
    let texts = texts(fields.get("input"))?;
    let tokens: usize = texts
        .iter()
        .map(|text| text.chars().count() / CHARS_PER_TOKEN + 1)
        .sum();
    if tokens > MAX_REQUEST_TOKENS {
        return Err(ApiError::too_long(tokens, MAX_REQUEST_TOKENS));
    }
    if fault == Some(Fault::WrongDimensions) {
        dimensions -= 1;
    }
    let mut data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = hash_embedding::vector(text, dimensions);
            let embedding = if is_base64 {
                base64(&vector)
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    match fault {
        Some(Fault::VectorMissing) => drop(data.pop()),
        Some(Fault::Shuffled) => data.reverse(),
        _ => {}
    }
    shared.counts().0.texts += texts.len();
    Ok(api_error::json(
        200,
        &json!({
            "object": "list", "model": model, "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }),
    ))
}

fn dimensions(requested: Option<&Value>, native: usize) -> Result<usize, ApiError> {
    match requested {
        None => Ok(native),
        Some(requested) => requested
            .as_u64()
            .and_then(|requested| usize::try_from(requested).ok())
            .filter(|requested| (1..=native).contains(requested))
            .ok_or_else(|| {
                ApiError::invalid(Some("dimensions"), "Invalid value for 'dimensions'.")
            }),
    }
}

fn texts(input: Option<&Value>) -> Result<Vec<&str>, ApiError> {
    let wrong = || {
        ApiError::invalid(
            Some("input"),
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
        )
    };
    let texts: Vec<&str> = match input {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => texts
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    if texts.is_empty() || texts.len() > MAX_INPUTS || texts.iter().any(|text| text.is_empty()) {
        return Err(wrong());
    }
    match texts
        .iter()
        .map(|text| text.chars().count() / CHARS_PER_TOKEN)
        .max()
    {
        Some(tokens) if tokens > MAX_INPUT_TOKENS => {
            Err(ApiError::too_long(tokens, MAX_INPUT_TOKENS))
        }
        _ => Ok(texts),
    }
}

fn base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
}
