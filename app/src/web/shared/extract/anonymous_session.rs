//! The browser of a user who is not signed in: its cookie binds forms and pending sign-ins to it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

use crate::identity::Token;
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::{App, Problem};

/// The token of the browser, created if it has none. A response with a form that is bound to the
/// token must include [`AnonymousSession::cookie`].
#[derive(Clone, Debug)]
pub struct AnonymousSession {
    pub token: Token,
    /// Whether the browser has not stored the token yet.
    pub is_new: bool,
}

impl AnonymousSession {
    /// The `Set-Cookie` header that stores the token.
    pub fn cookie(&self, app: &App) -> (HeaderName, HeaderValue) {
        cookies::set(
            CookieKind::Anonymous,
            &self.token,
            &app.config.http.public_url,
        )
    }
}

impl FromRequestParts<App> for AnonymousSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let stored = cookies::read(
            &parts.headers,
            CookieKind::Anonymous,
            &app.config.http.public_url,
        );
        Ok(Self {
            is_new: stored.is_none(),
            token: stored.unwrap_or_else(Token::random),
        })
    }
}
