//! Errors as users see them: what happened, and what to do next.
//!
//! Handlers return a [`Problem`]. The `request_context` middleware renders it in the format that
//! the request accepts: a page, a fragment for htmx, or JSON for scripts. Error responses of
//! libraries that have no body of their own are rendered the same way.

use std::borrow::Cow;
use std::error::Error;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Serialize;
use service_kit::error_chain;
use tracing::error;

use super::pages::problem as pages;
use super::pages::problem::{HelpLink, ProblemView};
use super::pages::{PageContext, Theme};
use crate::identity::return_to::ReturnTo;

/// An error with texts for users and a code for scripts. It never contains the message of a
/// library's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{title}")]
pub struct Problem {
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    pub title: Cow<'static, str>,
    /// What the user can do next.
    pub hint: Cow<'static, str>,
    /// A stable code for scripts and tests, such as `not_found`.
    pub code: &'static str,
    /// The path of the sign-in page, if the user has to sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// A page with more information, offered before the link to the start page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<HelpLink>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            title: title.into(),
            hint: hint.into(),
            code,
            sign_in: None,
            retry_after_seconds: None,
            link: None,
        }
    }

    /// The resource does not exist, or the user may not see it. The two cases look the same.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Page not found",
            "The link may be out of date, the page may have been deleted, or it may belong to a workspace you\u{2019}re not a member of.",
        )
    }

    pub fn owners_only() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "owners_only",
            "Only owners of this workspace can do that",
            "Nothing was changed. Ask an owner; the members page lists them.",
        )
    }

    /// The request has no valid session. After signing in, the browser returns to `return_to`.
    pub fn signed_out(return_to: &ReturnTo) -> Self {
        Self {
            sign_in: Some(return_to.sign_in_path()),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "signed_out",
                "You\u{2019}re not signed in",
                "Sign in to continue where you left off.",
            )
        }
    }

    /// The CSRF token is missing, or belongs to another session.
    pub fn invalid_csrf_token() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "This form has expired",
            "Nothing was changed. Reload the page and try again. This happens if you signed in or out in another tab.",
        )
    }

    /// The browser reports that another site sent the request.
    pub fn cross_site(own_origin: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "This request came from another site",
            format!("Nothing was changed. Open {own_origin} and try again from there."),
        )
    }

    /// A field of the request is missing or malformed.
    pub fn malformed_request() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed_request",
            "We couldn\u{2019}t read this request",
            "Nothing was changed. Reload the page and try again.",
        )
    }

    /// A value of the form is invalid. The title says what to enter instead.
    pub fn invalid_input(title: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_input",
            title,
            "Nothing was saved. Correct the form and send it again.",
        )
    }

    /// The body exceeds the limit of the route.
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "This request is too large",
            "Nothing was saved. Shorten what you send and try again.",
        )
    }

    /// A rate limit was exceeded.
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "You\u{2019}ve sent too many requests",
                match retry_after_seconds {
                    0 | 1 => "Wait a second and try again.".to_owned(),
                    seconds if seconds < 120 => {
                        format!("Wait {seconds} seconds and try again.")
                    }
                    seconds => format!("Wait {} minutes and try again.", seconds.div_ceil(60)),
                },
            )
        }
    }

    /// The handler exceeded the request timeout.
    pub fn timeout() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "This took too long",
            "It may still complete. Wait a moment and reload the page before you try again.",
        )
    }

    /// A service that the app depends on is unavailable.
    pub fn unavailable(hint: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_seconds: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "This is temporarily unavailable",
                hint,
            )
        }
    }

    /// A bug or an unexpected failure. The cause is logged with the request's id, and not shown to
    /// the user.
    pub fn internal_error(cause: &(dyn Error + 'static)) -> Self {
        error!(error = %error_chain(cause), "request failed");
        Self::unexpected()
    }

    /// Like [`Problem::internal_error`], for causes that are already logged.
    pub fn unexpected() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side",
            "Try again in a moment. If the problem persists, send the request id below to your administrator.",
        )
    }

    pub fn view(&self, request_id: Option<&str>) -> ProblemView {
        ProblemView {
            status: self.status.as_u16(),
            title: self.title.clone().into_owned(),
            hint: self.hint.clone().into_owned(),
            code: self.code.to_owned(),
            retry_after_seconds: self.retry_after_seconds,
            request_id: request_id.map(ToOwned::to_owned),
            sign_in: self.sign_in.clone(),
            link: self.link.as_deref().cloned(),
        }
    }

    /// The problem for an error response of a library that has no body.
    pub fn of_status(status: StatusCode) -> Self {
        let mut problem = match status {
            StatusCode::NOT_FOUND => return Self::not_found(),
            StatusCode::PAYLOAD_TOO_LARGE => return Self::too_large(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "This address doesn\u{2019}t support that request",
                "Go back and use the links and buttons of the page.",
            ),
            status if status.is_server_error() => Self::unexpected(),
            _ => Self::malformed_request(),
        };
        problem.status = status;
        problem
    }
}

