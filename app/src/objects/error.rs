//! What can go wrong with the store, sorted by what helps.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// A request to the store did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// Nothing lies there.
    #[error("there is no such file")]
    Missing,
    /// It will pass: worth trying again.
    #[error("the store of files is away: {0}")]
    Away(Trouble),
    /// The store refuses; only a person can mend that. The code is the store's.
    #[error("the store of files refuses with {status} {code}")]
    Refused {
        /// Status of the answer.
        status: u16,
        /// Its word for the reason, such as `AccessDenied`.
        code: String,
    },
    /// The request could not be made at all: a defect of this app.
    #[error("the request to the store of files could not be made")]
    Unmade,
}

/// Why the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Unreachable,
    /// It took longer than the limit.
    #[error("it did not answer in time")]
    Slow,
    /// It answers that it cannot right now.
    #[error("it answers {0}")]
    Status(u16),
    /// The answer broke off.
    #[error("its answer broke off")]
    CutOff,
}

impl ObjectsError {
    /// Whether waiting helps.
    pub fn is_transient(&self) -> bool {
        // A refusal is waited for as well: keys and policies are mended while jobs wait, and a file is not to blame.
        matches!(self, Self::Away(_) | Self::Refused { .. })
    }

    pub(super) fn from_sdk<E: ProvideErrorMetadata>(error: SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ConstructionFailure(_) => Self::Unmade,
            SdkError::TimeoutError(_) => Self::Away(Trouble::Slow),
            SdkError::ResponseError(_) => Self::Away(Trouble::CutOff),
            SdkError::DispatchFailure(failure) => Self::Away(if failure.is_timeout() {
                Trouble::Slow
            } else {
                Trouble::Unreachable
            }),
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or("without a code").to_owned();
                Self::from_answer(status, code)
            }
            _ => Self::Away(Trouble::Unreachable),
        }
    }

    fn from_answer(status: u16, code: String) -> Self {
        match (status, code.as_str()) {
            (_, "NoSuchKey" | "NoSuchVersion") => Self::Missing,
            // The answer to HEAD has no body, hence no code.
            (404, code) if code != "NoSuchBucket" => Self::Missing,
            (408 | 429 | 500..=599, _) | (_, "SlowDown" | "RequestTimeout") => {
                Self::Away(Trouble::Status(status))
            }
            _ => Self::Refused { status, code },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_helps() {
        let of = |status, code: &str| ObjectsError::from_answer(status, code.to_owned());
        assert!(matches!(of(404, "NoSuchKey"), ObjectsError::Missing));
        assert!(matches!(of(404, "NotFound"), ObjectsError::Missing));
        assert!(matches!(
            of(404, "NoSuchBucket"),
            ObjectsError::Refused { .. }
        ));
        assert!(matches!(
            of(503, "SlowDown"),
            ObjectsError::Away(Trouble::Status(503))
        ));
        assert!(matches!(
            of(403, "AccessDenied"),
            ObjectsError::Refused { .. }
        ));
        assert!(of(403, "AccessDenied").is_transient());
        assert!(!of(404, "NoSuchKey").is_transient());
    }
}
