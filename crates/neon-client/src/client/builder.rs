//! The client builder and the configuration of the HTTP client.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Neon, Shared};
use crate::{AccountQuota, NoObserver, Observer, Priority, ids::OrgId, quota::QuotaLimiter};

/// Base URL of the Neon API.
pub const BASE_URL: &str = "https://console.neon.tech/api/v2/";
/// Default timeout of a call, including retries. It starts when the first quota permit has been
/// acquired.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Default time that a call waits for its first quota permit.
pub const QUEUE_TIMEOUT: Duration = Duration::from_mins(15);
/// Time after which an idle connection is closed. It is shorter than the idle timeout of servers,
/// so that requests rarely use a connection that the server is closing.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Error of [`NeonBuilder::build`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The API key is missing or empty.
    #[error("an API key is required")]
    NoApiKey,
    /// The API key contains characters that are not allowed in an HTTP header.
    #[error(
        "the API key contains characters that are not allowed in an HTTP header; check it for a trailing line break"
    )]
    ApiKey,
    /// The base URL is not usable.
    #[error(
        "the base URL must start with https:// or http:// and must not contain a user name, password, query or fragment"
    )]
    BaseUrl,
    /// The User-Agent contains characters that are not allowed in an HTTP header.
    #[error("the User-Agent contains characters that are not allowed in an HTTP header")]
    UserAgent,
    /// A limit of the account's quota is zero.
    #[error("every limit of the account's quota must be greater than zero")]
    Quota,
    /// A timeout is zero.
    #[error("every timeout must be greater than zero")]
    Timeout,
    /// The HTTP client could not be created, usually because the system's root certificates could
    /// not be read.
    #[error("failed to create the HTTP client")]
    Http(#[source] reqwest::Error),
}

/// Builder of a [`Neon`] client.
#[must_use = "`build` returns the client"]
pub struct NeonBuilder {
    api_key: Option<SecretString>,
    base_url: Option<Url>,
    org_id: Option<OrgId>,
    quota: AccountQuota,
    call_timeout: Duration,
    queue_timeout: Duration,
    observer: Arc<dyn Observer>,
    user_agent: String,
}

impl Default for NeonBuilder {
    fn default() -> Self {
        Self {
            api_key: None,
            base_url: None,
            org_id: None,
            quota: AccountQuota::NEON,
            call_timeout: CALL_TIMEOUT,
            queue_timeout: QUEUE_TIMEOUT,
            observer: Arc::new(NoObserver),
            user_agent: concat!("neon-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl NeonBuilder {
    /// Sets the account's API key. Required.
    pub fn api_key(mut self, api_key: SecretString) -> Self {
        self.api_key = Some(api_key);
        self
    }

    /// Sets the base URL, with or without a trailing slash. Defaults to [`BASE_URL`].
    pub fn base_url(mut self, base_url: Url) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Sets the organization of new projects and lists. Not needed if the API key belongs to an
    /// organization.
    pub fn org_id(mut self, org_id: impl Into<Option<OrgId>>) -> Self {
        self.org_id = org_id.into();
        self
    }

    /// Sets the account's quota. Defaults to [`AccountQuota::NEON`].
    pub fn quota(mut self, quota: AccountQuota) -> Self {
        self.quota = quota;
        self
    }

    /// Sets the default timeout of calls. Defaults to [`CALL_TIMEOUT`].
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets how long a call waits for its first quota permit. Defaults to [`QUEUE_TIMEOUT`].
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = timeout;
        self
    }

    /// Sets the observer of requests, calls and quota waits.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Sets the User-Agent, such as `tenant-controller/1.2`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Builds the client. Installs ring as the process's TLS provider if none is installed.
    ///
    /// # Errors
    /// If a setting is invalid or the system's root certificates cannot be read.
    pub fn build(self) -> Result<Neon, BuildError> {
        let api_key = self.api_key.ok_or(BuildError::NoApiKey)?;
        let authorization = authorization(&api_key)?;
        let base_url = validate_base_url(self.base_url)?;
        if !self.quota.is_positive() {
            return Err(BuildError::Quota);
        }
        if self.call_timeout.is_zero() || self.queue_timeout.is_zero() {
            return Err(BuildError::Timeout);
        }
        let http = http_client(&base_url, &self.user_agent)?;
        let shared = Shared {
            http,
            base_url,
            org_id: self.org_id,
            api_key,
            authorization,
            quota: QuotaLimiter::new(self.quota),
            call_timeout: self.call_timeout,
            queue_timeout: self.queue_timeout,
            observer: self.observer,
        };
        Ok(Neon {
            shared: Arc::new(shared),
            priority: Priority::default(),
        })
    }
}

impl fmt::Debug for NeonBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeonBuilder")
            .field("org_id", &self.org_id)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

fn validate_base_url(base_url: Option<Url>) -> Result<Url, BuildError> {
    let mut url = match base_url {
        Some(url) => url,
        None => BASE_URL.parse().map_err(|_| BuildError::BaseUrl)?,
    };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") {
        return Err(BuildError::BaseUrl);
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Returns the `Authorization` header. It is marked as sensitive, so that `Debug` does not print
/// it.
pub(super) fn authorization(api_key: &SecretString) -> Result<HeaderValue, BuildError> {
    let api_key = api_key.expose_secret();
    if api_key.is_empty() {
        return Err(BuildError::NoApiKey);
    }
    let mut header =
        HeaderValue::try_from(format!("Bearer {api_key}")).map_err(|_| BuildError::ApiKey)?;
    header.set_sensitive(true);
    Ok(header)
}

fn http_client(base_url: &Url, user_agent: &str) -> Result<reqwest::Client, BuildError> {
    let user_agent = HeaderValue::from_str(user_agent).map_err(|_| BuildError::UserAgent)?;
    let headers =
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
    http_client::builder_for(base_url)
        .default_headers(headers)
        .user_agent(user_agent)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build()
        .map_err(BuildError::Http)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neon(base_url: &str) -> Result<Neon, BuildError> {
        Neon::builder()
            .api_key("key".into())
            .base_url(base_url.parse().unwrap())
            .build()
    }

    #[test]
    fn base_urls_with_credentials_query_or_unsupported_scheme_are_rejected() {
        for base_url in [
            "ftp://h/",
            "https://user:secret@h/",
            "https://h/?a=b",
            "https://h/#f",
            "data:x",
        ] {
            assert!(
                matches!(neon(base_url), Err(BuildError::BaseUrl)),
                "{base_url}"
            );
        }
    }

    #[test]
    fn the_api_key_is_required_and_must_be_a_valid_header_value() {
        assert!(matches!(Neon::builder().build(), Err(BuildError::NoApiKey)));
        assert!(matches!(
            Neon::builder().api_key("a\nb".into()).build(),
            Err(BuildError::ApiKey)
        ));
    }

    #[test]
    fn a_zero_quota_or_timeout_is_rejected() {
        let builder = || Neon::builder().api_key("key".into());
        let quota = AccountQuota {
            burst: 0,
            ..AccountQuota::NEON
        };
        assert!(matches!(
            builder().quota(quota).build(),
            Err(BuildError::Quota)
        ));
        assert!(matches!(
            builder().call_timeout(Duration::ZERO).build(),
            Err(BuildError::Timeout)
        ));
    }

    #[test]
    fn debug_output_omits_the_api_key() {
        let builder = Neon::builder().api_key("napi_hunter2".into());
        assert!(!format!("{builder:?}").contains("hunter2"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("hunter2"));
    }
}
