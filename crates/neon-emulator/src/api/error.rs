//! Refusals, as the API writes them.

use axum::extract::rejection::{ExtensionRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::provision::ProvisionError;
use crate::store::StoreError;

/// A refusal. The gate before the handlers adds the request's id and makes the body of it.
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

    /// The request is not what the API's document describes.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// The request is well-formed, but its values do not go together.
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
            "the emulator could not do this; its log says why",
        )
    }

    /// The word that goes with a status that was asked for as a fault.
    pub(crate) fn injected(status: u16, retry_after_seconds: Option<u32>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (code, message) = match status.as_u16() {
            423 => return Self::locked(),
            429 => ("RATE_LIMITED", "too many requests; slow down"),
            503 => return Self::unavailable(),
            _ => ("INJECTED", "this failure was asked for"),
        };
        Self {
            retry_after_seconds,
            ..Self::new(status, code, message)
        }
    }

    /// Nothing was done; the same call may be sent again.
    fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "the service is not available; try again",
        )
    }

    /// An operation of the project is under way.
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
                tracing::warn!(error = %source, "{error}");
                Self::unavailable()
            }
            StoreError::Database(ref source) => {
                tracing::error!(error = %source, "{error}");
                Self::internal()
            }
            StoreError::Corrupt(_) => {
                tracing::error!("{error}");
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
        tracing::error!(%error, "A connection URI could not be made");
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
        tracing::error!(error = %rejection.body_text(), "A handler was reached without the gate");
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
