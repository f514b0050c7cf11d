//! What can go wrong, and whether trying again can help.

use std::time::Duration;

use async_openai::error::OpenAIError;
use reqwest::StatusCode;

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, and not before this time has passed where the endpoint named one.
    Later(Option<Duration>),
    /// Not before somebody changes something.
    Never,
}

/// A model gave no answer. None of these holds text that was sent or received, and none the key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// 429: too many requests or tokens.
    #[error("the model's endpoint asks to slow down")]
    RateLimited {
        /// What its `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// 429 with `insufficient_quota`, or 402.
    #[error(
        "the account at the model's endpoint is used up; its owner has to look at its plan and billing"
    )]
    QuotaExhausted,
    /// 5xx.
    #[error("the model's endpoint has trouble of its own (HTTP {status})")]
    Unavailable {
        /// The status.
        status: u16,
        /// What its `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    #[error("the model's endpoint did not answer in time")]
    TimedOut,
    /// No connection, or one that broke.
    #[error("the model's endpoint cannot be reached")]
    Unreachable,
    /// The answer broke off, or stopped coming.
    #[error("the answer broke off")]
    BrokenOff,
    /// 401 or 403.
    #[error("the model's endpoint refuses the key")]
    Unauthorized,
    /// 404.
    #[error("the model's endpoint does not know the model, or its URL is wrong")]
    NoSuchModel,
    /// Any other 4xx, with the endpoint's code for it.
    #[error("the model's endpoint refuses the request (HTTP {status}, {code})")]
    Refused {
        /// The status.
        status: u16,
        /// Such as `context_length_exceeded`.
        code: String,
    },
    /// Vectors of another dimension than configured.
    #[error(
        "the embedding model gave vectors of {got} dimensions and not {expected}; the configuration must say what the model has"
    )]
    WrongDimensions {
        /// As configured.
        expected: usize,
        /// As received.
        got: usize,
    },
    /// Nothing that OpenAI's API would send.
    #[error("the model's endpoint does not answer as OpenAI's does ({0})")]
    NotUnderstood(&'static str),
    /// The model on this machine.
    #[error("the local model failed: {0}")]
    Local(#[from] LocalModelError),
}

/// The model on this machine gave no vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalModelError {
    /// A file cannot be read.
    #[error("its file {0} cannot be read")]
    File(&'static str),
    /// A file is not what it should be.
    #[error("its file {0} is not that of a model of this kind")]
    NotAModel(&'static str),
    /// A text cannot be cut into word pieces.
    #[error("a text cannot be cut into word pieces")]
    Tokenizer,
    /// The computation failed.
    #[error("its computation failed")]
    Computation,
    /// The process is stopping.
    #[error("the process is stopping")]
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
            | Self::BrokenOff
            | Self::Local(LocalModelError::Stopping) => Retry::Later(None),
            Self::QuotaExhausted
            | Self::Unauthorized
            | Self::NoSuchModel
            | Self::Refused { .. }
            | Self::WrongDimensions { .. }
            | Self::NotUnderstood(_)
            | Self::Local(_) => Retry::Never,
        }
    }

    /// A short name for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::BrokenOff => "broken_off",
            Self::Unauthorized => "unauthorized",
            Self::NoSuchModel => "no_such_model",
            Self::Refused { .. } => "refused",
            Self::WrongDimensions { .. } => "wrong_dimensions",
            Self::NotUnderstood(_) => "not_understood",
            Self::Local(_) => "local",
        }
    }

    pub(crate) fn of_status(
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
            404 => Self::NoSuchModel,
            status @ 500.. => Self::Unavailable {
                status,
                retry_after,
            },
            status => Self::Refused {
                status,
                code: printable(code),
            },
        }
    }

    pub(crate) fn of_http(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Unreachable
        }
    }

    /// What the client library says. Its texts may quote what was received, so only their kind is kept.
    pub(crate) fn of_client(error: OpenAIError) -> Self {
        match error {
            OpenAIError::Boxed(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(_) => Self::Unreachable,
            },
            OpenAIError::Reqwest(error) => Self::of_http(&error),
            OpenAIError::ApiError(error) => {
                Self::of_status(error.status_code, error.api_error.code.as_deref(), None)
            }
            OpenAIError::StreamError(_) => Self::BrokenOff,
            OpenAIError::JSONDeserialize(..) => Self::NotUnderstood("its JSON is of another form"),
            _ => Self::NotUnderstood("the request could not be made"),
        }
    }
}

/// For the client library, in whose errors ours travel.
impl From<ModelError> for OpenAIError {
    fn from(error: ModelError) -> Self {
        Self::Boxed(Box::new(error))
    }
}

/// A code is a word of a few signs; anything else that stands in its place is not repeated.
fn printable(code: &str) -> String {
    let is_word = code.len() <= 64
        && code.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | ' ')
        });
    if is_word {
        code.to_owned()
    } else {
        "no code".to_owned()
    }
}
