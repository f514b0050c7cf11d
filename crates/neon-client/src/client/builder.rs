//! How a client is built, and with which HTTP client under it.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{Neon, Shared};
use crate::{AccountQuota, NoObserver, Observer, Priority, ids::OrgId, quota::Quota};

/// Where the API is.
pub const BASE_URL: &str = "https://console.neon.tech/api/v2/";
/// How long a call may take, with its retries, once its first turn in the quota has come.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How long a call waits for its first turn in the quota.
pub const QUEUE_DEADLINE: Duration = Duration::from_mins(15);
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: shorter than servers do, so that a request seldom meets one that is just being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no key.
    #[error("an API key is needed")]
    NoApiKey,
    /// The key cannot stand in an HTTP header.
    #[error(
        "the API key has characters that cannot stand in an HTTP header; is there a line break at its end?"
    )]
    ApiKey,
    /// The base URL is no place that requests can go to.
    #[error(
        "the base URL must begin with https:// or http://, and name no user, password, query or fragment"
    )]
    BaseUrl,
    /// The User-Agent cannot stand in an HTTP header.
    #[error("the User-Agent has characters that cannot stand in an HTTP header")]
    UserAgent,
    /// A quota of zero lets nothing through.
    #[error("every figure of the account's quota must be greater than zero")]
    Quota,
    /// A deadline of zero lets nothing through.
    #[error("every deadline must be greater than zero")]
    Deadline,
    /// The HTTP client does not start, mostly because the system's certificates cannot be read.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// Builds a [`Neon`].
#[must_use = "`build` makes the client"]
pub struct NeonBuilder {
    api_key: Option<SecretString>,
    base_url: Option<Url>,
    org_id: Option<OrgId>,
    quota: AccountQuota,
    call_deadline: Duration,
    queue_deadline: Duration,
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
            call_deadline: CALL_DEADLINE,
            queue_deadline: QUEUE_DEADLINE,
            observer: Arc::new(NoObserver),
            user_agent: concat!("neon-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl NeonBuilder {
    /// The account's key.
    pub fn api_key(mut self, api_key: SecretString) -> Self {
        self.api_key = Some(api_key);
        self
    }

    /// Another place than [`BASE_URL`], with or without a slash at its end.
    pub fn base_url(mut self, base_url: Url) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// The organization that new projects belong to and lists are of. A key of an organization needs none.
    pub fn org_id(mut self, org_id: impl Into<Option<OrgId>>) -> Self {
        self.org_id = org_id.into();
        self
    }

    /// Another quota than [`AccountQuota::NEON`].
    pub fn quota(mut self, quota: AccountQuota) -> Self {
        self.quota = quota;
        self
    }

    /// Another deadline than [`CALL_DEADLINE`] for calls that name none.
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// Another deadline than [`QUEUE_DEADLINE`] for a call's first turn in the quota.
    pub fn queue_deadline(mut self, deadline: Duration) -> Self {
        self.queue_deadline = deadline;
        self
    }

    /// Who is told of requests, calls and waits.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Who is calling: `tenant-controller/1.2`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// The client. Where the process has no TLS provider yet, ring becomes it.
    ///
    /// # Errors
    /// When a setting cannot be used, or the system's certificates cannot be read.
    pub fn build(self) -> Result<Neon, BuildError> {
        let api_key = self.api_key.ok_or(BuildError::NoApiKey)?;
        let authorization = authorization(&api_key)?;
        let base_url = usable_base_url(self.base_url)?;
        if !self.quota.is_positive() {
            return Err(BuildError::Quota);
        }
        if self.call_deadline.is_zero() || self.queue_deadline.is_zero() {
            return Err(BuildError::Deadline);
        }
        let http = http_client(&base_url, &self.user_agent)?;
        let shared = Shared {
            http,
            base_url,
            org_id: self.org_id,
            api_key,
            authorization,
            quota: Quota::new(self.quota),
            call_deadline: self.call_deadline,
            queue_deadline: self.queue_deadline,
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

fn usable_base_url(base_url: Option<Url>) -> Result<Url, BuildError> {
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

/// The header that a key goes in. It is marked, so that nobody prints it.
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
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only where somebody else was faster, and then there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let user_agent = HeaderValue::from_str(user_agent).map_err(|_| BuildError::UserAgent)?;
    let headers =
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .user_agent(user_agent)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT);
    if base_url.scheme() == "http" {
        // No certificate will be looked at, so none need be there.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base_url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(BuildError::Http)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
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
    fn base_urls_that_would_leak_or_lead_nowhere_are_refused() {
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
    fn a_key_is_needed_and_must_fit_a_header() {
        assert!(matches!(Neon::builder().build(), Err(BuildError::NoApiKey)));
        assert!(matches!(
            Neon::builder().api_key("a\nb".into()).build(),
            Err(BuildError::ApiKey)
        ));
    }

    #[test]
    fn zero_in_a_quota_or_deadline_is_refused() {
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
            builder().call_deadline(Duration::ZERO).build(),
            Err(BuildError::Deadline)
        ));
    }

    #[test]
    fn debug_shows_no_key() {
        let builder = Neon::builder().api_key("napi_hunter2".into());
        assert!(!format!("{builder:?}").contains("hunter2"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("hunter2"));
    }
}
