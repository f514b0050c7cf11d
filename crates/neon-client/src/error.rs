//! Errors of calls.

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use uuid::Uuid;

use crate::{Route, model::ErrorBody};

/// Kind of an error. It tells the caller how to react.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The API key is invalid or does not permit the call (401, 403).
    Auth,
    /// The resource does not exist (404). If a deletion was retried, the first request may have
    /// deleted it: see [`Error::requests`].
    NotFound,
    /// An operation is running in the project (423) and did not finish before the timeout. The
    /// request had no effect.
    Locked,
    /// The account exceeded its rate limit (429). The request had no effect. The client has already
    /// reduced its request rate.
    RateLimited {
        /// Value of the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// A limit of the plan or the account is reached (402, or 403 and 422 with a matching code).
    /// Requires manual intervention.
    LimitExceeded,
    /// The account's plan does not allow a setting in the request (4xx). The request had no effect.
    /// Requires another setting or another plan.
    PlanLimit,
    /// The request is invalid (400, 422 and other 4xx). A retry without changes fails again.
    Invalid,
    /// The request conflicts with the current state (409).
    Conflict,
    /// A precondition is not met (412), for example when the password to reveal is not stored.
    PreconditionFailed,
    /// The API is unavailable. The call can be retried, because the request had no effect or is
    /// idempotent.
    Unavailable {
        /// Whether a request was sent. If `false`, no connection could be established.
        sent: bool,
    },
    /// The request was sent and its outcome is unknown: it may have succeeded, may still succeed,
    /// or may have failed. The client did not retry it. The caller must check the outcome before it
    /// repeats the call.
    Ambiguous,
    /// The response is not what the API documents: it is not JSON or has another structure. Another
    /// service may be listening at the base URL.
    InvalidResponse,
    /// The request was not sent, because `not_after` passed or no quota permit became available in
    /// time. It had no effect.
    NotSent,
    /// An idempotent call got no response in time. It may have had an effect and can be retried.
    Timeout,
}

impl ErrorKind {
    /// Label value for metrics, such as `not_found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::NotFound => "not_found",
            Self::Locked => "locked",
            Self::RateLimited { .. } => "rate_limited",
            Self::LimitExceeded => "limit_exceeded",
            Self::PlanLimit => "plan_limit",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::Unavailable { .. } => "unavailable",
            Self::Ambiguous => "ambiguous",
            Self::InvalidResponse => "invalid_response",
            Self::NotSent => "not_sent",
            Self::Timeout => "timeout",
        }
    }

    /// Whether the same call may succeed later without any change. `Ambiguous` is not transient:
    /// the caller has to check the outcome first.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Locked
                | Self::RateLimited { .. }
                | Self::Unavailable { .. }
                | Self::NotSent
                | Self::Timeout
                | Self::InvalidResponse
        )
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Auth => "the API key is invalid or lacks permission",
            Self::NotFound => "not found",
            Self::Locked => "an operation is running in the project",
            Self::RateLimited { .. } => "the account is rate limited",
            Self::LimitExceeded => "an account limit is reached",
            Self::PlanLimit => "the account's plan does not allow a setting",
            Self::Invalid => "the request is invalid",
            Self::Conflict => "the request conflicts with the current state",
            Self::PreconditionFailed => "a precondition is not met",
            Self::Unavailable { sent: true } => "the API is unavailable",
            Self::Unavailable { sent: false } => {
                "failed to connect to the API; the request was not sent"
            }
            Self::Ambiguous => "the request was sent, but its outcome is unknown",
            Self::InvalidResponse => "the response does not match the API's documentation",
            Self::NotSent => "the request was not sent, because its time limit had passed",
            Self::Timeout => "timed out waiting for a response",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Error of a failed call. Cheap to clone. It never contains a secret: no bodies, no query and no
