//! Extractors for handlers. They are the only code that identifies the user and the workspace of a
//! request.
//!
//! The `authorize` middleware runs the same extractors first, according to the policy of the route.
//! The results are cached as request extensions, so that a handler's argument costs no second
//! lookup.

mod anonymous_session;
mod body;
mod page_context;
mod workspace;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::Method;
use axum::http::request::Parts;

use super::cookies::{self, CookieKind};
use super::{App, Problem};
use crate::identity::return_to::ReturnTo;
use crate::identity::{Session, Token, sessions};

pub use anonymous_session::AnonymousSession;
pub use body::{Form, Json, Path, Query};
pub(in crate::web) use page_context::{Viewer, link, theme};
pub(in crate::web) use workspace::PeriodicAccessCheck;
pub use workspace::{OwnerAccess, WorkspaceAccess};

/// The result of the session lookup, as a request extension.
#[derive(Clone, Debug)]
struct CachedSession(Option<Session>);

/// The session of the cookie, if it is valid.
async fn session(parts: &mut Parts, app: &App) -> Result<Option<Session>, Problem> {
    if let Some(CachedSession(session)) = parts.extensions.get() {
        return Ok(session.clone());
    }
    let session = match session_token(parts, app) {
        Some(token) => sessions::find(&app.database, &token, &app.config.sign_in).await?,
        None => None,
    };
    parts.extensions.insert(CachedSession(session.clone()));
    Ok(session)
}

/// The token in the session cookie, valid or not.
pub(in crate::web) fn session_token(parts: &Parts, app: &App) -> Option<Token> {
    cookies::read(
        &parts.headers,
        CookieKind::Session,
        &app.config.http.public_url,
    )
}

/// Where the browser returns after signing in: the requested page, or for a fragment the page that
/// contains it.
fn return_to(parts: &Parts) -> ReturnTo {
    if let Some(page) = parts.headers.get("hx-current-url") {
        let path = page
            .to_str()
            .ok()
            .and_then(|page| url::Url::parse(page).ok())
            .map(|page| page[url::Position::BeforePath..url::Position::AfterQuery].to_owned());
        return path.map_or_else(ReturnTo::start, |path| ReturnTo::new(&path));
    }
    match (&parts.method, parts.uri.path_and_query()) {
        (&Method::GET, Some(path)) => ReturnTo::new(path.as_str()),
        _ => ReturnTo::start(),
    }
}

impl FromRequestParts<App> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        session(parts, app)
            .await?
            .ok_or_else(|| Problem::signed_out(&return_to(parts)))
    }
}

impl OptionalFromRequestParts<App> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        session(parts, app).await
    }
}
