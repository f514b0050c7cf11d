//! Error responses.

use serde::{Deserialize, Serialize};

use super::nulls;

/// Body of an error response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// Error code. Often empty.
    #[serde(deserialize_with = "nulls::as_default")]
    pub code: String,
    /// Human-readable error message.
    #[serde(deserialize_with = "nulls::as_default")]
    pub message: String,
    /// Id of the request: the client's `X-Request-ID` or one assigned by the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
