//! How every request to a model begins: the key, the fault that was planned, the fields, the model.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::Shared;
use crate::fault::{Fault, Route};
use crate::refusal::{self, Refusal};

/// A request that may be answered.
pub(crate) struct Asked {
    /// Its fields, all of them known.
    pub(crate) fields: Map<String, Value>,
    /// The model that it names.
    pub(crate) model: String,
    /// How its answer is to fail, if it is.
    pub(crate) fault: Option<Fault>,
}

/// What came of the beginning.
pub(crate) enum Opened {
    /// It can be answered.
    Asked(Asked),
    /// It was answered already, as it was told to fail.
    Spoilt(Response),
}

/// Begins a request to this route, which knows these fields.
pub(crate) async fn open(
    shared: &Shared,
    route: Route,
    headers: &HeaderMap,
    body: &Bytes,
    known: &[&str],
) -> Result<Opened, Refusal> {
    let fault = shared.faults.take(route);
    shared.authorise(headers)?;
    match &fault {
        Some(Fault::RateLimited { retry_after }) => {
            return Err(Refusal::rate_limited(retry_after.as_deref()));
        }
        Some(Fault::InsufficientQuota) => return Err(Refusal::insufficient_quota()),
        Some(Fault::Status(status)) => return Err(Refusal::status(*status)),
        Some(Fault::NotJson) => return Ok(Opened::Spoilt(not_json(route).into_response())),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(delay)) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let fields = refusal::fields(&body, known)?.clone();
    let model = fields
        .get("model")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::invalid(None, "you must provide a model parameter"))?
        .to_owned();
    Ok(Opened::Asked(Asked {
        fields,
        model,
        fault,
    }))
}

/// A body of the route's kind that holds no JSON.
fn not_json(route: Route) -> &'static str {
    match route {
        Route::Chat => "data: so sorry\n\n",
        Route::Embeddings => "so sorry",
    }
}
