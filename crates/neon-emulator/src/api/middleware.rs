//! Middleware for all calls: counts them, checks the API key, applies latency, rate limits and
//! faults, and adds the request ID and error body to the response.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use neon_client::model::ErrorBody;
use rand::RngExt;
use uuid::Uuid;

use super::Api;
use super::error::ApiError;
use super::extract::{Caller, MAX_BODY_BYTES};
use super::listener::DisconnectHandle;
use super::request_log::LoggedRequest;
use crate::api_key::ApiKey;
use crate::faults::{Effect, Injection};
use crate::openapi::Exchange;
use crate::operations;
use crate::rate::retry_after_seconds;

/// The header that carries the request ID.
const REQUEST_ID: &str = "x-request-id";
/// Maximum length of a client's request ID, in bytes. Longer IDs are replaced.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// The page that a gateway returns when the service behind it timed out.
const TIMEOUT_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>524: A timeout occurred</title></head>\
                            <body><h1>A timeout occurred</h1></body></html>\n";
const TIMEOUT_STATUS: u16 = 524;
/// Shown in the request log for a request that an account-wide fault rejected.
const ACCOUNT_FAULT: &str = "fault account:429";
/// Shown in the request log for a request that the rate limiter rejected.
const RATE_LIMIT: &str = "rate limit";

/// Counts the calls of each operation. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallCounter(Arc<Mutex<BTreeMap<String, u64>>>);

impl CallCounter {
    fn count(&self, operation: &str) {
        let mut counts = self.0.lock();
        match counts.get_mut(operation) {
            Some(count) => *count += 1,
            None => {
                counts.insert(operation.to_owned(), 1);
            }
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }

    pub(crate) fn reset(&self) {
        self.0.lock().clear();
    }
}

/// Middleware for the Neon API.
pub(super) async fn api(
    State(api): State<Arc<Api>>,
    ConnectInfo(connection): ConnectInfo<DisconnectHandle>,
    request: Request,
    next: Next,
) -> Response {
    let arrived = Instant::now();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let mut entry = LoggedRequest {
        at: api.clock.now(),
        operation: operations::name(request.method(), path.as_deref().unwrap_or_default()),
        method: request.method().clone(),
        project: project_of(request.uri().path()).and_then(|id| id.parse().ok()),
        status: None,
        took_ms: 0,
        faults: Vec::new(),
    };
    api.calls.count(entry.operation);
    let response = process(&api, &connection, request, next, path, &mut entry).await;
    entry.took_ms = u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX);
    entry.status = (!connection.is_disconnected()).then_some(response.status().as_u16());
    api.request_log.add(entry);
    response
}

/// Checks the key, applies rate limits, latency and faults, and then calls the handler.
async fn process(
    api: &Arc<Api>,
    connection: &DisconnectHandle,
    mut request: Request,
    next: Next,
    path: Option<String>,
    entry: &mut LoggedRequest,
) -> Response {
    let request_id = request_id(request.headers());
    let Some(key) = key_of(api, request.headers()) else {
        return finish(unauthorized().into_response(), &request_id);
    };
    let caller = Caller(key.organization().cloned());
    if let Err(error) = check_access(api, &caller, request.uri().path()).await {
        return finish(error.into_response(), &request_id);
    }
    request.extensions_mut().insert(caller);
    let injection = Arc::new(decide(api, entry.operation, request.uri().path()));
    entry.faults.clone_from(&injection.labels);
    tokio::time::sleep(latency(api, &injection)).await;
    request.extensions_mut().insert(injection.clone());
    let recorded = match record(api, request, path).await {
        Ok((recorded, whole)) => {
            request = whole;
            recorded
        }
        Err(error) => return finish(error.into_response(), &request_id),
    };
    let response = match &injection.outcome {
        Some(Effect::Status {
            status,
            retry_after_seconds,
        }) => ApiError::injected(*status, *retry_after_seconds).into_response(),
        Some(Effect::Html524) => {
            let status =
                StatusCode::from_u16(TIMEOUT_STATUS).unwrap_or(StatusCode::GATEWAY_TIMEOUT);
            (status, Html(TIMEOUT_PAGE)).into_response()
        }
        Some(Effect::AnswerLost) => {
            let response = next.run(request).await;
            connection.disconnect();
            response
        }
        Some(Effect::WorkLate { ms }) => {
            let delay = Duration::from_millis(*ms);
            match work_late(api, request, next, delay).await {
                Ok(()) => connection.disconnect(),
                Err(error) => return finish(error.into_response(), &request_id),
            }
            StatusCode::NO_CONTENT.into_response()
        }
        _ => next.run(request).await,
    };
    let response = finish(response, &request_id);
    match recorded {
        // A gateway's page is not a response of the API, and the response of late work is not
        // available yet.
        Some(recorded)
            if !matches!(
                injection.outcome,
                Some(Effect::Html524 | Effect::WorkLate { .. })
            ) =>
        {
            recorded.check(api, response).await
        }
        _ => response,
    }
}

/// Decides what happens to a call. Account-wide limits take precedence over faults of single calls.
fn decide(api: &Api, operation: &'static str, path: &str) -> Injection {
    let now = api.clock.now();
    if let Some(seconds) = api.faults.account_limited(now) {
        return Injection::rate_limited(seconds, ACCOUNT_FAULT);
    }
    if let Err(wait) = api.rate.admit(operation, now) {
        return Injection::rate_limited(retry_after_seconds(wait), RATE_LIMIT);
    }
    api.faults.for_call(operation, project_of(path))
}

