//! HTTP transport: sends one attempt with a timeout and converts error responses to errors without
//! text.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::middleware::HttpRequestFactory;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::timeout;
use url::Url;

use crate::config::ConfigError;
use crate::error::ModelError;

/// Time that idle connections are kept: long enough for two questions of a conversation.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of bytes that are read of an error response.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// Maximum `Retry-After`, in seconds. Longer values are reduced to it.
const MAX_RETRY_AFTER_SECONDS: f64 = 86_400.0;

pub(super) fn http_client(base_url: &Url) -> Result<reqwest::Client, ConfigError> {
    http_client::builder_for(base_url)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .user_agent(concat!("db-per-tenant/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(ConfigError::HttpClient)
}

#[derive(Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    attempt_limit: Duration,
}

impl Transport {
    pub(super) fn new(http: reqwest::Client, attempt_limit: Duration) -> Self {
        Self {
            http,
            attempt_limit,
        }
    }
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = ModelError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, ModelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ModelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let Self {
            http,
            attempt_limit,
        } = self.clone();
        Box::pin(async move {
            let request = request.build().await.map_err(ModelError::from_client)?;
            let response = async {
                let response = http
                    .execute(request)
                    .await
                    .map_err(|error| ModelError::from_http(&error))?;
                if response.status().is_success() {
                    return Ok(response);
                }
                Err(error_from_response(response).await)
            };
            timeout(attempt_limit, response)
                .await
                .unwrap_or(Err(ModelError::TimedOut))
        })
    }
}

async fn error_from_response(mut response: Response) -> ModelError {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ERROR_BODY_BYTES {
            break;
        }
    }
    ModelError::from_status(status, code(&body).as_deref(), retry_after)
}

/// Returns the code of an error response, or its type if it has no code. The message may quote the
/// request and is ignored.
fn code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    ["code", "type"]
        .iter()
        .find_map(|key| error.get(key).and_then(serde_json::Value::as_str))
        .map(str::to_owned)
}

/// Returns the wait in seconds, or in milliseconds if the endpoint specifies it. Dates are not
/// supported.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms")
        .map(|milliseconds| milliseconds / 1_000.0)
        .or_else(|| number(RETRY_AFTER.as_str()))?;
    seconds
        .is_finite()
        .then(|| Duration::from_secs_f64(seconds.clamp(0.0, MAX_RETRY_AFTER_SECONDS)))
}
