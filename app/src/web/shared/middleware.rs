//! Viewer everything, found routes or not: the request's id and span, its client's address, panics, metrics, how errors look, headers.

pub(in crate::web) mod authorize;
mod csrf;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use tracing::{Instrument as _, Span, debug, error, field, info_span};
use uuid::Uuid;

use super::client_address::{self, ClientAddress};
use super::error::{self, AcceptedFormat};
use super::{App, Problem, extract};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The route of requests that have none.
const NO_ROUTE: &str = "none";

/// The outermost layer.
pub(in crate::web) async fn request_context(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let (began, id) = (Instant::now(), Uuid::new_v4().simple().to_string());
    let wants = AcceptedFormat::from_headers(request.headers());
    let theme = extract::theme(request.headers());
    let http = &app.config.http;
    let peer = request.extensions().get().map_or(
        IpAddr::from([0, 0, 0, 0]),
        |ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip(),
    );
    let client = client_address::client(
        peer,
        request.headers(),
        http.forwarded_header,
        &http.trusted_proxies,
    );
    request.extensions_mut().insert(ClientAddress(client));
    let method = request.method().clone();
    // Patterns, never paths: a path may be a link that lets people in.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let span = info_span!(
        "request",
        request.id = id,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
        user.id = field::Empty,
        workspace.id = field::Empty,
    );
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = answer
        .instrument(span.clone())
        .await
        .unwrap_or_else(|_| panicked(&app, &span));
    let mut response = span.in_scope(|| error::render(response, wants, theme, &id));
    span.record("http.response.status_code", response.status().as_u16());
    app.headers.add_to(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let took = began.elapsed();
    app.metrics
        .answered(method.as_str(), &route, response.status().as_u16(), took);
    span.in_scope(|| {
        debug!(
            "{method} {route} was answered {} after {} ms",
            response.status().as_u16(),
            took.as_millis()
        );
    });
    response
}

/// The process's hook has told what and where; here it only ends the request and not the connection.
fn panicked(app: &App, span: &Span) -> Response {
    app.metrics.panicked();
    span.in_scope(|| error!("A handler panicked"));
    Problem::broken().into_response()
}

/// A method that no route of this path takes.
pub(in crate::web) async fn method_not_allowed() -> Problem {
    Problem::of_status(StatusCode::METHOD_NOT_ALLOWED)
}
