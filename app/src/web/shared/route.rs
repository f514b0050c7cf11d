//! A route: its path, its handler, and the policy that the middleware applies to its requests.

use std::convert::Infallible;
use std::fmt;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};

use super::App;
use crate::domain::RateLimitClass;

/// The largest body of a form, in bytes, unless the route sets its own limit.
pub const MAX_FORM_BYTES: usize = 64 * 1024;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Public,
    SignedIn,
    /// Members of the workspace that `{workspace}` in the path names.
    Member,
    /// Owners of the workspace that `{workspace}` in the path names.
    Owner,
}

/// What [`super::middleware::authorize`] enforces for a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePolicy {
    pub access: Access,
    pub rate_limit_class: RateLimitClass,
    pub max_body_bytes: usize,
    pub response_kind: ResponseKind,
    /// Whether the route deletes something. A repeated request, which finds the deletion in
    /// progress and no longer has access, is redirected to the deletion's receipt.
    pub redirects_to_receipt: bool,
}

/// How long a response may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// At most the `request-timeout` setting.
    Immediate,
    /// Server-sent events: unlimited, but the stream ends when the process shuts down. Browsers
    /// reconnect.
    EventStream,
    /// An archive: unlimited. A process that shuts down lets it finish.
    Download,
}

pub struct Route {
    pub method: Method,
    /// The path pattern, with ids in braces.
    pub path: &'static str,
    pub policy: RoutePolicy,
    handler: MethodRouter<App, Infallible>,
}

impl Route {
    /// A route that changes nothing: a page, a fragment or a stream.
    pub fn get<H, T>(path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self {
            method: Method::GET,
            path,
            policy: RoutePolicy {
                access,
                rate_limit_class: RateLimitClass::Reads,
                max_body_bytes: 0,
                response_kind: ResponseKind::Immediate,
                redirects_to_receipt: false,
            },
            handler: get(handler),
        }
    }

    /// A route that changes something. Its requests need a CSRF token.
    pub fn post<H, T>(path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self {
            method: Method::POST,
            path,
            policy: RoutePolicy {
                access,
                rate_limit_class: RateLimitClass::Writes,
                max_body_bytes: MAX_FORM_BYTES,
                response_kind: ResponseKind::Immediate,
                redirects_to_receipt: false,
            },
            handler: post(handler),
        }
    }

    #[must_use]
    pub fn rate_limit_class(mut self, class: RateLimitClass) -> Self {
        self.policy.rate_limit_class = class;
        self
    }

    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.policy.max_body_bytes = bytes;
        self
    }

    /// Redirects repeated requests to the receipt of the deletion.
    #[must_use]
    pub fn redirects_to_receipt(mut self) -> Self {
        self.policy.redirects_to_receipt = true;
        self
    }

    /// Responds with server-sent events.
    #[must_use]
    pub fn event_stream(mut self) -> Self {
        self.policy.response_kind = ResponseKind::EventStream;
        self
    }

    /// Responds with a download of unlimited duration.
    #[must_use]
    pub fn download(mut self) -> Self {
        self.policy.response_kind = ResponseKind::Download;
        self
    }

    pub(in crate::web) fn into_handler(self) -> MethodRouter<App, Infallible> {
        self.handler
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} ({:?})",
            self.method, self.path, self.policy
        )
    }
}
