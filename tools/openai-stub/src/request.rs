//! Preparation of every model request: authorization, planned faults, fields and model.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::Shared;
use crate::api_error::{self, ApiError};
use crate::fault::{Fault, Route};

pub(crate) struct ModelRequest {
    /// Fields of the request. All of them are known.
    pub(crate) fields: Map<String, Value>,
    pub(crate) model: String,
    /// Fault of the response, if one is planned.
    pub(crate) fault: Option<Fault>,
}

pub(crate) enum Prepared {
    Request(ModelRequest),
    /// A planned fault determines the response.
    Response(Response),
}

/// Prepares a request to a route with these known fields.
pub(crate) async fn prepare(
    shared: &Shared,
    route: Route,
    headers: &HeaderMap,
    body: &Bytes,
    known: &[&str],
) -> Result<Prepared, ApiError> {
    let fault = shared.faults.take(route);
    shared.authorize(headers)?;
    match &fault {
        Some(Fault::RateLimited { retry_after }) => {
            return Err(ApiError::rate_limited(retry_after.as_deref()));
        }
        Some(Fault::InsufficientQuota) => return Err(ApiError::insufficient_quota()),
        Some(Fault::Status(status)) => return Err(ApiError::status(*status)),
        Some(Fault::NotJson) => return Ok(Prepared::Response(not_json(route).into_response())),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(delay)) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let fields = api_error::fields(&body, known)?.clone();
    let model = fields
        .get("model")
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::invalid(None, "you must provide a model parameter"))?
        .to_owned();
    Ok(Prepared::Request(ModelRequest {
        fields,
        model,
        fault,
    }))
}

/// Returns a body without JSON in the format of the route.
fn not_json(route: Route) -> &'static str {
    match route {
        Route::Chat => "data: so sorry\n\n",
        Route::Embeddings => "so sorry",
    }
}
