//! The client of one account and the state that all its calls share.

mod builder;
mod redact;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::timeout;
use url::Url;

use crate::{
    Error, ErrorKind, Observer, Permit, Priority, Route, ids::OrgId, model::ErrorBody,
    quota::QuotaLimiter, transport::Request,
};

pub use self::builder::{BASE_URL, BuildError, CALL_TIMEOUT, NeonBuilder, QUEUE_TIMEOUT};

/// Client of the Neon API for one account. Clones are cheap and share connections and the account's
/// quota.
#[derive(Clone)]
pub struct Neon {
    shared: Arc<Shared>,
    priority: Priority,
}

#[derive(Clone)]
struct Shared {
    http: reqwest::Client,
    base_url: Url,
    org_id: Option<OrgId>,
    api_key: SecretString,
    /// The `Authorization` header. It is added to each request rather than to the HTTP client,
    /// because the HTTP client is kept when the key is rotated.
    authorization: HeaderValue,
    quota: Arc<QuotaLimiter>,
    call_timeout: Duration,
    queue_timeout: Duration,
    observer: Arc<dyn Observer>,
}

impl Neon {
    /// Returns a builder. Only [`NeonBuilder::api_key`] is required.
    pub fn builder() -> NeonBuilder {
        NeonBuilder::default()
    }

    /// Returns a client whose calls acquire permits with the given priority. The default is
    /// [`Priority::Interactive`].
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            priority,
        }
    }

    /// Returns the fraction of the configured rate at which requests are sent: 1, or less for some
    /// time after a 429 response.
    pub fn rate_fraction(&self) -> f64 {
        self.quota().fraction()
    }

    /// Returns a client of the same account that uses another API key, for key rotation. Both
    /// clients share the account's quota.
    ///
    /// # Errors
    /// If the key is empty or contains characters that are not allowed in an HTTP header.
    pub fn with_api_key(&self, api_key: SecretString) -> Result<Self, BuildError> {
        Ok(self.with(Shared {
            authorization: builder::authorization(&api_key)?,
            api_key,
            ..Shared::clone(&self.shared)
        }))
    }

    /// Returns a client of the same account that uses another organization. Both clients share the
    /// account's quota.
    #[must_use]
    pub fn with_org_id(&self, org_id: impl Into<Option<OrgId>>) -> Self {
        self.with(Shared {
            org_id: org_id.into(),
            ..Shared::clone(&self.shared)
        })
    }

    fn with(&self, shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            priority: self.priority,
        }
    }

    /// Waits for a permit from the account's quota that can be passed to a call. Use it for calls
    /// that cannot be repeated: the caller can record its intent after the wait instead of before
    /// it.
    ///
    /// # Errors
    /// [`ErrorKind::NotSent`] if no permit is available within the queue timeout.
    pub async fn reserve(&self, route: Route) -> Result<Permit, Error> {
        timeout(self.shared.queue_timeout, self.acquire_permit(route))
            .await
            .map_err(|_elapsed| Error::new(route, ErrorKind::NotSent))
    }

    /// Base URL of the API, with a trailing slash.
    pub fn base_url(&self) -> &Url {
        &self.shared.base_url
    }

    /// The organization of new projects and lists, if one is set.
    pub fn org_id(&self) -> Option<&OrgId> {
        self.shared.org_id.as_ref()
    }

    pub(crate) async fn acquire_permit(&self, route: Route) -> Permit {
        let permit = self.shared.quota.acquire(route, self.priority).await;
        self.shared
            .observer
            .waited(route, self.priority, permit.waited());
        permit
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.shared.http
    }

    pub(crate) fn quota(&self) -> &Arc<QuotaLimiter> {
        &self.shared.quota
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.shared.observer
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        self.shared.call_timeout
    }

    pub(crate) fn queue_timeout(&self) -> Duration {
        self.shared.queue_timeout
    }

    /// Builds a request to `route`. `parameters` replace the placeholders of the route's template
    /// in order.
    pub(crate) fn request(&self, route: Route, parameters: &[&str]) -> Request {
        let mut url = self.shared.base_url.clone();
        let mut parameters = parameters.iter();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            for segment in route.template().split('/').skip(1) {
                path.push(if segment.starts_with('{') {
                    parameters.next().unwrap_or(&segment)
                } else {
                    segment
                });
            }
        }
        Request {
            authorization: self.shared.authorization.clone(),
            route,
            url,
            body: None,
        }
    }

    /// Builds a request to `route` with a JSON body.
    pub(crate) fn request_with(
        &self,
        route: Route,
        parameters: &[&str],
        body: &impl Serialize,
    ) -> Request {
        // Serializing cannot fail, because bodies are structs of strings, numbers and lists. The
        // API would reject the empty fallback.
        let body = serde_json::to_vec(body)
            .map(Bytes::from)
            .unwrap_or_default();
        Request {
            body: Some(body),
            ..self.request(route, parameters)
        }
    }

    /// Returns the error body with secrets redacted, in case the API repeats one.
    pub(crate) fn redacted(&self, body: &ErrorBody) -> ErrorBody {
        let redact = |text: &str| redact::redact_secrets(text, self.shared.api_key.expose_secret());
        ErrorBody {
            code: redact(&body.code),
            message: redact(&body.message),
            request_id: None,
        }
    }
}

impl fmt::Debug for Neon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neon")
            .field("base_url", &self.shared.base_url.as_str())
            .field("org_id", &self.shared.org_id)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn neon(base_url: &str) -> Neon {
        let builder = Neon::builder().api_key("key".into());
        builder.base_url(base_url.parse().unwrap()).build().unwrap()
    }

    #[test]
    fn a_base_url_works_with_and_without_a_trailing_slash() {
        for base_url in ["http://127.0.0.1:1/api/v2", "http://127.0.0.1:1/api/v2/"] {
            let request = neon(base_url).request(Route::GetProject, &["calm-sea-1"]);
            assert_eq!(
                request.url.as_str(),
                "http://127.0.0.1:1/api/v2/projects/calm-sea-1"
            );
        }
    }

    proptest! {
        #[test]
        fn a_name_is_always_encoded_as_one_path_segment(name in any::<String>()) {
            let Ok(role) = name.parse::<crate::ids::RoleName>() else { return Ok(()) };
            let neon = neon("http://127.0.0.1:1/api/v2"); let url = neon.request(Route::RevealRolePassword, &["p-1", "br-1", role.as_str()]).url;
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 9, "{}", url);
            prop_assert_eq!(&segments[2..7], ["projects", "p-1", "branches", "br-1", "roles"]);
            prop_assert_eq!(segments[8], "reveal_password");
            prop_assert!(url.query().is_none() && url.fragment().is_none());
        }
    }
}
