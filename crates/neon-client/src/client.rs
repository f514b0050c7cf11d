//! The client of one account: what all its calls share.

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
    Branches, Consumption, Databases, Endpoints, Error, ErrorKind, Observer, Operations,
    Organizations, Permit, Priority, Projects, Regions, Roles, Route, Users,
    ids::{BranchId, OrgId, ProjectId},
    model::ErrorBody,
    quota::Quota,
    transport::Request,
};

pub use self::builder::{BASE_URL, BuildError, CALL_DEADLINE, NeonBuilder, QUEUE_DEADLINE};

/// A client of the API for one account. Clones are cheap, and share connections and the account's quota.
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
    /// The header with the key. It goes with each request, since the HTTP client outlives a key.
    authorization: HeaderValue,
    quota: Arc<Quota>,
    call_deadline: Duration,
    queue_deadline: Duration,
    observer: Arc<dyn Observer>,
}

impl Neon {
    /// A client to be. Only [`NeonBuilder::api_key`] must be set.
    pub fn builder() -> NeonBuilder {
        NeonBuilder::default()
    }

    /// Projects.
    pub fn projects(&self) -> Projects {
        Projects::new(self.clone())
    }

    /// The operations of a project.
    pub fn operations(&self, project: &ProjectId) -> Operations {
        Operations::new(self.clone(), project.clone())
    }

    /// The computes of a project.
    pub fn endpoints(&self, project: &ProjectId) -> Endpoints {
        Endpoints::new(self.clone(), project.clone())
    }

    /// The branches of a project.
    pub fn branches(&self, project: &ProjectId) -> Branches {
        Branches::new(self.clone(), project.clone())
    }

    /// The databases of a branch.
    pub fn databases(&self, project: &ProjectId, branch: &BranchId) -> Databases {
        Databases::new(self.clone(), project.clone(), branch.clone())
    }

    /// The roles of a branch.
    pub fn roles(&self, project: &ProjectId, branch: &BranchId) -> Roles {
        Roles::new(self.clone(), project.clone(), branch.clone())
    }

    /// What projects and branches used up.
    pub fn consumption(&self) -> Consumption {
        Consumption::new(self.clone())
    }

    /// Where projects can be.
    pub fn regions(&self) -> Regions {
        Regions::new(self.clone())
    }

    /// Who holds the key.
    pub fn users(&self) -> Users {
        Users::new(self.clone())
    }

    /// Their organizations.
    pub fn organizations(&self) -> Organizations {
        Organizations::new(self.clone())
    }

    /// The same client, whose calls wait for their turn with this priority. The default is [`Priority::Interactive`].
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            priority,
        }
    }

    /// The same account with another key, after a rotation. The quota is the account's, so both share it.
    ///
    /// # Errors
    /// When the key is empty, or cannot stand in an HTTP header.
    pub fn with_api_key(&self, api_key: SecretString) -> Result<Self, BuildError> {
        Ok(self.with(Shared {
            authorization: builder::authorization(&api_key)?,
            api_key,
            ..Shared::clone(&self.shared)
        }))
    }

    /// The same account, working in another organization. The quota is the account's, so both share it.
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

    /// Waits for a turn in the account's quota, to be spent by one call. For calls that cannot be repeated: the caller can record
    /// what it is about to do after the wait, not before.
    ///
    /// # Errors
    /// [`ErrorKind::NotSent`] when the turn does not come within the queue's deadline.
    pub async fn reserve(&self, route: Route) -> Result<Permit, Error> {
        timeout(self.shared.queue_deadline, self.turn(route))
            .await
            .map_err(|_elapsed| Error::new(route, ErrorKind::NotSent))
    }

    /// Where the API is, with a trailing slash.
    pub fn base_url(&self) -> &Url {
        &self.shared.base_url
    }

    /// The organization that new projects belong to and lists are of, where one was set.
    pub fn org_id(&self) -> Option<&OrgId> {
        self.shared.org_id.as_ref()
    }

    pub(crate) async fn turn(&self, route: Route) -> Permit {
        let permit = self.shared.quota.acquire(route, self.priority).await;
        self.shared
            .observer
            .waited(route, self.priority, permit.waited());
        permit
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.shared.http
    }

    pub(crate) fn quota(&self) -> &Arc<Quota> {
        &self.shared.quota
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.shared.observer
    }

    pub(crate) fn call_deadline(&self) -> Duration {
        self.shared.call_deadline
    }

    pub(crate) fn queue_deadline(&self) -> Duration {
        self.shared.queue_deadline
    }

    /// A request to `route`, with `parameters` in the places that its template has for them, in their order.
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

    /// The same with a body.
    pub(crate) fn request_with(
        &self,
        route: Route,
        parameters: &[&str],
        body: &impl Serialize,
    ) -> Request {
        // Bodies are structs of strings, numbers and lists: writing them as JSON cannot fail. An empty body would be refused.
        let body = serde_json::to_vec(body)
            .map(Bytes::from)
            .unwrap_or_default();
        Request {
            body: Some(body),
            ..self.request(route, parameters)
        }
    }

    /// What the API said, should it repeat what must not be shown.
    pub(crate) fn without_secrets(&self, body: &ErrorBody) -> ErrorBody {
        let hide = |text: &str| redact::hide_secrets(text, self.shared.api_key.expose_secret());
        ErrorBody {
            code: hide(&body.code),
            message: hide(&body.message),
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
    fn a_base_url_works_with_and_without_its_last_slash() {
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
        fn a_name_never_leaves_its_segment_of_the_path(name in any::<String>()) {
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
