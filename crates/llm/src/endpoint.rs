//! Client of an OpenAI-compatible endpoint with its quota and retries.
//!
//! `async-openai` builds the requests and parses the responses. Requests pass through our own
//! transport, and the library's retries are replaced by the ones here, so that this crate controls
//! every limit.

mod rate_limiter;
mod transport;

use std::fmt;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use rand::RngExt as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{sleep, timeout};

use crate::config::{ConfigError, EndpointConfig, Quota};
use crate::error::{ModelError, Retry};
use crate::purpose::Purpose;
use rate_limiter::RateLimiter;

/// Maximum random wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(20);
/// Maximum `Retry-After` that is waited for. With a longer one, the call fails and the caller
/// decides.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// Maximum number of attempts while a user waits.
const MAX_QUESTION_ATTEMPTS: u32 = 3;
/// Maximum `Retry-After` that is waited for while a user waits.
const MAX_QUESTION_RETRY_AFTER: Duration = Duration::from_secs(5);

pub(crate) struct Endpoint {
    client: Client<ClientConfig>,
    quota: Quota,
    rate_limiter: RateLimiter,
    is_openai: bool,
}

impl Endpoint {
    pub(crate) fn new(config: &EndpointConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let http = transport::http_client(&config.base_url)?;
        let transport = transport::Transport::new(http.clone(), config.quota.attempt_limit);
        let is_openai = config
            .base_url
            .host_str()
            .is_some_and(|host| host == "openai.com" || host.ends_with(".openai.com"));
        Ok(Self {
            client: Client::build(http, ClientConfig::new(config)?).with_http_service(transport),
            rate_limiter: RateLimiter::new(&config.quota),
            quota: config.quota.clone(),
            is_openai,
        })
    }

    pub(crate) fn client(&self) -> &Client<ClientConfig> {
        &self.client
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.quota.concurrency
    }

    pub(crate) fn attempt_limit(&self) -> Duration {
        self.quota.attempt_limit
    }

    /// Whether this is OpenAI's own endpoint, which requires newer field names than compatible
    /// endpoints support.
    pub(crate) fn is_openai(&self) -> bool {
        self.is_openai
    }

    /// Sends a request of about `tokens` tokens when the quota allows it, and retries it while that
    /// can help.
    pub(crate) async fn send<Answer, Sent>(
        &self,
        tokens: usize,
        purpose: Purpose,
        mut request: impl FnMut() -> Sent,
    ) -> Result<Answer, ModelError>
    where
        Sent: Future<Output = Result<Answer, ModelError>>,
    {
        let (attempts, retry_after_max) = match purpose {
            Purpose::Document => (self.quota.attempts, MAX_RETRY_AFTER),
            Purpose::Question => (
                self.quota.attempts.min(MAX_QUESTION_ATTEMPTS),
                MAX_QUESTION_RETRY_AFTER,
            ),
        };
        let mut attempt = 1;
        loop {
            let _permit = self.rate_limiter.acquire(tokens, purpose).await;
            let outcome = timeout(self.quota.attempt_limit, request())
                .await
                .unwrap_or(Err(ModelError::TimedOut));
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Retry::Later(retry_after) = error.retry() else {
                return Err(error);
            };
            if let (ModelError::RateLimited { .. }, Some(pause)) = (&error, retry_after) {
                self.rate_limiter.pause(pause.min(MAX_RETRY_AFTER));
            }
            let retry_after = retry_after.unwrap_or_default();
            if attempt >= attempts || retry_after > retry_after_max {
                return Err(error);
            }
            let wait = self.backoff(attempt).max(retry_after);
            tracing::debug!(
                error.kind = error.kind(),
                attempt,
                wait_ms = wait.as_millis(),
                "retrying request to the model endpoint"
            );
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// Returns a random wait up to a maximum that doubles, so that concurrent failures are not
    /// retried at the same time.
    fn backoff(&self, attempt: u32) -> Duration {
        let ceiling = self
            .quota
            .backoff
            .saturating_mul(2_u32.saturating_pow(attempt - 1))
            .min(MAX_BACKOFF);
        rand::rng().random_range(Duration::ZERO..=ceiling)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the API key.
        formatter
            .debug_struct("Endpoint")
            .field("base_url", &self.client.config().base_url)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

/// Base URL and headers of requests. None of it comes from environment variables.
pub(crate) struct ClientConfig {
    base_url: String,
    key: SecretString,
    headers: HeaderMap,
}

impl ClientConfig {
    fn new(config: &EndpointConfig) -> Result<Self, ConfigError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &config.api_key {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| ConfigError::ApiKey)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(Self {
            base_url: config.base_url.as_str().trim_end_matches('/').to_owned(),
            key: config.api_key.clone().unwrap_or_default(),
            headers,
        })
    }
}

impl Config for ClientConfig {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}
