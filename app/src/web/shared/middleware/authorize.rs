//! What every request has to pass before its handler sees it, by its route's row in the table: budgets, session, CSRF, access, limits on
//! body and time. A handler that asks for nothing is guarded all the same.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tracing::Span;

use super::csrf;
use crate::domain::RateLimitClass;
use crate::identity::Session;
use crate::telemetry::Refusal;
use crate::web::shared::client_address::ClientAddress;
use crate::web::shared::error::{Frame, AcceptedFormat};
use crate::web::shared::extract::{self, Viewer, OwnerAccess, WorkspaceAccess};
use crate::web::shared::rate_limit::{RateLimitKey, Decision};
use crate::web::shared::receipts::RepeatedDeletion;
use crate::web::shared::route::{Access, ResponseKind, RoutePolicy};
use crate::web::shared::streams::Subscriber;
use crate::web::shared::{App, Problem, security, streams};

/// Before the handler of a route.
pub(in crate::web) async fn authorize(
    State((app, policy)): State<(App, RoutePolicy)>,
    request: Request,
    next: Next,
) -> Response {
    let page_headers = page_headers(&request);
    let mut known = Known {
        decision: None,
        around: Viewer {
            theme: extract::theme(request.headers()),
            session: None,
            access: None,
        },
    };
    let repeated_deletion = policy
        .redirects_to_receipt
        .then(|| RepeatedDeletion::of(&app, &request))
        .flatten();
    let mut response = match (pass(&app, &policy, request, next, &mut known).await, repeated_deletion) {
        (Ok(response), _) => response,
        (Err(problem), Some(repeated_deletion)) => repeated_deletion.receipt_or_problem(&app, problem).await,
        (Err(problem), None) => problem.into_response(),
    };
    if let Some(decision) = known.decision {
        decision.add_headers(response.headers_mut());
    }
    if let Some(problem) = response.extensions().get::<Problem>() {
        match problem.code {
            "too_many_requests" => app.metrics.refused(Refusal::Limit, policy.rate_limit_class),
            "csrf" | "cross_site" => app
                .metrics
                .refused(Refusal::Forged, policy.rate_limit_class),
            _ => {}
        }
    }
    if let Some(headers) = page_headers
        && let Some(problem) = response.extensions().get::<Problem>()
    {
        if known.around.session.is_none() && is_about_the_path(problem) {
            known.around = Viewer::from_cookies(&app, &headers).await;
        }
        // A problem inside a workspace keeps the workspace around it; if even that cannot be had, it is shown without.
        frame(&app, known.around, &mut response).await;
    }
    response
}

/// What the guard found out on its way, and is needed after the handler too.
struct Known {
    decision: Option<Decision>,
    around: Viewer,
}

/// The headers of a request for a whole page, kept for the frame of what may go wrong with it.
fn page_headers(request: &Request) -> Option<HeaderMap> {
    (AcceptedFormat::from_headers(request.headers()) == AcceptedFormat::Html).then(|| request.headers().clone())
}

/// Whether it is worth finding out who asked where the route did not need to know: not for those who ask too much, and not while
/// something is away.
fn is_about_the_path(problem: &Problem) -> bool {
    [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&problem.status)
}

async fn frame(app: &App, around: Viewer, response: &mut Response) {
    if let Ok(context) = around.context(app).await {
        response.extensions_mut().insert(Frame(Box::new(context)));
    }
}

/// Before there is a route: paths that mean nothing cost their budget too.
pub(in crate::web) async fn unknown_path(State(app): State<App>, request: Request) -> Response {
    let page_headers = page_headers(&request);
    let mut told = None;
    let refused = take(&app, RateLimitClass::Reads, address_of(&request), &mut told).await;
    let problem = refused.err().unwrap_or_else(Problem::not_found);
    let around = match page_headers.filter(|_| is_about_the_path(&problem)) {
        Some(headers) => Some(Viewer::from_cookies(&app, &headers).await),
        None => None,
    };
    let mut response = problem.into_response();
    if let Some(around) = around {
        frame(&app, around, &mut response).await;
    }
    if let Some(decision) = told {
        decision.add_headers(response.headers_mut());
    }
    response
}

async fn pass(
    app: &App,
    policy: &RoutePolicy,
    request: Request,
    next: Next,
    known: &mut Known,
) -> Result<Response, Problem> {
    take(
        app,
        policy.rate_limit_class,
        address_of(&request),
        &mut known.decision,
    )
    .await?;
    let changes = security::is_state_changing(request.method());
    if changes {
        security::check_origin(request.headers(), &app.config.http.public_url)?;
    }
    let (mut parts, body) = request.into_parts();
    if policy.access != Access::Public || changes {
        let session =
            <Session as OptionalFromRequestParts<App>>::from_request_parts(&mut parts, app).await?;
        if let Some(session) = session {
            Span::current().record("user.id", tracing::field::display(session.user.id));
            let subject = RateLimitKey::User(session.user.id);
            known.around.session = Some(session);
            take(app, policy.rate_limit_class, subject, &mut known.decision).await?;
        }
    }
    if policy.access != Access::Public {
        // Before the body is read: strangers need not send theirs.
        <Session as FromRequestParts<App>>::from_request_parts(&mut parts, app).await?;
    }
    let body = csrf::limited(&parts.headers, body, policy.max_body_bytes)?;
    let body = if changes {
        csrf::check_token(app, &mut parts, body).await?
    } else {
        body
    };
    if matches!(policy.access, Access::Member | Access::Owner) {
        let access = WorkspaceAccess::from_request_parts(&mut parts, app).await?;
        Span::current().record("workspace.id", access.workspace.id.as_str());
        known.around.access = Some(access);
    }
    if policy.access == Access::Owner {
        OwnerAccess::from_request_parts(&mut parts, app).await?;
    }
    let answer = next.run(Request::from_parts(parts, body));
    match policy.response_kind {
        ResponseKind::Immediate => timeout(app.config.http.request_timeout, answer)
            .await
            .map_err(|_| Problem::too_slow()),
        ResponseKind::Download => Ok(answer.await),
        ResponseKind::EventStream => {
            let place = known
                .around
                .session
                .as_ref()
                .map(|session| app.streams.acquire(Subscriber::User(session.user.id)))
                .transpose()?;
            Ok(streams::end_on_shutdown(answer.await, &app.stop, place))
        }
    }
}

fn address_of(request: &Request) -> RateLimitKey {
    let address = request
        .extensions()
        .get()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ClientAddress(address)| {
            *address
        });
    RateLimitKey::Address(address)
}

/// Takes one of the budget, and remembers the decision that binds first.
async fn take(
    app: &App,
    budget: RateLimitClass,
    subject: RateLimitKey,
    told: &mut Option<Decision>,
) -> Result<(), Problem> {
    let decision = app.limits.check(budget, subject).await;
    *told = Some(told.map_or(decision, |before| before.stricter(decision)));
    if decision.allowed {
        Ok(())
    } else {
        Err(Problem::too_many(decision.retry_after_seconds()))
    }
}