impl From<sqlx::Error> for Problem {
    /// Connection errors of the main database become `unavailable`; all others are internal errors.
    fn from(error: sqlx::Error) -> Self {
        let is_unavailable = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // connection_exception, operator_intervention (shutdown) and too_many_connections
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code == "53300"
            }),
            _ => false,
        };
        if is_unavailable {
            error!(error = %error_chain(&error), "main database unavailable");
            Self::unavailable("Your data is safe. Try again in a moment.")
        } else {
            Self::internal_error(&error)
        }
    }
}

impl IntoResponse for Problem {
    /// The status, with the problem as an extension. [`render`] adds the body.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The format in which the client expects errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedFormat {
    /// A whole page, for navigation.
    Html,
    /// A fragment of a page, for htmx.
    Fragment,
    /// For our scripts and for API clients.
    Json,
}

impl AcceptedFormat {
    pub fn from_headers(headers: &HeaderMap) -> Self {
        if headers.contains_key("hx-request") {
            return Self::Fragment;
        }
        let accepts_html = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/html"));
        if accepts_html { Self::Html } else { Self::Json }
    }
}

const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// The context for an error page, as a response extension, if the middleware identified the user.
#[derive(Clone)]
pub(in crate::web) struct ErrorPageContext(pub(in crate::web) Box<PageContext>);

/// Renders the body of an error response; other responses pass through unchanged. `theme` applies
/// if no [`ErrorPageContext`] is set.
pub(in crate::web) fn render(
    mut response: Response,
    format: AcceptedFormat,
    theme: Theme,
    request_id: &str,
) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if has_body(&response) => return response,
        None => Problem::of_status(status),
    };
    let page_context = response.extensions_mut().remove::<ErrorPageContext>();
    let view = problem.view(Some(request_id));
    let mut rendered = match (&problem.sign_in, format) {
        (Some(path), AcceptedFormat::Html) => Redirect::to(path).into_response(),
        (Some(path), AcceptedFormat::Fragment) => {
            let mut response = problem.status.into_response();
            if let Ok(path) = HeaderValue::from_str(path) {
                response.headers_mut().insert(HX_REDIRECT, path);
            }
            response
        }
        (None, AcceptedFormat::Html) => {
            let context = page_context.map_or_else(
                || PageContext::anonymous(theme, String::new(), Timestamp::now()),
                |ErrorPageContext(context)| *context,
            );
            (problem.status, pages::page(&context, &view)).into_response()
        }
        (None, AcceptedFormat::Fragment) => {
            (problem.status, pages::fragment(&view)).into_response()
        }
        (_, AcceptedFormat::Json) => (problem.status, axum::Json(&problem)).into_response(),
    };
    if let Some(seconds) = problem.retry_after_seconds {
        rendered
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // Keep the headers that middleware has set, such as rate limits and cookies.
    for (name, value) in response.headers() {
        let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        if !of_body && !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name.clone(), value.clone());
        }
    }
    rendered
}

/// Whether the response has a body of its own. The plain-text errors of axum do not count.
fn has_body(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| !value.starts_with("text/plain"))
}
