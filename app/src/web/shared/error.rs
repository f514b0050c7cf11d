//! What people read when something is not as they wished: what happened, and what to do.
//!
//! A handler answers a [`Problem`]; how it looks is decided once, outside of all handlers: a page, a fragment for htmx, or JSON for a
//! script, by what the request accepts. Answers of libraries that bear an error's status and no page get the same treatment.

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

/// What went wrong, in words for people and a code for scripts. Never holds what a library said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{title}")]
pub struct Problem {
    /// The status of the answer.
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    /// What happened, in a few words.
    pub title: Cow<'static, str>,
    /// What the reader can do about it.
    pub hint: Cow<'static, str>,
    /// One word for scripts and tests, such as `not_found`.
    pub code: &'static str,
    /// Where to sign in, if that is what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<String>,
    /// After how many seconds it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The page that says more, where the start would be no help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead: Option<Box<HelpLink>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// Of this status and code; the title says what happened, the rest what to do.
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
            lead: None,
        }
    }

    /// There is no such thing, or it is somebody else's: the two are told alike.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing here",
            "The link may be old, what it showed may have been removed, or it belongs to a workspace that you are not a member of.",
        )
    }

    /// Only owners may do this.
    pub fn owners_only() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "owners_only",
            "Only an owner of this workspace can do that",
            "Ask one of its owners; the members page shows who they are.",
        )
    }

    /// Nobody is signed in; after signing in, the browser comes back to where it was.
    pub fn signed_out(return_to: &ReturnTo) -> Self {
        Self {
            sign_in: Some(return_to.sign_in_path()),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "signed_out",
                "You are not signed in",
                "Sign in, and you come back to where you were.",
            )
        }
    }

    /// The form did not come from a page of ours, or from one that is too old.
    pub fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "This form can no longer be sent",
            "Nothing was changed. Reload the page and send it again; you may have signed in or out in another tab meanwhile.",
        )
    }

    /// The request comes from another site's page.
    pub fn cross_site(own_origin: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "This request came from another site",
            format!("Nothing was changed. Open {own_origin} and do it from there."),
        )
    }

    /// The request cannot be read: a field is missing or no value of its kind.
    pub fn unreadable() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unreadable",
            "This request cannot be read",
            "Reload the page and try again.",
        )
    }

    /// The form was read, and its values will not do; the title says what to write instead.
    pub fn wrong_input(title: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "wrong_input",
            title,
            "Change it and send the form again.",
        )
    }

    /// The body is longer than the route takes.
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "This is more than can be sent at once",
            "Send less, and try again.",
        )
    }

    /// The budget is used up for now.
    pub fn too_many(retry_after_seconds: u64) -> Self {
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "That was a little too much at once",
                match retry_after_seconds {
                    0 | 1 => "Wait a second, and try again.".to_owned(),
                    seconds if seconds < 120 => {
                        format!("Wait {seconds} seconds, and try again.")
                    }
                    seconds => format!("Wait {} minutes, and try again.", seconds.div_ceil(60)),
                },
            )
        }
    }

    /// The answer took longer than a request may.
    pub fn too_slow() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "This took too long",
            "It may still come to its end. Wait a moment, and look again.",
        )
    }

    /// Something that the app needs is away for now.
    pub fn unavailable(hint: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_seconds: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "This is not possible right now",
                hint,
            )
        }
    }

    /// A defect of the app. The cause goes to the log with the request's id, and not to the reader.
    pub fn internal_error(cause: &(dyn Error + 'static)) -> Self {
        error!(error = %error_chain(cause), "A request ends in an error");
        Self::broken()
    }

    /// As [`Problem::defect`], where the cause was logged already.
    pub fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side",
            "Try again in a moment. If it stays like this, tell whoever runs this site the number of this request.",
        )
    }

    /// As pages show it; `request_id` lets people name what they saw.
    pub fn view(&self, request_id: Option<&str>) -> ProblemView {
        ProblemView {
            status: self.status.as_u16(),
            title: self.title.clone().into_owned(),
            hint: self.hint.clone().into_owned(),
            code: self.code.to_owned(),
            retry_after_seconds: self.retry_after_seconds,
            request_id: request_id.map(ToOwned::to_owned),
            sign_in: self.sign_in.clone(),
            lead: self.lead.as_deref().cloned(),
        }
    }

    /// The general words for a status that a library answered without any.
    pub fn of_status(status: StatusCode) -> Self {
        let mut problem = match status {
            StatusCode::NOT_FOUND => return Self::not_found(),
            StatusCode::PAYLOAD_TOO_LARGE => return Self::too_large(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "This address does not take that",
                "Go back, and use the page's own links and buttons.",
            ),
            status if status.is_server_error() => Self::broken(),
            _ => Self::unreadable(),
        };
        problem.status = status;
        problem
    }
}

