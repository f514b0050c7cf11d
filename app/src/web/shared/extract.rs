//! What handlers take of a request. Who asks, and for which workspace, is found here and nowhere else.
//!
//! The guard of every route runs these same extractors before the handler does, by what the route's row in the table says; a
//! handler's own argument then finds the answer ready.

mod anonymous_session;
mod body;
mod page_context;
mod workspace;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::Method;
use axum::http::request::Parts;

use super::cookies;
use super::{App, Problem};
use crate::identity::return_to::ReturnTo;
use crate::identity::{Session, Token, sessions};

pub use anonymous_session::AnonymousSession;
pub use body::{Form, Json, Path, Query};
pub(in crate::web) use page_context::{Viewer, link, theme};
pub(in crate::web) use workspace::PeriodicAccessCheck;
pub use workspace::{OwnerAccess, WorkspaceAccess};

/// What was found of the request's session, so that it is looked for once.
#[derive(Clone, Debug)]
struct Found(Option<Session>);

/// The session of the request's cookie, if it is good.
async fn session(parts: &mut Parts, app: &App) -> Result<Option<Session>, Problem> {
    if let Some(Found(session)) = parts.extensions.get() {
        return Ok(session.clone());
    }
    let session = match session_token(parts, app) {
        Some(token) => sessions::find(&app.database, &token, app.config.sessions).await?,
        None => None,
    };
    parts.extensions.insert(Found(session.clone()));
    Ok(session)
}

/// The token that the browser shows, whether it is good or not.
pub(in crate::web) fn session_token(parts: &Parts, app: &App) -> Option<Token> {
    cookies::read(
        &parts.headers,
        cookies::CookieKind::Session,
        &app.config.http.public_url,
    )
}

/// Where a browser should be after signing in: at the page it asked for, or at the one whose piece it asked for.
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
