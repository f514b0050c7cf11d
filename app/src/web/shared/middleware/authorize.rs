//! Enforces the policy of a route before its handler runs: rate limits, origin, session, CSRF
//! token, access to the workspace, body size and timeout. It applies to every route, no matter what
//! its handler extracts.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tracing::{Span, field};

use super::csrf;
use crate::domain::RateLimitClass;
use crate::identity::Session;
use crate::telemetry::RejectionReason;
use crate::web::shared::client_address::ClientAddress;
use crate::web::shared::error::{AcceptedFormat, ErrorPageContext};
use crate::web::shared::extract::{self, OwnerAccess, Viewer, WorkspaceAccess};
use crate::web::shared::rate_limit::{Decision, RateLimitKey};
use crate::web::shared::receipts::RepeatedDeletion;
use crate::web::shared::route::{Access, ResponseKind, RoutePolicy};
use crate::web::shared::streams::Subscriber;
use crate::web::shared::{App, Problem, security, streams};

/// The middleware of one route.
pub(in crate::web) async fn authorize(
    State((app, policy)): State<(App, RoutePolicy)>,
    request: Request,
    next: Next,
) -> Response {
    let page_headers = page_headers(&request);
    let mut info = RequestInfo {
        decision: None,
        viewer: Viewer {
            theme: extract::theme(request.headers()),
            session: None,
            access: None,
        },
    };
    let repeated_deletion = policy
        .redirects_to_receipt
        .then(|| RepeatedDeletion::from_request(&app, &request))
        .flatten();
    let result = check_and_run(&app, &policy, request, next, &mut info).await;
    let mut response = match (result, repeated_deletion) {
        (Ok(response), _) => response,
        (Err(problem), Some(deletion)) => deletion.receipt_or_problem(&app, problem).await,
        (Err(problem), None) => problem.into_response(),
    };
    if let Some(decision) = info.decision {
        decision.add_headers(response.headers_mut());
    }
    if let Some(problem) = response.extensions().get::<Problem>() {
        let reason = match problem.code {
            "too_many_requests" => Some(RejectionReason::RateLimited),
            "csrf" | "cross_site" => Some(RejectionReason::Csrf),
            _ => None,
        };
        if let Some(reason) = reason {
            app.metrics
                .request_rejected(reason, policy.rate_limit_class);
        }
    }
    if let Some(headers) = page_headers
        && let Some(problem) = response.extensions().get::<Problem>()
    {
        if info.viewer.session.is_none() && is_path_error(problem) {
            info.viewer = Viewer::from_cookies(&app, &headers).await;
        }
        // An error inside a workspace shows the workspace's navigation, if its data can be loaded.
        add_page_context(&app, info.viewer, &mut response).await;
    }
    response
}

/// What the checks found out about a request and the response needs afterwards.
struct RequestInfo {
    decision: Option<Decision>,
    viewer: Viewer,
}

/// The headers of a request for a whole page, kept to render its error page.
fn page_headers(request: &Request) -> Option<HeaderMap> {
    (AcceptedFormat::from_headers(request.headers()) == AcceptedFormat::Html)
        .then(|| request.headers().clone())
}

/// Whether the error page shows the user's navigation although the route did not look up the
/// session. Not for rate-limited clients, and not while the database is unavailable.
fn is_path_error(problem: &Problem) -> bool {
    [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&problem.status)
}

async fn add_page_context(app: &App, viewer: Viewer, response: &mut Response) {
    if let Ok(context) = viewer.page_context(app).await {
        response
            .extensions_mut()
            .insert(ErrorPageContext(Box::new(context)));
    }
}

/// The fallback for paths without a route. These requests count towards the rate limit too.
pub(in crate::web) async fn unknown_path(State(app): State<App>, request: Request) -> Response {
    reject(&app, request, Problem::not_found()).await
}

/// The fallback for methods that no route of the path accepts.
pub(in crate::web) async fn method_not_allowed(
    State(app): State<App>,
    request: Request,
) -> Response {
    reject(
        &app,
        request,
        Problem::of_status(StatusCode::METHOD_NOT_ALLOWED),
    )
    .await
}

