//! What can go wrong with a call.

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use uuid::Uuid;

use crate::{Route, model::ErrorBody};

/// The kind of an error: what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The key is unknown, or may not do this (401, 403).
    Auth,
    /// There is no such thing (404). After a deletion that was sent again, the first may have worked: see [`Error::requests`].
    NotFound,
    /// An operation runs in the project (423), and still did when the time was up. Nothing was done.
    Locked,
    /// The account made too many requests (429). Nothing was done. The client has slowed itself down already.
    RateLimited {
        /// How long the API asked to wait.
        retry_after: Option<Duration>,
    },
    /// A limit of the plan or the account is reached (402, or 403 and 422 with such a code). Only a person can mend it.
    LimitExceeded,
    /// The request is wrong (400, 422 and other 4xx). Only a change of it can mend it.
    Invalid,
    /// It collides with what is there (409).
    Conflict,
    /// What it needs is not so (412): the password to be revealed is not stored.
    PreconditionFailed,
    /// The API cannot serve now. Nothing was done, or the call is idempotent: it may be made again.
    Unavailable {
        /// Whether a request reached the API. If not, there was no connection.
        sent: bool,
    },
    /// The request was sent and its fate is unknown: it may have worked, may still work later, or may have failed. It was not sent
    /// again and must not be, before the caller has looked.
    Ambiguous,
    /// The answer is not what the API documents: no JSON, or none of the expected shape. Something else may stand in its place.
    NotJson,
    /// It was not sent: its time was over before it was written, or its turn in the quota did not come in time. Nothing was done.
    NotSent,
    /// An idempotent call got no answer in time. It may have worked, and may be made again.
    Deadline,
}

impl ErrorKind {
    /// A word for metrics: `not_found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::NotFound => "not_found",
            Self::Locked => "locked",
            Self::RateLimited { .. } => "rate_limited",
            Self::LimitExceeded => "limit_exceeded",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::Unavailable { .. } => "unavailable",
            Self::Ambiguous => "ambiguous",
            Self::NotJson => "not_json",
            Self::NotSent => "not_sent",
            Self::Deadline => "deadline",
        }
    }

    /// Whether the same call may do better later, with nobody changing anything. `Ambiguous` is not among these: look first.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Locked
                | Self::RateLimited { .. }
                | Self::Unavailable { .. }
                | Self::NotSent
                | Self::Deadline
                | Self::NotJson
        )
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Auth => "the API key is not accepted for this",
            Self::NotFound => "not found",
            Self::Locked => "an operation is running in the project",
            Self::RateLimited { .. } => "too many requests from this account",
            Self::LimitExceeded => "a limit of the account is reached",
            Self::Invalid => "the request is not valid",
            Self::Conflict => "it conflicts with what is there",
            Self::PreconditionFailed => "a precondition is not met",
            Self::Unavailable { sent: true } => "the API is unavailable",
            Self::Unavailable { sent: false } => "the API cannot be reached; nothing was sent",
            Self::Ambiguous => "it was sent, and whether it took effect is unknown",
            Self::NotJson => "the answer is not what the API documents",
            Self::NotSent => "it was not sent, because its time was over",
            Self::Deadline => "no answer in time",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that failed. Cheap to clone. It never holds a secret: no bodies, no query, no key.
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
    /// The longest message and code that are kept, in characters.
    const TEXT_CHARS_MAX: usize = 500;

    /// An error of this kind and nothing else known. The client makes its own; this is for tests of its callers.
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

    /// The same with what the API answered. Long texts are cut, and control characters become spaces.
    #[must_use]
    pub fn with_answer(mut self, status: StatusCode, body: &ErrorBody) -> Self {
        self.0.status = Some(status);
        self.0.code = tidy(&body.code);
        self.0.message = tidy(&body.message);
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

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed.
    pub fn route(&self) -> Route {
        self.0.route
    }

    /// The status of the last answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The API's word for it; often empty.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The API's sentence about it, for people; empty without an answer.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The `X-Request-ID` of the last request, which the API's support can look up.
    pub fn request_id(&self) -> Option<Uuid> {
        self.0.request_id
    }

    /// How many requests were begun for this call.
    pub fn requests(&self) -> u32 {
        self.0.requests
    }

    /// How long the API asked to wait, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            ErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        }
    }
}

fn tidy(text: &str) -> String {
    let text = text.chars().take(Error::TEXT_CHARS_MAX);
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
            request_id,
            ..
        } = &*self.0;
        write!(f, "{route}: {}", kind.sentence())?;
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        let status = status.map(|status| format!("status {}", status.as_u16()));
        let code = (!code.is_empty()).then(|| format!("code {code}"));
        let request = request_id.map(|id| format!("request {id}"));
        let facts: Vec<_> = [status, code, request].into_iter().flatten().collect();
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

/// Why an answer could not be read. Names the place but not what stood there, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the body cannot be read as JSON of the expected shape at line {line}, column {column}: {category}"
)]
pub(crate) struct DecodeError {
    line: usize,
    column: usize,
    category: &'static str,
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        let category = match error.classify() {
            serde_json::error::Category::Io => "reading failed",
            serde_json::error::Category::Syntax => "no JSON",
            serde_json::error::Category::Data => "another shape",
            serde_json::error::Category::Eof => "it ends too early",
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
    fn display_says_what_happened_with_the_words_of_the_api_and_leaves_the_cause_to_source() {
        let body = ErrorBody {
            code: "PROJECTS_LIMIT_EXCEEDED".into(),
            message: "projects limit\nexceeded".into(),
            request_id: None,
        };
        let error = Error::new(Route::CreateProject, ErrorKind::LimitExceeded)
            .with_answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
            .with_request(Uuid::nil(), 1)
            .with_source(std::io::Error::other("the cause"));
        assert_eq!(
            error.to_string(),
            "create_project: a limit of the account is reached: projects limit exceeded \
             (status 422, code PROJECTS_LIMIT_EXCEEDED, request 00000000-0000-0000-0000-000000000000)"
        );
        assert_eq!(error.source().unwrap().to_string(), "the cause");
    }

    #[test]
    fn an_error_stays_small_beside_every_answer() {
        assert!(size_of::<Error>() <= size_of::<usize>());
    }

    #[test]
    fn a_decode_error_names_the_place_but_not_what_stood_there() {
        let error =
            serde_json::from_str::<crate::model::Quota>(r#"{"logical_size_bytes": "npg_hunter2"}"#)
                .unwrap_err();
        assert!(
            error.to_string().contains("hunter2"),
            "serde's own text would leak"
        );
        let error = DecodeError::from(error);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
