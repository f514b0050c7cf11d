//! What an attempt's end means, and whether to try again. Pure: the one place that decides what is safe to send twice.

use std::time::Duration;

use http::StatusCode;

use crate::{ErrorKind, model::ErrorBody};

/// The most requests that one call makes.
const REQUESTS_MAX: u32 = 12;
/// The pause before the first retry, before jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest pause between retries, before jitter.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long the account pauses after a 429 that names no time.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that an answer can ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// How an attempt ended that brought no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The API answered with something other than success.
    Answered {
        status: StatusCode,
        retry_after: Option<Duration>,
        body: ErrorBody,
    },
    /// It answered with success, but the body is not what it should be.
    Unreadable { status: StatusCode },
    /// The request was not written in full: there was no connection, or it broke before.
    NotWritten,
    /// The connection broke after the request was written, or may have been, and before the answer was complete.
    Lost,
    /// No answer in time, after the request was written, or may have been.
    TimedOut,
    /// Its time to be sent was over before it was written.
    TooLate,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Never: it would not help, or is not safe.
    Never,
    /// After a pause that grows with each try, and at least this long.
    Backoff { at_least: Duration },
    /// When the account's quota gives the next turn, which is not before this pause is over.
    NextTurn { pause: Duration },
}

/// What a failure is to the caller if it is the last, and whether one more try is safe and may help.
pub(crate) fn judge(idempotent: bool, failure: &Failure) -> (ErrorKind, Again) {
    let again = Again::Backoff {
        at_least: Duration::ZERO,
    };
    // What may have taken effect is tried again only where twice is as good as once.
    let unknown = |kind| {
        if idempotent {
            (kind, again)
        } else {
            (ErrorKind::Ambiguous, Again::Never)
        }
    };
    match failure {
        Failure::Answered {
            status,
            retry_after,
            body,
        } => judge_answer(*status, *retry_after, body, unknown),
        Failure::Unreadable { .. } if idempotent => (ErrorKind::NotJson, Again::Never),
        Failure::Unreadable { .. } => (ErrorKind::Ambiguous, Again::Never),
        Failure::NotWritten => (ErrorKind::Unavailable { sent: false }, again),
        Failure::Lost => unknown(ErrorKind::Unavailable { sent: true }),
        Failure::TimedOut => unknown(ErrorKind::Deadline),
        Failure::TooLate => (ErrorKind::NotSent, Again::Never),
    }
}

fn judge_answer(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &ErrorBody,
    unknown: impl FnOnce(ErrorKind) -> (ErrorKind, Again),
) -> (ErrorKind, Again) {
    let refused = Again::Backoff {
        at_least: retry_after.unwrap_or_default(),
    };
    match status.as_u16() {
        423 => (ErrorKind::Locked, refused),
        429 => {
            let pause = retry_after.unwrap_or(RATE_LIMIT_PAUSE);
            (
                ErrorKind::RateLimited { retry_after },
                Again::NextTurn { pause },
            )
        }
        503 => (ErrorKind::Unavailable { sent: true }, refused),
        // 408 comes from something between that gave up: the API may have the request all the same.
        408 | 500..=599 => unknown(ErrorKind::Unavailable { sent: true }),
        402 => (ErrorKind::LimitExceeded, Again::Never),
        403 | 422 if names_a_limit(body) => (ErrorKind::LimitExceeded, Again::Never),
        401 | 403 => (ErrorKind::Auth, Again::Never),
        404 => (ErrorKind::NotFound, Again::Never),
        409 => (ErrorKind::Conflict, Again::Never),
        412 => (ErrorKind::PreconditionFailed, Again::Never),
        400..=499 => (ErrorKind::Invalid, Again::Never),
        // A redirect, which is not followed, or a status that no answer should have.
        _ => (ErrorKind::NotJson, Again::Never),
    }
}

/// Whether the API's words say that a limit of the plan or the account is reached.
fn names_a_limit(body: &ErrorBody) -> bool {
    let code = body.code.to_ascii_uppercase();
    let message = body.message.to_ascii_lowercase();
    code.contains("EXCEEDED")
        || code.contains("QUOTA")
        || code.contains("LIMIT_REACHED")
        || message.contains("limit exceeded")
        || message.contains("limit reached")
        || message.contains("quota exceeded")
}

/// How long to pause before the next request, or `None` where there must be none: it is not safe, too many were made, or the deadline
/// comes first. `requests` is how many were made, `left` the time until the deadline, `random` (0 to 1) spreads the pauses.
pub(crate) fn pause(again: Again, requests: u32, left: Duration, random: f64) -> Option<Duration> {
    let pause = match again {
        Again::Never => return None,
        Again::Backoff { at_least } => backoff(requests, at_least, random),
        Again::NextTurn { pause } => pause,
    };
    (requests < REQUESTS_MAX && pause < left).then_some(pause)
}

/// The pause before a retry: it doubles with each request made so far, and `random` (0 to 1) spreads it over its upper half.
fn backoff(requests: u32, at_least: Duration, random: f64) -> Duration {
    let doublings = requests.saturating_sub(1).min(16);
    let full = BACKOFF_FIRST
        .saturating_mul(1 << doublings)
        .min(BACKOFF_MAX);
    (full / 2 + full.mul_f64(random.clamp(0.0, 1.0)) / 2).max(at_least)
}

#[cfg(test)]
mod tests;