async fn reject(app: &App, request: Request, problem: Problem) -> Response {
    let page_headers = page_headers(&request);
    let (mut parts, _) = request.into_parts();
    let mut decision = None;
    let limit = check_rate_limit(app, RateLimitClass::Reads, &mut parts, &mut decision);
    let problem = limit.await.err().unwrap_or(problem);
    let viewer = match page_headers.filter(|_| is_path_error(&problem)) {
        Some(headers) => Some(Viewer::from_cookies(app, &headers).await),
        None => None,
    };
    let mut response = problem.into_response();
    if let Some(viewer) = viewer {
        add_page_context(app, viewer, &mut response).await;
    }
    if let Some(decision) = decision {
        decision.add_headers(response.headers_mut());
    }
    response
}

async fn check_and_run(
    app: &App,
    policy: &RoutePolicy,
    request: Request,
    next: Next,
    info: &mut RequestInfo,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let class = policy.rate_limit_class;
    check_rate_limit(app, class, &mut parts, &mut info.decision).await?;
    let changes_state = security::is_state_changing(&parts.method);
    if changes_state {
        security::check_origin(&parts.headers, &app.config.http.public_url)?;
    }
    if policy.access != Access::Public || changes_state {
        let session =
            <Session as OptionalFromRequestParts<App>>::from_request_parts(&mut parts, app).await?;
        if let Some(session) = session {
            Span::current().record("user.id", field::display(session.user.id));
            info.viewer.session = Some(session);
        }
    }
    if policy.access != Access::Public {
        // Reject requests without a session before reading their body.
        <Session as FromRequestParts<App>>::from_request_parts(&mut parts, app).await?;
    }
    let body = csrf::limit_body(&parts.headers, body, policy.max_body_bytes)?;
    let body = if changes_state {
        csrf::check_token(app, &mut parts, body).await?
    } else {
        body
    };
    if matches!(policy.access, Access::Member | Access::Owner) {
        let access = WorkspaceAccess::from_request_parts(&mut parts, app).await?;
        Span::current().record("workspace.id", access.workspace.id.as_str());
        info.viewer.access = Some(access);
    }
    if policy.access == Access::Owner {
        OwnerAccess::from_request_parts(&mut parts, app).await?;
    }
    let response = next.run(Request::from_parts(parts, body));
    match policy.response_kind {
        ResponseKind::Immediate => timeout(app.config.http.request_timeout, response)
            .await
            .map_err(|_| Problem::timeout()),
        ResponseKind::Download => Ok(response.await),
        ResponseKind::EventStream => {
            let permit = info
                .viewer
                .session
                .as_ref()
                .map(|session| app.streams.acquire(Subscriber::User(session.user.id)))
                .transpose()?;
            Ok(streams::end_on_shutdown(response.await, &app.stop, permit))
        }
    }
}

/// Counts the request against the limit of the signed-in user or, without a valid session, against
/// the limit of the client's address. Clients without a session therefore cannot use up the limit of
/// a user, even if all clients share one address, as they do behind a proxy that is not trusted.
async fn check_rate_limit(
    app: &App,
    class: RateLimitClass,
    parts: &mut Parts,
    decision: &mut Option<Decision>,
) -> Result<(), Problem> {
    let address = RateLimitKey::Address(client_address(parts));
    let result = if class == RateLimitClass::Assets {
        // An asset costs less than the lookup of the session, which is needed only if others have
        // used up the limit of the address.
        let by_address = app.limits.check(class, address).await;
        match user_key(app, parts, !by_address.allowed).await {
            Some(user) => app.limits.check(class, user).await,
            None => by_address,
        }
    } else {
        let key = user_key(app, parts, true).await.unwrap_or(address);
        app.limits.check(class, key).await
    };
    *decision = Some(result);
    if result.allowed {
        Ok(())
    } else {
        Err(Problem::rate_limited(result.retry_after_seconds()))
    }
}

/// The user of the session cookie; `None` without a session, or if the lookup is not `wanted`. If the
/// lookup fails, the request counts as anonymous: the checks that need a session repeat the lookup
/// and report the error.
async fn user_key(app: &App, parts: &mut Parts, wanted: bool) -> Option<RateLimitKey> {
    if !wanted {
        return None;
    }
    let session = <Session as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await;
    let session = session.ok().flatten()?;
    Some(RateLimitKey::User(session.user.id))
}

fn client_address(parts: &Parts) -> IpAddr {
    parts
        .extensions
        .get()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ClientAddress(address)| {
            *address
        })
}
