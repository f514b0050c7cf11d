//! Bodies: never longer than the route takes, and with the token that shows them to come from a page of ours.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::identity::{CsrfToken, Session};
use crate::web::shared::extract::AnonymousSession;
use crate::web::shared::{App, Problem};

/// The field of a form with the token.
const FIELD: &str = "csrf";
/// The header with the token, of scripts.
const HEADER: &str = "x-csrf-token";
/// The type of a form's body.
const FORM: &str = "application/x-www-form-urlencoded";

/// A body that ends in an error where it gets too long; one that says so beforehand is refused at once.
pub(super) fn limited(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Body, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |n| n > bytes_max)) {
        return Err(Problem::too_large());
    }
    Ok(Body::new(Limited::new(body, bytes_max)))
}

/// Refuses what brings no token, or another one than was given to this session (or, before sign-in, to this visitor). Answers the body,
/// which was read to its end: what its sender may do is looked at afterwards, so that nobody can hold a request back until they no
/// longer might.
pub(super) async fn check_token(app: &App, parts: &mut Parts, body: Body) -> Result<Body, Problem> {
    let Some(expected) = expected(app, parts).await? else {
        return Err(Problem::forged());
    };
    if let Some(brought) = parts.headers.get(HEADER) {
        return match brought.to_str() {
            Ok(brought) if expected.matches(brought) => Ok(Body::from(read(app, body).await?)),
            _ => Err(Problem::forged()),
        };
    }
    let is_form = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
    if !is_form {
        return Err(Problem::forged());
    }
    let bytes = read(app, body).await?;
    let brought = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == FIELD);
    match brought {
        Some((_, brought)) if expected.matches(&brought) => Ok(Body::from(bytes)),
        _ => Err(Problem::forged()),
    }
}

/// The token of the session, else of the visitor; `None` where the browser has neither cookie.
async fn expected(app: &App, parts: &mut Parts) -> Result<Option<CsrfToken>, Problem> {
    let session =
        <Session as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
    if let Some(session) = session {
        return Ok(Some(session.csrf));
    }
    let visitor = AnonymousSession::from_request_parts(parts, app).await?;
    Ok(visitor.is_known.then(|| visitor.token.csrf()))
}

async fn read(app: &App, body: Body) -> Result<Bytes, Problem> {
    match timeout(app.config.http.request_timeout, body.collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(Problem::too_large()),
        Ok(Err(_)) => Err(Problem::unreadable()),
        Err(_) => Err(Problem::too_slow()),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