impl From<sqlx::Error> for Problem {
    /// The main database being away is told as that; anything else that it says is a defect.
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // Connection exceptions, operator intervention, too many connections: it is there and takes nobody in.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code == "53300"
            }),
            _ => false,
        };
        if away {
            error!(error = %error_chain(&error), "The main database cannot be reached");
            Self::unavailable("Our database is away for a moment. Nothing is lost; try again soon.")
        } else {
            Self::defect(&error)
        }
    }
}

impl IntoResponse for Problem {
    /// The status, with the problem beside it: its looks come later, in `render`.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What the one who asks can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedFormat {
    /// A whole page: the browser goes there.
    Page,
    /// A piece of one: htmx puts it in its place.
    Fragment,
    /// JSON: a script of ours or somebody's program.
    Json,
}

impl AcceptedFormat {
    /// By the request's headers.
    pub fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key("hx-request") {
            return Self::Fragment;
        }
        let accepts_html = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/html"));
        if accepts_html { Self::Page } else { Self::Json }
    }
}

const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// The frame for the page of a problem, where the guard knew who asks.
#[derive(Clone)]
pub(in crate::web) struct Frame(pub(in crate::web) Box<PageContext>);

/// Gives an error its looks; every other answer passes untouched. `theme` is for those of whom nothing else is known.
pub(in crate::web) fn render(
    mut response: Response,
    wants: AcceptedFormat,
    theme: Theme,
    request_id: &str,
) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if has_page(&response) => return response,
        None => Problem::of_status(status),
    };
    let frame = response.extensions_mut().remove::<Frame>();
    let view = problem.view(Some(request_id));
    let mut rendered = match (&problem.sign_in, wants) {
        (Some(path), AcceptedFormat::Html) => Redirect::to(path).into_response(),
        (Some(path), AcceptedFormat::Fragment) => {
            let mut answer = problem.status.into_response();
            if let Ok(path) = HeaderValue::from_str(path) {
                answer.headers_mut().insert(HX_REDIRECT, path);
            }
            answer
        }
        (None, AcceptedFormat::Html) => {
            let context = frame.map_or_else(
                || PageContext::anonymous(theme, String::new(), Timestamp::now()),
                |Frame(context)| *context,
            );
            (problem.status, pages::page(&context, &view)).into_response()
        }
        (None, AcceptedFormat::Fragment) => (problem.status, pages::fragment(&view)).into_response(),
        (_, AcceptedFormat::Json) => (problem.status, axum::Json(&problem)).into_response(),
    };
    if let Some(seconds) = problem.retry_after_seconds {
        rendered
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // Headers that the guard gave the answer (its budget, a cookie) stay.
    for (name, value) in response.headers() {
        let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        if !of_body && !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name.clone(), value.clone());
        }
    }
    rendered
}

/// Whether the answer brings words of its own: only what is neither empty nor a library's plain text does.
fn has_page(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| !value.starts_with("text/plain"))
}
