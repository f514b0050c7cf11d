//! A browser in which nobody is signed in yet: its cookie ties forms and sign-ins under way to it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

use crate::identity::Token;
use crate::web::shared::{App, Problem, cookies};

/// The visitor's token, made if the browser has none. Whoever answers with a form that is bound to it sends [`Visitor::cookie`] along.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// What the browser holds.
    pub token: Token,
    /// Whether it holds it already.
    pub is_known: bool,
}

impl Visitor {
    /// The header that has the browser hold the token.
    pub fn cookie(&self, app: &App) -> (HeaderName, HeaderValue) {
        cookies::set(
            cookies::Kind::Visitor,
            &self.token,
            &app.config.http.public_url,
        )
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let held = cookies::token(
            &parts.headers,
            cookies::Kind::Visitor,
            &app.config.http.public_url,
        );
        Ok(Self {
            is_known: held.is_some(),
            token: held.unwrap_or_else(Token::random),
        })
    }
}
