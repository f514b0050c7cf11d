//! Errors of API calls.

use axum::extract::rejection::{ExtensionRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::provision::ProvisionError;
use crate::store::StoreError;

/// An error response. The middleware adds the request's ID and builds the body.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) retry_after_seconds: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after_seconds: None,
        }
    }

    /// The request does not match the API's schema.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// The request is well-formed, but its values are not acceptable.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_VALUE", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("{what} not found"),
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "internal error of the emulator; see its log",
        )
    }

    /// The error for a status that a fault injects.
    pub(crate) fn injected(status: u16, retry_after_seconds: Option<u32>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (code, message) = match status.as_u16() {
            423 => return Self::locked(),
            429 => ("RATE_LIMITED", "too many requests; slow down"),
            503 => return Self::unavailable(),
            _ => ("INJECTED", "injected failure"),
        };
        Self {
            retry_after_seconds,
            ..Self::new(status, code, message)
        }
    }

    /// The request was not processed; the client may retry it.
    fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "the service is not available; try again",
        )
    }

    pub(crate) fn locked() -> Self {
        let message = "the project has running operations; new ones cannot be scheduled until they are finished";
        Self::new(StatusCode::LOCKED, "PROJECT_LOCKED", message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::Locked => Self::locked(),
            StoreError::Unavailable(ref source) => {
                tracing::warn!(error = %source, "state database unavailable");
                Self::unavailable()
            }
            StoreError::Database(ref source) => {
                tracing::error!(error = %source, "state database query failed");
                Self::internal()
            }
            StoreError::Corrupt(_) => {
                tracing::error!(%error, "invalid data in the state database");
                Self::internal()
            }
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<ProvisionError> for ApiError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Store(error) => error.into(),
            ProvisionError::NoDatabase => Self::not_found("database"),
            ProvisionError::NoRole => Self::not_found("role"),
        }
    }
}

impl From<url::ParseError> for ApiError {
    fn from(error: url::ParseError) -> Self {
        tracing::error!(%error, "failed to build a connection URI");
        Self::internal()
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<ExtensionRejection> for ApiError {
    fn from(rejection: ExtensionRejection) -> Self {
        tracing::error!(error = %rejection.body_text(), "a handler was called without the middleware");
        Self::internal()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
