//! Limits request bodies and checks their CSRF token.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::identity::{CsrfToken, Session};
use crate::web::shared::extract::AnonymousSession;
use crate::web::shared::{App, Problem};

/// The form field of the token.
const FIELD: &str = "csrf";
/// The header of the token, which scripts send.
const HEADER: &str = "x-csrf-token";
const FORM: &str = "application/x-www-form-urlencoded";

/// A body that fails when it exceeds the limit. Rejects a larger `Content-Length` immediately.
pub(super) fn limit_body(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Body, Problem> {
    let content_length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if content_length.is_some_and(|length| usize::try_from(length).map_or(true, |n| n > max_bytes))
    {
        return Err(Problem::too_large());
    }
    Ok(Body::new(Limited::new(body, max_bytes)))
}

/// Rejects a request whose token is missing or does not belong to the session (before sign-in: to
/// the anonymous session). Returns the body, read to its end: access is checked only afterwards, so
/// that a client cannot delay its body to keep access that has been revoked meanwhile.
pub(super) async fn check_token(app: &App, parts: &mut Parts, body: Body) -> Result<Body, Problem> {
    let Some(expected) = expected_token(app, parts).await? else {
        return Err(Problem::invalid_csrf_token());
    };
    if let Some(token) = parts.headers.get(HEADER) {
        return match token.to_str() {
            Ok(token) if expected.matches(token) => Ok(Body::from(read(app, body).await?)),
            _ => Err(Problem::invalid_csrf_token()),
        };
    }
    let is_form = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
    if !is_form {
        return Err(Problem::invalid_csrf_token());
    }
    let bytes = read(app, body).await?;
    let token = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == FIELD);
    match token {
        Some((_, token)) if expected.matches(&token) => Ok(Body::from(bytes)),
        _ => Err(Problem::invalid_csrf_token()),
    }
}

/// The token of the session or the anonymous session. `None` if the browser sent neither cookie.
async fn expected_token(app: &App, parts: &mut Parts) -> Result<Option<CsrfToken>, Problem> {
    let session =
        <Session as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
    if let Some(session) = session {
        return Ok(Some(session.csrf));
    }
    let anonymous = AnonymousSession::from_request_parts(parts, app).await?;
    Ok((!anonymous.is_new).then(|| anonymous.token.csrf()))
}

async fn read(app: &App, body: Body) -> Result<Bytes, Problem> {
    match timeout(app.config.http.request_timeout, body.collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if is_length_limit_error(&error) => Err(Problem::too_large()),
        Ok(Err(_)) => Err(Problem::malformed_request()),
        Err(_) => Err(Problem::timeout()),
    }
}

fn is_length_limit_error(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
