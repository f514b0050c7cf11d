//! An OpenAI-compatible endpoint: one client, one quota, one way to try again.
//!
//! `async-openai` makes the requests and reads the answers. What goes over the wire passes through a transport of our own beneath it, and
//! its own retries are replaced by those here, so that every limit is ours.

mod gate;
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
use crate::embed::Purpose;
use crate::error::{ModelError, Retry};
use gate::Gate;

/// The longest wait between two attempts that chance decides.
const BACKOFF_MAX: Duration = Duration::from_secs(20);
/// An endpoint that asks to wait longer than this is not waited for: whoever asked learns it and comes back.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
/// While somebody watches, it is tried so often at most.
const QUESTION_ATTEMPTS: u32 = 3;
/// And an endpoint that asks to wait longer than this is not waited for.
const QUESTION_RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Endpoint {
    client: Client<Settings>,
    quota: Quota,
    gate: Gate,
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
            client: Client::build(http, Settings::new(config)?).with_http_service(transport),
            gate: Gate::new(&config.quota),
            quota: config.quota.clone(),
            is_openai,
        })
    }

    pub(crate) fn client(&self) -> &Client<Settings> {
        &self.client
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.quota.concurrency
    }

    pub(crate) fn attempt_limit(&self) -> Duration {
        self.quota.attempt_limit
    }

    /// Whether it is OpenAI's own, which wants newer names for some fields than those that speak like it.
    pub(crate) fn is_openai(&self) -> bool {
        self.is_openai
    }

    /// Sends a request of so many tokens when the quota lets it, and again while that can help.
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
            Purpose::Document => (self.quota.attempts, RETRY_AFTER_MAX),
            Purpose::Question => (
                self.quota.attempts.min(QUESTION_ATTEMPTS),
                QUESTION_RETRY_AFTER_MAX,
            ),
        };
        let mut attempt = 1;
        loop {
            let _turn = self.gate.turn(tokens, purpose).await;
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
                self.gate.pause(pause.min(RETRY_AFTER_MAX));
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
                "The model's endpoint is asked again"
            );
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// Anything up to a ceiling that doubles: many who failed together do not come back together.
    fn backoff(&self, attempt: u32) -> Duration {
        let ceiling = self
            .quota
            .backoff
            .saturating_mul(2_u32.saturating_pow(attempt - 1))
            .min(BACKOFF_MAX);
        rand::rng().random_range(Duration::ZERO..=ceiling)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key.
        formatter
            .debug_struct("Endpoint")
            .field("base_url", &self.client.config().base_url)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

/// Where requests go and what they carry. Nothing of it comes from the environment.
pub(crate) struct Settings {
    base_url: String,
    key: SecretString,
    headers: HeaderMap,
}

impl Settings {
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

impl Config for Settings {
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
