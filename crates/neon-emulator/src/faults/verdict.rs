//! What the faults want of one call.

use neon_client::ids::ProjectId;

use super::Effect;

/// The status of a refusal for want of room.
const TOO_MANY_REQUESTS: u16 = 429;

/// What happens to one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Milliseconds before anything else.
    pub(crate) delay_ms: u64,
    /// What happens instead of, or after, the work. The first fault that was armed wins.
    pub(crate) outcome: Option<Effect>,
    /// What becomes of the operations that the work starts.
    pub(crate) operation: Option<OperationFault>,
    /// Projects of a page that are unavailable: by place, or by id.
    pub(crate) unavailable_first: usize,
    pub(crate) unavailable: Vec<ProjectId>,
    /// What came up, for people.
    pub(crate) words: Vec<String>,
}

/// What becomes of the last operation that a call starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperationFault {
    pub(crate) error: String,
    /// Milliseconds until it is tried again with success; without it, it ends as `error`.
    pub(crate) retried_after_ms: Option<u64>,
}

impl Verdict {
    /// The call is one too many. `word` says why, to people.
    pub(crate) fn refused(retry_after_seconds: u32, word: &str) -> Self {
        Self {
            outcome: Some(Effect::Status {
                status: TOO_MANY_REQUESTS,
                retry_after_seconds: Some(retry_after_seconds),
            }),
            words: vec![word.to_owned()],
            ..Self::default()
        }
    }
}
