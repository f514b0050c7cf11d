//! The faults that apply to one call or connection.

use neon_client::ids::ProjectId;

use super::Effect;

/// The status of a rate-limited call.
const TOO_MANY_REQUESTS: u16 = 429;

/// What the faults do to one call or connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Injection {
    /// Delay before anything else, in milliseconds.
    pub(crate) delay_ms: u64,
    /// What happens instead of, or after, processing the call. The fault that was armed first takes
    /// precedence.
    pub(crate) outcome: Option<Effect>,
    /// The fault of the operations that the call schedules.
    pub(crate) operation: Option<OperationFault>,
    /// Whether an update changes nothing.
    pub(crate) ignores_settings: bool,
    /// The unavailable projects of a page: a number of them from its start, or by ID.
    pub(crate) unavailable_first: usize,
    pub(crate) unavailable: Vec<ProjectId>,
    /// Descriptions for the request log.
    pub(crate) labels: Vec<String>,
}

/// What happens to the last operation that a call schedules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperationFault {
    pub(crate) error: String,
    /// Milliseconds until a successful retry; `None` if the operation ends as `error`.
    pub(crate) retried_after_ms: Option<u64>,
}

impl Injection {
    /// A call that exceeds a rate limit. `description` is for the request log.
    pub(crate) fn rate_limited(retry_after_seconds: u32, description: &str) -> Self {
        Self {
            outcome: Some(Effect::Status {
                status: TOO_MANY_REQUESTS,
                retry_after_seconds: Some(retry_after_seconds),
            }),
            labels: vec![description.to_owned()],
            ..Self::default()
        }
    }
}