/// API key. Equal errors of two calls have the same `Display`; the id of the request is in
/// [`Error::request_id`].
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    route: Route,
    status: Option<StatusCode>,
    code: String,
    message: String,
    request_id: Option<Uuid>,
    requests: u32,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Maximum length of the message and the code, in characters.
    const MAX_TEXT_CHARS: usize = 500;

    /// Creates an error without details. Intended for tests of the client's callers.
    pub fn new(route: Route, kind: ErrorKind) -> Self {
        let (code, message) = (String::new(), String::new());
        Self(Box::new(Inner {
            kind,
            route,
            status: None,
            code,
            message,
            request_id: None,
            requests: 0,
            source: None,
        }))
    }

    /// Adds the API's response. Long texts are truncated and control characters are replaced by
    /// spaces.
    #[must_use]
    pub fn with_response(mut self, status: StatusCode, body: &ErrorBody) -> Self {
        self.0.status = Some(status);
        self.0.code = sanitize(&body.code);
        // Every retry has another request id; with it in the message, equal errors would differ.
        let message = match body.request_id.as_deref() {
            Some(id) if !id.is_empty() => &body.message.replace(id, "..."),
            _ => &body.message,
        };
        self.0.message = sanitize(message);
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(crate) fn with_request(mut self, request_id: Uuid, requests: u32) -> Self {
        self.0.request_id = Some(request_id);
        self.0.requests = requests;
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// API operation that failed.
    pub fn route(&self) -> Route {
        self.0.route
    }

    /// HTTP status of the last response, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Error code of the API. Often empty.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Error message of the API. Empty if there was no response.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `X-Request-ID` of the last request. Neon's support can look it up.
    pub fn request_id(&self) -> Option<Uuid> {
        self.0.request_id
    }

    /// Number of requests that were sent or attempted for the call.
    pub fn requests(&self) -> u32 {
        self.0.requests
    }

    /// Value of the `Retry-After` header, if there was one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            ErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        }
    }
}

fn sanitize(text: &str) -> String {
    let text = text.chars().take(Error::MAX_TEXT_CHARS);
    text.map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            route,
            status,
            code,
            message,
            ..
        } = &*self.0;
        write!(f, "{route}: {}", kind.description())?;
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        let status = status.map(|status| format!("status {}", status.as_u16()));
        let code = (!code.is_empty()).then(|| format!("code {code}"));
        let facts: Vec<_> = [status, code].into_iter().flatten().collect();
        if !facts.is_empty() {
            write!(f, " ({})", facts.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            route,
            status,
            code,
            message,
            request_id,
            requests,
            source,
        } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("route", route)
            .field("status", status)
            .field("code", code)
            .field("message", message)
            .field("request_id", request_id)
            .field("requests", requests)
            .field("source", source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// Decoding error. Contains the position of the error but not the content, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to decode the response body at line {line}, column {column}: {category}")]
pub(crate) struct DecodeError {
    line: usize,
    column: usize,
    category: &'static str,
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        let category = match error.classify() {
            serde_json::error::Category::Io => "read error",
            serde_json::error::Category::Syntax => "invalid JSON",
            serde_json::error::Category::Data => "unexpected structure",
            serde_json::error::Category::Eof => "unexpected end",
        };
        Self {
            line: error.line(),
            column: error.column(),
            category,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn display_includes_the_message_of_the_api_and_omits_the_source_and_the_request_id() {
        let body = ErrorBody {
            code: "PROJECTS_LIMIT_EXCEEDED".into(),
            message: "projects limit\nexceeded by request 4d06".into(),
            request_id: Some("4d06".into()),
        };
        let error = Error::new(Route::CreateProject, ErrorKind::LimitExceeded)
            .with_response(StatusCode::UNPROCESSABLE_ENTITY, &body)
            .with_request(Uuid::nil(), 1)
            .with_source(std::io::Error::other("the cause"));
        assert_eq!(
            error.to_string(),
            "create_project: an account limit is reached: projects limit exceeded by request ... \
             (status 422, code PROJECTS_LIMIT_EXCEEDED)"
        );
        assert_eq!(error.source().unwrap().to_string(), "the cause");
    }

    #[test]
    fn an_error_is_as_small_as_a_pointer() {
        assert!(size_of::<Error>() <= size_of::<usize>());
    }

    #[test]
    fn a_decode_error_contains_the_position_but_not_the_content() {
        let error =
            serde_json::from_str::<crate::model::Quota>(r#"{"logical_size_bytes": "npg_hunter2"}"#)
                .unwrap_err();
        assert!(
            error.to_string().contains("hunter2"),
            "serde's message contains the value"
        );
        let error = DecodeError::from(error);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