/// A copy of a request, to be checked against the OpenAPI document together with its response.
struct RecordedRequest {
    method: Method,
    template: String,
    query: String,
    body: Bytes,
}

/// Copies a request, if it is to be checked against the OpenAPI document.
async fn record(
    api: &Api,
    request: Request,
    path: Option<String>,
) -> Result<(Option<RecordedRequest>, Request), ApiError> {
    let template = path
        .as_deref()
        .and_then(|path| path.strip_prefix(operations::PREFIX))
        .map(|path| path.strip_suffix('/').unwrap_or(path).to_owned());
    let (true, Some(template)) = (api.conformance.is_enabled(), template) else {
        return Ok((None, request));
    };
    if operations::name(request.method(), &template) == operations::UNKNOWN {
        return Ok((None, request));
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES)
        .await
        .map_err(|error| ApiError::bad_request(format!("failed to read the body: {error}")))?;
    let recorded = RecordedRequest {
        method: parts.method.clone(),
        template,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: body.clone(),
    };
    Ok((Some(recorded), Request::from_parts(parts, Body::from(body))))
}

impl RecordedRequest {
    async fn check(self, api: &Api, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(response_body) = axum::body::to_bytes(body, usize::MAX).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        api.conformance.check(&Exchange {
            method: &self.method,
            template: &self.template,
            query: &self.query,
            request: &self.body,
            status: parts.status,
            response: &response_body,
        });
        Response::from_parts(parts, Body::from(response_body))
    }
}

/// Middleware for the admin API, which only checks the key.
pub(super) async fn admin(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    let response = if is_allowed(&api, request.headers()) {
        next.run(request).await
    } else {
        unauthorized().into_response()
    };
    finish(response, &request_id)
}

async fn work_late(
    api: &Arc<Api>,
    request: Request,
    next: Next,
    delay: Duration,
) -> Result<(), ApiError> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES)
        .await
        .map_err(|error| ApiError::bad_request(format!("failed to read the body: {error}")))?;
    api.tasks.spawn(async move {
        tokio::time::sleep(delay).await;
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        tracing::debug!(status = %response.status(), "finished the work of a call whose response was dropped");
    });
    Ok(())
}

pub(crate) fn is_allowed(api: &Api, headers: &HeaderMap) -> bool {
    key_of(api, headers).is_some()
}

/// The accepted key that a request carries.
fn key_of<'a>(api: &'a Api, headers: &HeaderMap) -> Option<&'a ApiKey> {
    let (_, key) = headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    api.keys
        .iter()
        .find(|accepted| accepted.secret() == key.trim())
}

/// As in Neon, a project of another organization does not exist for the key of an organization.
async fn check_access(api: &Api, caller: &Caller, path: &str) -> Result<(), ApiError> {
    let (Some(organization), Some(project)) = (&caller.0, project_of(path)) else {
        return Ok(());
    };
    match api.store.organization_of(project).await? {
        Some(owner) if owner.as_deref() != Some(organization.as_str()) => {
            Err(ApiError::not_found("project"))
        }
        _ => Ok(()),
    }
}

fn unauthorized() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "UNAUTHORIZED",
        "the API key is missing or invalid",
    )
}

fn latency(api: &Api, injection: &Injection) -> Duration {
    let (least, most) = (api.latency.call_min_ms, api.latency.call_max_ms);
    let configured = if most > least {
        api.rng().random_range(least..=most)
    } else {
        least
    };
    Duration::from_millis(configured.saturating_add(injection.delay_ms))
}

/// The project ID in a path.
fn project_of(path: &str) -> Option<&str> {
    let mut segments = path
        .split('/')
        .skip_while(|segment| *segment != "projects")
        .skip(1);
    segments.next().filter(|id| !id.is_empty())
}

fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty() && value.len() <= MAX_REQUEST_ID_BYTES)
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn finish(mut response: Response, request_id: &str) -> Response {
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let body = ErrorBody {
            code: error.code.to_owned(),
            message: error.message,
            request_id: Some(request_id.to_owned()),
        };
        response = (error.status, Json(body)).into_response();
        if let Some(seconds) = error.retry_after_seconds {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    } else if !response.status().is_success() && !response.headers().contains_key(CONTENT_TYPE) {
        // Rejections of the router itself, such as an unsupported method.
        let status = response.status();
        let message = status
            .canonical_reason()
            .unwrap_or("refused")
            .to_lowercase();
        let body = ErrorBody {
            code: String::new(),
            message,
            request_id: Some(request_id.to_owned()),
        };
        response = (status, Json(body)).into_response();
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_of_a_call_is_taken_from_its_path() {
        assert_eq!(
            project_of("/api/v2/projects/still-lake-1/operations"),
            Some("still-lake-1")
        );
        assert_eq!(
            project_of("/api/v2/projects/still-lake-1"),
            Some("still-lake-1")
        );
        assert_eq!(project_of("/api/v2/projects"), None);
        assert_eq!(project_of("/api/v2/regions"), None);
    }
}
