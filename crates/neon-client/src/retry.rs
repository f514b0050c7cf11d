//! Classifies failed attempts and decides whether to retry. Pure code, and the only module that
//! decides which requests are safe to repeat.

use std::time::Duration;

use http::StatusCode;

use crate::{ErrorKind, model::ErrorBody};

/// Maximum number of requests per call.
const MAX_REQUESTS_PER_CALL: u32 = 12;
/// Pause before the first retry, before jitter.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
/// Maximum pause between retries, before jitter.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Pause after a 429 without a `Retry-After` header.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause that a `Retry-After` header can request.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// Reason why an attempt produced no usable response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptError {
    /// The API responded with an error status.
    ErrorResponse {
        status: StatusCode,
        retry_after: Option<Duration>,
        /// `None` if the body is not an error of the API.
        body: Option<ErrorBody>,
    },
    /// The API responded with a success status and an invalid body.
    InvalidResponse { status: StatusCode },
    /// The request was not written completely: there was no connection, or it was closed earlier.
    NotWritten,
    /// The connection was closed before the response was complete, and the request was or may have
    /// been written.
    ConnectionLost,
    /// There was no response in time, and the request was or may have been written.
    TimedOut,
    /// `not_after` passed before the request was written.
    NotAfterPassed,
}

/// Whether and when to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    /// Do not retry, because it would not help or is not safe.
    Never,
    /// Retry after a pause that grows with each attempt and is at least this long.
    Backoff { at_least: Duration },
    /// Retry when the account's quota grants the next permit, which is at the end of this pause or
    /// later.
    WaitForQuota { pause: Duration },
}

/// Returns the error kind of a failed attempt and whether a retry is safe and may help.
pub(crate) fn classify(idempotent: bool, error: &AttemptError) -> (ErrorKind, RetryDecision) {
    let retry = RetryDecision::Backoff {
        at_least: Duration::ZERO,
    };
    // A request that may have had an effect is retried only if it is idempotent.
    let ambiguous = |kind| {
        if idempotent {
            (kind, retry)
        } else {
            (ErrorKind::Ambiguous, RetryDecision::Never)
        }
    };
    match error {
        AttemptError::ErrorResponse {
            status,
            retry_after,
            body,
        } => classify_response(*status, *retry_after, body.as_ref(), ambiguous),
        AttemptError::InvalidResponse { .. } if idempotent => {
            (ErrorKind::InvalidResponse, RetryDecision::Never)
        }
        AttemptError::InvalidResponse { .. } => (ErrorKind::Ambiguous, RetryDecision::Never),
        AttemptError::NotWritten => (ErrorKind::Unavailable { sent: false }, retry),
        AttemptError::ConnectionLost => ambiguous(ErrorKind::Unavailable { sent: true }),
        AttemptError::TimedOut => ambiguous(ErrorKind::Timeout),
        AttemptError::NotAfterPassed => (ErrorKind::NotSent, RetryDecision::Never),
    }
}

fn classify_response(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Option<&ErrorBody>,
    ambiguous: impl FnOnce(ErrorKind) -> (ErrorKind, RetryDecision),
) -> (ErrorKind, RetryDecision) {
    let retry_after_pause = RetryDecision::Backoff {
        at_least: retry_after.unwrap_or_default(),
    };
    match status.as_u16() {
        423 => (ErrorKind::Locked, retry_after_pause),
        429 => {
            let pause = retry_after.unwrap_or(RATE_LIMIT_PAUSE);
            (
                ErrorKind::RateLimited { retry_after },
                RetryDecision::WaitForQuota { pause },
            )
        }
        503 if body.is_some() => (ErrorKind::Unavailable { sent: true }, retry_after_pause),
        // A proxy may send 408, or 503 without an error of the API, although the API has received
        // the request.
        408 | 500..=599 => ambiguous(ErrorKind::Unavailable { sent: true }),
        402 => (ErrorKind::LimitExceeded, RetryDecision::Never),
        400 | 403 | 412 | 422 if body.is_some_and(is_plan_error) => {
            (ErrorKind::PlanLimit, RetryDecision::Never)
        }
        403 | 422 if body.is_some_and(is_limit_error) => {
            (ErrorKind::LimitExceeded, RetryDecision::Never)
        }
        401 | 403 => (ErrorKind::Auth, RetryDecision::Never),
        404 => (ErrorKind::NotFound, RetryDecision::Never),
        409 => (ErrorKind::Conflict, RetryDecision::Never),
        412 => (ErrorKind::PreconditionFailed, RetryDecision::Never),
        400..=499 => (ErrorKind::Invalid, RetryDecision::Never),
        // A redirect, which the client does not follow, or an unexpected status.
        _ => (ErrorKind::InvalidResponse, RetryDecision::Never),
    }
}

/// Whether the error body reports that a limit of the plan or the account is reached.
fn is_limit_error(body: &ErrorBody) -> bool {
    let code = body.code.to_ascii_uppercase();
    let message = body.message.to_ascii_lowercase();
    code.contains("EXCEEDED")
        || code.contains("QUOTA")
        || code.contains("LIMIT_REACHED")
        || message.contains("limit exceeded")
        || message.contains("limit reached")
        || message.contains("quota exceeded")
}

/// Whether the error body reports that the account's plan does not allow a setting. These errors have
/// no code, so the messages that the service sends are matched.
fn is_plan_error(body: &ErrorBody) -> bool {
    let code = body.code.to_ascii_uppercase();
    let message = body.message.to_ascii_lowercase();
    code == "BRANCHES_PROTECTED_LIMIT_EXCEEDED"
        || message.contains("not permitted on this account")
        || message.contains("exceeds allowed maximum")
        || message.contains("not available on this account")
        || message.contains("of the plan")
        || message.contains("of your plan")
}

/// Returns the pause before the next request, or `None` if there must be none: a retry is not safe,
/// the call has made too many requests, or the pause exceeds the remaining time. `requests` is the
/// number of requests so far, `remaining` the time until the deadline, and `random` (0 to 1) the
/// jitter.
pub(crate) fn pause(
    decision: RetryDecision,
    requests: u32,
    remaining: Duration,
    random: f64,
) -> Option<Duration> {
    let pause = match decision {
        RetryDecision::Never => return None,
        RetryDecision::Backoff { at_least } => backoff(requests, at_least, random),
        RetryDecision::WaitForQuota { pause } => pause,
    };
    (requests < MAX_REQUESTS_PER_CALL && pause < remaining).then_some(pause)
}

/// Returns the pause before a retry. It doubles with each request, and `random` (0 to 1) spreads it
/// over its upper half.
fn backoff(requests: u32, at_least: Duration, random: f64) -> Duration {
    let doublings = requests.saturating_sub(1).min(16);
    let full = INITIAL_BACKOFF
        .saturating_mul(1 << doublings)
        .min(MAX_BACKOFF);
    (full / 2 + full.mul_f64(random.clamp(0.0, 1.0)) / 2).max(at_least)
}

#[cfg(test)]
mod tests;
