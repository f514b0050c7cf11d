//! Errors, and whether a retry can help.

use std::time::Duration;

use async_openai::error::OpenAIError;
use reqwest::StatusCode;

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after this time if the endpoint specified one.
    Later(Option<Duration>),
    /// Not without a change of the configuration or the account.
    Never,
}

/// Error of a model. It never contains text that was sent or received, or the API key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    #[error("the model endpoint is rate limiting requests")]
    RateLimited {
        /// Value of the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// 429 with `insufficient_quota`, or 402.
    #[error(
        "the quota of the account at the model endpoint is exhausted; check its plan and billing"
    )]
    QuotaExhausted,
    /// 5xx.
    #[error("the model endpoint is unavailable (HTTP {status})")]
    Unavailable {
        status: u16,
        /// Value of the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    #[error("timed out waiting for the model endpoint")]
    TimedOut,
    /// No connection, or a connection that was closed.
    #[error("failed to connect to the model endpoint")]
    Unreachable,
    /// The answer ended prematurely or stalled.
    #[error("the answer was interrupted")]
    Interrupted,
    /// 401 or 403.
    #[error("the model endpoint rejected the API key")]
    Unauthorized,
    /// 404.
    #[error("the model does not exist at the model endpoint, or the endpoint's URL is wrong")]
    ModelNotFound,
    /// Any other 4xx, with the endpoint's error code.
    #[error("the model endpoint rejected the request (HTTP {status}, {code})")]
    Rejected {
        status: u16,
        /// Such as `context_length_exceeded`.
        code: String,
    },
    /// Vectors with another number of dimensions than configured.
    #[error(
        "the embedding model returned vectors with {got} dimensions instead of {expected}; configure the dimensions of the model"
    )]
    WrongDimensions { expected: usize, got: usize },
    /// A response that does not match OpenAI's API.
    #[error("invalid response from the model endpoint: {0}")]
    InvalidResponse(&'static str),
    #[error("the local model failed")]
    Local(#[from] LocalModelError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalModelError {
    #[error("failed to read {0}")]
    File(&'static str),
    /// A file does not belong to a model of this kind.
    #[error("{0} is not a file of a supported model")]
    InvalidFile(&'static str),
    /// A text could not be tokenized.
    #[error("failed to tokenize a text")]
    Tokenizer,
    #[error("the computation failed")]
    Computation,
    #[error("the process is shutting down")]
    Stopping,
}

impl ModelError {
    /// Whether the same request can succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                Retry::Later(*retry_after)
            }
            Self::TimedOut
            | Self::Unreachable
            | Self::Interrupted
            | Self::Local(LocalModelError::Stopping) => Retry::Later(None),
            Self::QuotaExhausted
            | Self::Unauthorized
            | Self::ModelNotFound
            | Self::Rejected { .. }
            | Self::WrongDimensions { .. }
            | Self::InvalidResponse(_)
            | Self::Local(_) => Retry::Never,
        }
    }

    /// Label value for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
            Self::Unauthorized => "unauthorized",
            Self::ModelNotFound => "model_not_found",
            Self::Rejected { .. } => "rejected",
            Self::WrongDimensions { .. } => "wrong_dimensions",
            Self::InvalidResponse(_) => "invalid_response",
            Self::Local(_) => "local",
        }
    }

    pub(crate) fn from_status(
        status: StatusCode,
        code: Option<&str>,
        retry_after: Option<Duration>,
    ) -> Self {
        let code = code.unwrap_or("no code");
        match status.as_u16() {
            402 => Self::QuotaExhausted,
            429 if matches!(code, "insufficient_quota" | "billing_hard_limit_reached") => {
                Self::QuotaExhausted
            }
            429 => Self::RateLimited { retry_after },
            408 | 409 => Self::Unavailable {
                status: status.as_u16(),
                retry_after,
            },
            401 | 403 => Self::Unauthorized,
            404 => Self::ModelNotFound,
            status @ 500.. => Self::Unavailable {
                status,
                retry_after,
            },
            status => Self::Rejected {
                status,
                code: printable(code),
            },
        }
    }

    pub(crate) fn from_http(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Unreachable
        }
    }

    /// Converts an error of the client library. Its message may quote received text, so only its
    /// kind is kept.
    pub(crate) fn from_client(error: OpenAIError) -> Self {
        match error {
            OpenAIError::Boxed(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(_) => Self::Unreachable,
            },
            OpenAIError::Reqwest(error) => Self::from_http(&error),
            OpenAIError::ApiError(error) => {
                Self::from_status(error.status_code, error.api_error.code.as_deref(), None)
            }
            OpenAIError::StreamError(_) => Self::Interrupted,
            OpenAIError::JSONDeserialize(..) => Self::InvalidResponse("unexpected JSON"),
            _ => Self::InvalidResponse("failed to build the request"),
        }
    }
}

/// Errors of the transport pass through the client library.
impl From<ModelError> for OpenAIError {
    fn from(error: ModelError) -> Self {
        Self::Boxed(Box::new(error))
    }
}

/// Returns the code if it looks like one: a short word. Anything else is not repeated.
fn printable(code: &str) -> String {
    let is_code = code.len() <= 64
        && code.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | ' ')
        });
    if is_code {
        code.to_owned()
    } else {
        "no code".to_owned()
    }
}
