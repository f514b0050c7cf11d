//! What the API says when it refuses.

use serde::{Deserialize, Serialize};

use super::nulls;

/// The body of an answer that is not a success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// A word for programs; often empty.
    #[serde(deserialize_with = "nulls::as_default")]
    pub code: String,
    /// A sentence for people.
    #[serde(deserialize_with = "nulls::as_default")]
    pub message: String,
    /// The request's identifier: the client's own `X-Request-ID`, or one that the API gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
