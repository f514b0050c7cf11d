//! What carries requests to the endpoint: one attempt, one limit, and refusals as errors that keep no text.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::middleware::HttpRequestFactory;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, redirect};
use tokio::time::timeout;
use url::{Host, Url};

use crate::config::ConfigError;
use crate::error::ModelError;

/// A connection that does not come about in this time will not.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Idle connections are kept so long: between two questions of one conversation.
const POOL_IDLE_LIMIT: Duration = Duration::from_mins(1);
/// A refusal's body is read so far; what is said is said by then.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// A `Retry-After` beyond this is taken for this.
const RETRY_AFTER_SECONDS_MAX: f64 = 86_400.0;

pub(super) fn http_client(base_url: &Url) -> Result<reqwest::Client, ConfigError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only where somebody else was faster, and then there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = reqwest::Client::builder()
        // The key goes where the configuration says and nowhere else.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(POOL_IDLE_LIMIT)
        .user_agent(concat!("db-per-tenant/", env!("CARGO_PKG_VERSION")));
    if base_url.scheme() == "http" {
        // No certificate will be looked at, so none need be there.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base_url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(ConfigError::HttpClient)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
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
            let request = request.build().await.map_err(ModelError::of_client)?;
            let answered = async {
                let response = http
                    .execute(request)
                    .await
                    .map_err(|error| ModelError::of_http(&error))?;
                if response.status().is_success() {
                    return Ok(response);
                }
                Err(refusal(response).await)
            };
            timeout(attempt_limit, answered)
                .await
                .unwrap_or(Err(ModelError::TimedOut))
        })
    }
}

async fn refusal(mut response: Response) -> ModelError {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    ModelError::of_status(status, code(&body).as_deref(), retry_after)
}

/// The code of a refusal, or its type where it has no code. Its message may quote what was sent and is not looked at.
fn code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    ["code", "type"]
        .iter()
        .find_map(|key| error.get(key).and_then(serde_json::Value::as_str))
        .map(str::to_owned)
}

/// In seconds, or in milliseconds where the endpoint is so precise. Dates are for people.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms")
        .map(|milliseconds| milliseconds / 1_000.0)
        .or_else(|| number(RETRY_AFTER.as_str()))?;
    seconds
        .is_finite()
        .then(|| Duration::from_secs_f64(seconds.clamp(0.0, RETRY_AFTER_SECONDS_MAX)))
}
