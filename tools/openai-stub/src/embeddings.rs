//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::fault::{Fault, Route};
use crate::opening::{Asked, Opened, open};
use crate::refusal::{self, Refusal};
use crate::{Shared, words};

const FIELDS: [&str; 5] = ["model", "input", "encoding_format", "dimensions", "user"];
const INPUTS_MAX: usize = 2_048;
const INPUT_TOKENS_MAX: usize = 8_192;
const REQUEST_TOKENS_MAX: usize = 300_000;
/// Tokens are counted as OpenAI tells people to guess them.
const TOKEN_CHARS: usize = 4;

/// Counts a request as under way until it is dropped.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn begin(shared: &Arc<Shared>) -> Self {
        let mut counts = shared.counts();
        counts.0.embedding_requests += 1;
        counts.1 += 1;
        counts.0.embedding_requests_at_once = counts.0.embedding_requests_at_once.max(counts.1);
        drop(counts);
        Self(shared.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.counts().1 -= 1;
    }
}

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _under_way = UnderWay::begin(&shared);
    match answer(&shared, &headers, &body).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(shared: &Shared, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
    let opened = open(shared, Route::Embeddings, headers, body, &FIELDS).await?;
    let Asked {
        fields,
        model,
        fault,
    } = match opened {
        Opened::Asked(asked) => asked,
        Opened::Spoilt(response) => return Ok(response),
    };
    let (_, native) = shared
        .config
        .embedding_models
        .iter()
        .find(|(name, _)| *name == model)
        .ok_or_else(|| Refusal::unknown_model(&model))?;
    let mut dimensions = dimensions(fields.get("dimensions"), *native)?;
    let is_base64 = match fields.get("encoding_format").map(|format| format.as_str()) {
        None | Some(Some("float")) => false,
        Some(Some("base64")) => true,
        Some(_) => {
            return Err(Refusal::invalid(
                Some("encoding_format"),
                "Invalid value for 'encoding_format'.",
            ));
        }
    };
    let texts = texts(fields.get("input"))?;
    let tokens: usize = texts
        .iter()
        .map(|text| text.chars().count() / TOKEN_CHARS + 1)
        .sum();
    if tokens > REQUEST_TOKENS_MAX {
        return Err(Refusal::too_long(tokens, REQUEST_TOKENS_MAX));
    }
    if fault == Some(Fault::WrongDimensions) {
        dimensions -= 1;
    }
    let mut data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = words::vector(text, dimensions);
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
    Ok(refusal::json(
        200,
        &json!({
            "object": "list", "model": model, "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }),
    ))
}

fn dimensions(asked: Option<&Value>, native: usize) -> Result<usize, Refusal> {
    match asked {
        None => Ok(native),
        Some(asked) => asked
            .as_u64()
            .and_then(|asked| usize::try_from(asked).ok())
            .filter(|asked| (1..=native).contains(asked))
            .ok_or_else(|| Refusal::invalid(Some("dimensions"), "Invalid value for 'dimensions'.")),
    }
}

fn texts(input: Option<&Value>) -> Result<Vec<&str>, Refusal> {
    let wrong = || {
        Refusal::invalid(
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
    if texts.is_empty() || texts.len() > INPUTS_MAX || texts.iter().any(|text| text.is_empty()) {
        return Err(wrong());
    }
    match texts
        .iter()
        .map(|text| text.chars().count() / TOKEN_CHARS)
        .max()
    {
        Some(tokens) if tokens > INPUT_TOKENS_MAX => {
            Err(Refusal::too_long(tokens, INPUT_TOKENS_MAX))
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
