//! A browser in which nobody is signed in yet: its cookie ties forms and sign-ins under way to it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

use crate::identity::Token;
use crate::web::shared::{App, Problem, cookies};

/// The visitor's token, made if the browser has none. Whoever answers with a form that is bound to it sends [`AnonymousSession::cookie`] along.
#[derive(Clone, Debug)]
pub struct AnonymousSession {
    /// What the browser holds.
    pub token: Token,
    /// Whether it holds it already.
    pub is_known: bool,
}

impl AnonymousSession {
    /// The header that has the browser hold the token.
    pub fn cookie(&self, app: &App) -> (HeaderName, HeaderValue) {
        cookies::set(
            cookies::CookieKind::AnonymousSession,
            &self.token,
            &app.config.http.public_url,
        )
    }
}

impl FromRequestParts<App> for AnonymousSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let held = cookies::read(
            &parts.headers,
            cookies::CookieKind::AnonymousSession,
            &app.config.http.public_url,
        );
        Ok(Self {
            is_known: held.is_some(),
            token: held.unwrap_or_else(Token::random),
        })
    }
}
