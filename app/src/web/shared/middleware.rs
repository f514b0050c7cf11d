//! Middleware around every request: request id, span, client address, panics, metrics, error
//! rendering and response headers. [`authorize`] adds the checks of each route's policy.

pub(in crate::web) mod authorize;
mod csrf;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use tracing::{Instrument as _, Span, debug, error, field, info_span};
use uuid::Uuid;

use super::client_address::{self, ClientAddress};
use super::error::{self, AcceptedFormat};
use super::{App, Problem, extract};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The `route` label of requests that match no route.
const NO_ROUTE: &str = "none";

/// The outermost layer.
pub(in crate::web) async fn request_context(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let (started, id) = (Instant::now(), Uuid::new_v4().simple().to_string());
    let format = AcceptedFormat::from_headers(request.headers());
    let theme = extract::theme(request.headers());
    let http = &app.config.http;
    let peer = request.extensions().get().map_or(
        IpAddr::from([0, 0, 0, 0]),
        |ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip(),
    );
    let client = client_address::resolve(
        peer,
        request.headers(),
        http.forwarded_header,
        &http.trusted_proxies.0,
    );
    request.extensions_mut().insert(ClientAddress(client));
    let method = method_label(request.method());
    // The pattern of the route, never the path: paths of invitations and receipts contain secrets.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let span = info_span!(
        "request",
        request.id = id,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        user.id = field::Empty,
        workspace.id = field::Empty,
    );
    let response = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await
        .unwrap_or_else(|_| panicked(&app, &span));
    let mut response = span.in_scope(|| error::render(response, format, theme, &id));
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    app.headers.add_to(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let elapsed = started.elapsed();
    app.metrics
        .request_completed(method, &route, status, elapsed);
    span.in_scope(|| {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        debug!(elapsed_ms, "request completed");
    });
    response
}

/// The process's panic hook has already logged the message and the location.
fn panicked(app: &App, span: &Span) -> Response {
    app.metrics.handler_panicked();
    span.in_scope(|| error!("handler panicked"));
    Problem::unexpected().into_response()
}

/// The method as metrics and traces name it. A client can send any token, so that all unknown ones have
/// one name, that of OpenTelemetry's conventions.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("_OTHER")
}
