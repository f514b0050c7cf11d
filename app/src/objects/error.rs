//! Errors of the object store, classified by whether a retry helps.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

#[derive(Debug, thiserror::Error)]
pub enum ObjectStoreError {
    #[error("the file does not exist in the object store")]
    NotFound,
    #[error("the object store is unavailable: {0}")]
    Unavailable(TransientError),
    /// A configuration error, such as missing permissions.
    #[error("the object store rejected the request: {status} {code}")]
    Rejected {
        status: u16,
        /// The store's error code, such as `AccessDenied`.
        code: String,
    },
    /// A bug in this app: the SDK could not build the request.
    #[error("failed to build a request to the object store")]
    InvalidRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransientError {
    #[error("connection failed")]
    Unreachable,
    #[error("timed out")]
    Timeout,
    /// A status that means "try again", such as 503.
    #[error("status {0}")]
    Status(u16),
    #[error("the response was interrupted")]
    Interrupted,
}

impl ObjectStoreError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        // Rejected requests count as well: operators fix credentials and policies while jobs wait,
        // and the file is not the cause.
        matches!(self, Self::Unavailable(_) | Self::Rejected { .. })
    }

    pub(super) fn from_sdk<E: ProvideErrorMetadata>(error: SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ConstructionFailure(_) => Self::InvalidRequest,
            SdkError::TimeoutError(_) => Self::Unavailable(TransientError::Timeout),
            SdkError::ResponseError(_) => Self::Unavailable(TransientError::Interrupted),
            SdkError::DispatchFailure(failure) => Self::Unavailable(if failure.is_timeout() {
                TransientError::Timeout
            } else {
                TransientError::Unreachable
            }),
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or("(no code)").to_owned();
                Self::from_response(status, code)
            }
            _ => Self::Unavailable(TransientError::Unreachable),
        }
    }

    fn from_response(status: u16, code: String) -> Self {
        match (status, code.as_str()) {
            (_, "NoSuchKey" | "NoSuchVersion") => Self::NotFound,
            // A response to HEAD has no body and therefore no error code.
            (404, code) if code != "NoSuchBucket" => Self::NotFound,
            (408 | 429 | 500..=599, _) | (_, "SlowDown" | "RequestTimeout") => {
                Self::Unavailable(TransientError::Status(status))
            }
            _ => Self::Rejected { status, code },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rejections_and_outages_are_transient() {
        let of = |status, code: &str| ObjectStoreError::from_response(status, code.to_owned());
        assert!(matches!(of(404, "NoSuchKey"), ObjectStoreError::NotFound));
        assert!(matches!(of(404, "NotFound"), ObjectStoreError::NotFound));
        assert!(matches!(
            of(404, "NoSuchBucket"),
            ObjectStoreError::Rejected { .. }
        ));
        assert!(matches!(
            of(503, "SlowDown"),
            ObjectStoreError::Unavailable(TransientError::Status(503))
        ));
        assert!(matches!(
            of(403, "AccessDenied"),
            ObjectStoreError::Rejected { .. }
        ));
        assert!(of(403, "AccessDenied").is_transient());
        assert!(!of(404, "NoSuchKey").is_transient());
    }
}
