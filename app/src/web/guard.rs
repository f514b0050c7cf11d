//! What every request has to pass before its handler sees it, by its route's row in the table: budgets, session, CSRF, access, limits on
//! body and time. A handler that asks for nothing is guarded all the same.

mod body;

use std::net::IpAddr;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tracing::Span;

use super::extract::{OwnerAccess, WorkspaceAccess};
use super::limits::{Budget, Subject, Verdict};
use super::router::{Access, Rules};
use super::{App, Problem, security};
use crate::identity::Session;

/// Whom the request comes from, as [`super::outer`] found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Before the handler of a route.
pub(super) async fn guard(
    State((app, rules)): State<(App, Rules)>,
    request: Request,
    next: Next,
) -> Response {
    let mut told = None;
    let mut response = pass(&app, &rules, request, next, &mut told)
        .await
        .unwrap_or_else(Problem::into_response);
    if let Some(verdict) = told {
        verdict.add_to(response.headers_mut());
    }
    response
}

/// Before there is a route: paths that mean nothing cost their budget too.
pub(super) async fn unknown_path(State(app): State<App>, request: Request) -> Response {
    let mut told = None;
    let refused = take(&app, Budget::Pages, address_of(&request), &mut told).await;
    let problem = refused.err().unwrap_or_else(Problem::not_found);
    let mut response = problem.into_response();
    if let Some(verdict) = told {
        verdict.add_to(response.headers_mut());
    }
    response
}

async fn pass(
    app: &App,
    rules: &Rules,
    request: Request,
    next: Next,
    told: &mut Option<Verdict>,
) -> Result<Response, Problem> {
    take(app, rules.budget, address_of(&request), told).await?;
    let changes = security::changes(request.method());
    if changes {
        security::check_origin(request.headers(), &app.config.http.public_url)?;
    }
    let (mut parts, body) = request.into_parts();
    if rules.access != Access::Public || changes {
        let session =
            <Session as OptionalFromRequestParts<App>>::from_request_parts(&mut parts, app).await?;
        if let Some(session) = session {
            Span::current().record("user.id", tracing::field::display(session.user.id));
            take(app, rules.budget, Subject::User(session.user.id), told).await?;
        }
    }
    if rules.access != Access::Public {
        // Before the body is read: strangers need not send theirs.
        <Session as FromRequestParts<App>>::from_request_parts(&mut parts, app).await?;
    }
    let body = body::limited(&parts.headers, body, rules.body_bytes_max)?;
    let body = if changes {
        body::check_token(app, &mut parts, body).await?
    } else {
        body
    };
    match rules.access {
        Access::Public | Access::SignedIn => {}
        Access::Member => {
            let access = WorkspaceAccess::from_request_parts(&mut parts, app).await?;
            Span::current().record("workspace.id", access.workspace.id.as_str());
        }
        Access::Owner => {
            let OwnerAccess(access) = OwnerAccess::from_request_parts(&mut parts, app).await?;
            Span::current().record("workspace.id", access.workspace.id.as_str());
        }
    }
    let answer = next.run(Request::from_parts(parts, body));
    if rules.is_stream {
        return Ok(answer.await);
    }
    timeout(app.config.http.request_timeout, answer)
        .await
        .map_err(|_| Problem::too_slow())
}

fn address_of(request: &Request) -> Subject {
    let address = request
        .extensions()
        .get()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ClientAddress(address)| {
            *address
        });
    Subject::Address(address)
}

/// Takes one of the budget, and remembers the verdict that binds first.
async fn take(
    app: &App,
    budget: Budget,
    subject: Subject,
    told: &mut Option<Verdict>,
) -> Result<(), Problem> {
    let verdict = app.limits.take(budget, subject).await;
    *told = Some(told.map_or(verdict, |before| before.tighter(verdict)));
    if verdict.allowed {
        Ok(())
    } else {
        Err(Problem::too_many(verdict.retry_after_seconds()))
    }
}
