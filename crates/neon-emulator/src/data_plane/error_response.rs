//! Errors that the proxy itself sends to clients.

use tokio::io::{self, AsyncWriteExt as _};

use super::pooler::{self, UnsupportedParameter};
use super::relay::ByteStream;
use super::target::TargetError;
use super::wire;
use crate::store::StoreError;

/// The SQLSTATE of the proxy's errors, unless they vary.
pub(super) const PROXY_ERROR: &str = "XX000";

/// A fatal error, as the client receives it.
#[derive(Debug, Clone)]
pub(super) struct ErrorResponse {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl ErrorResponse {
    /// An error of the proxy.
    pub(super) fn proxy(message: impl Into<String>) -> Self {
        Self {
            code: PROXY_ERROR,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn password(user: &str) -> Self {
        Self {
            code: "28P01",
            message: format!("password authentication failed for user '{user}'"),
            hint: None,
        }
    }

    pub(super) fn stopped() -> Self {
        Self {
            code: "57P01",
            message: "the compute was stopped".to_owned(),
            hint: None,
        }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            code: "57P03",
            message: message.into(),
            hint: None,
        }
    }
}

impl From<TargetError> for ErrorResponse {
    fn from(error: TargetError) -> Self {
        Self::proxy(error.to_string())
    }
}

impl From<StoreError> for ErrorResponse {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = %error, "failed to route a connection to its database");
        Self::unavailable("the control plane did not answer; try again")
    }
}

impl From<UnsupportedParameter> for ErrorResponse {
    fn from(error: UnsupportedParameter) -> Self {
        Self {
            code: "08P01",
            message: error.to_string(),
            hint: Some(pooler::HINT),
        }
    }
}

/// Sends the error and closes the connection.
pub(super) async fn reject(
    client: &mut impl ByteStream,
    response: &ErrorResponse,
) -> io::Result<()> {
    let mut fields = vec![
        (b'S', "FATAL"),
        (b'V', "FATAL"),
        (b'C', response.code),
        (b'M', response.message.as_str()),
    ];
    fields.extend(response.hint.map(|hint| (b'H', hint)));
    client.write_all(&wire::error(&fields)).await?;
    client.flush().await?;
    client.shutdown().await
}
