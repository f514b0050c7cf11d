//! Why a client is not connected, and for how long the proxy repeats that answer.
//!
//! Neon's proxy caches what the control plane answered: that an endpoint or a role does not exist,
//! which it reports as a wrong password, and that a connection is not possible. A client that
//! connects too early is therefore rejected for minutes, even when nothing is wrong any more.

use std::collections::HashMap;

use neon_client::ids::EndpointId;
use parking_lot::Mutex;

use super::error_response::ErrorResponse;
use super::pooler::UnsupportedParameter;
use crate::clock::{Micros, from_millis};
use crate::config::ProxyCaches;
use crate::store::StoreError;

/// Maximum number of cached answers. Further ones are not cached until some expire.
const MAX_CACHED: usize = 10_000;

/// Why a client is not connected.
#[derive(Debug)]
pub(super) enum Rejection {
    /// The control plane does not know the endpoint.
    UnknownEndpoint,
    /// The control plane does not know the role.
    UnknownRole,
    /// The control plane does not start the compute.
    ControlPlane(ErrorResponse),
    /// An answer that the proxy does not cache.
    Other(ErrorResponse),
}

impl Rejection {
    /// As in Neon, the answer does not reveal whether the endpoint, the role or the password is
    /// wrong.
    pub(super) fn into_response(self, user: &str) -> ErrorResponse {
        match self {
            Self::UnknownEndpoint | Self::UnknownRole => ErrorResponse::password(user),
            Self::ControlPlane(response) | Self::Other(response) => response,
        }
    }
}

impl From<ErrorResponse> for Rejection {
    fn from(response: ErrorResponse) -> Self {
        Self::Other(response)
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<UnsupportedParameter> for Rejection {
    fn from(error: UnsupportedParameter) -> Self {
        Self::Other(error.into())
    }
}

/// What a cached answer applies to: an endpoint, or one role of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    endpoint: EndpointId,
    role: Option<String>,
}

#[derive(Debug)]
struct CachedAnswer {
    /// `None` if the endpoint or the role is unknown.
    error: Option<ErrorResponse>,
    expires_at: Micros,
}

/// The answers of the control plane that the proxy remembers.
#[derive(Debug)]
pub(crate) struct ProxyCache {
    lifetimes: ProxyCaches,
    answers: Mutex<HashMap<Subject, CachedAnswer>>,
}

impl ProxyCache {
    pub(crate) fn new(lifetimes: ProxyCaches) -> Self {
        Self {
            lifetimes,
            answers: Mutex::default(),
        }
    }

    /// The remembered rejection for a role of an endpoint.
    pub(super) fn find(&self, endpoint: &EndpointId, role: &str, now: Micros) -> Option<Rejection> {
        let answers = self.answers.lock();
        let subjects = [None, Some(role.to_owned())];
        subjects.into_iter().find_map(|role| {
            let subject = Subject {
                endpoint: endpoint.clone(),
                role,
            };
            let answer = answers.get(&subject)?;
            (now < answer.expires_at).then(|| match &answer.error {
                Some(error) => Rejection::ControlPlane(error.clone()),
                None if subject.role.is_some() => Rejection::UnknownRole,
                None => Rejection::UnknownEndpoint,
            })
        })
    }

    pub(super) fn remember(
        &self,
        endpoint: &EndpointId,
        role: &str,
        rejection: &Rejection,
        now: Micros,
    ) {
        let (role, error, lifetime_ms) = match rejection {
            Rejection::UnknownEndpoint => (None, None, self.lifetimes.unknown_ms),
            Rejection::UnknownRole => (Some(role.to_owned()), None, self.lifetimes.unknown_ms),
            Rejection::ControlPlane(error) => (None, Some(error.clone()), self.lifetimes.error_ms),
            Rejection::Other(_) => return,
        };
        if lifetime_ms == 0 {
            return;
        }
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_CACHED {
            answers.retain(|_, answer| now < answer.expires_at);
        }
        if answers.len() < MAX_CACHED {
            let subject = Subject {
                endpoint: endpoint.clone(),
                role,
            };
            let expires_at = now.saturating_add(from_millis(lifetime_ms));
            answers.insert(subject, CachedAnswer { error, expires_at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn an_unknown_role_is_remembered_for_that_role_and_an_unknown_endpoint_for_all() {
        let cache = ProxyCache::new(ProxyCaches::neon());
        let endpoint = |name: &str| name.parse::<EndpointId>().unwrap();
        let (one, two) = (endpoint("ep-one-lake-1"), endpoint("ep-two-lake-2"));
        cache.remember(&one, "app", &Rejection::UnknownRole, 0);
        assert!(matches!(
            cache.find(&one, "app", 239 * SECOND),
            Some(Rejection::UnknownRole)
        ));
        assert!(cache.find(&one, "app", 240 * SECOND).is_none());
        assert!(cache.find(&one, "owner", 0).is_none());
        assert!(cache.find(&two, "app", 0).is_none());
        cache.remember(&one, "app", &Rejection::UnknownEndpoint, 0);
        assert!(matches!(
            cache.find(&one, "owner", 0),
            Some(Rejection::UnknownEndpoint)
        ));
    }

    #[test]
    fn without_lifetimes_nothing_is_remembered() {
        let cache = ProxyCache::new(ProxyCaches::none());
        let endpoint: EndpointId = "ep-one-lake-1".parse().unwrap();
        cache.remember(&endpoint, "app", &Rejection::UnknownEndpoint, 0);
        assert!(cache.find(&endpoint, "app", 0).is_none());
    }
}
