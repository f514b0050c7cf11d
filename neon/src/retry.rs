//! What an attempt's end means, and whether to try again. Pure: the one place that decides what is safe to send twice.

use std::time::Duration;

use http::StatusCode;

use crate::{ErrorKind, model::ErrorBody};

/// The most requests that one call makes.
pub(crate) const REQUESTS_MAX: u32 = 12;
/// The pause before the first retry, before jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest pause between retries, before jitter.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long the account pauses after a 429 that names no time.
pub(crate) const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);
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

/// The pause before a retry: it doubles with each request made so far, and `random` (0 to 1) spreads it over its upper half.
pub(crate) fn backoff(requests: u32, at_least: Duration, random: f64) -> Duration {
    let doublings = requests.saturating_sub(1).min(16);
    let full = BACKOFF_FIRST
        .saturating_mul(1 << doublings)
        .min(BACKOFF_MAX);
    (full / 2 + full.mul_f64(random.clamp(0.0, 1.0)) / 2).max(at_least)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16, code: &str) -> Failure {
        let body = ErrorBody {
            code: code.into(),
            ..ErrorBody::default()
        };
        Failure::Answered {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body,
        }
    }

    fn any_failure() -> impl Strategy<Value = Failure> {
        let status = (100..1000_u16).prop_map(|status| StatusCode::from_u16(status).unwrap());
        let answer = (
            status.clone(),
            prop::option::of(0..500_u64),
            ".{0,20}",
            ".{0,20}",
        )
            .prop_map(|(status, seconds, code, message)| {
                let retry_after = seconds.map(Duration::from_secs);
                Failure::Answered {
                    status,
                    retry_after,
                    body: ErrorBody {
                        code,
                        message,
                        request_id: None,
                    },
                }
            });
        prop_oneof![
            5 => answer,
            1 => status.prop_map(|status| Failure::Unreadable { status }),
            1 => Just(Failure::NotWritten),
            1 => Just(Failure::Lost),
            1 => Just(Failure::TimedOut),
            1 => Just(Failure::TooLate),
        ]
    }

    /// Whether the API surely did nothing: it said so, or never had the request.
    fn surely_nothing_was_done(failure: &Failure) -> bool {
        match failure {
            Failure::Answered { status, .. } => matches!(status.as_u16(), 423 | 429 | 503),
            Failure::NotWritten => true,
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_cannot_be_repeated_is_sent_again_only_if_surely_nothing_was_done(failure in any_failure()) {
            let (_, again) = judge(false, &failure);
            prop_assert_eq!(again != Again::Never, surely_nothing_was_done(&failure));
        }

        #[test]
        fn whatever_may_have_taken_effect_is_ambiguous_and_nothing_else_is(failure in any_failure()) {
            let may_have = match &failure {
                Failure::Answered { status, .. } => {
                    status.as_u16() == 408 || (500..600).contains(&status.as_u16()) && status.as_u16() != 503
                }
                Failure::Unreadable { .. } | Failure::Lost | Failure::TimedOut => true,
                Failure::NotWritten | Failure::TooLate => false,
            };
            prop_assert_eq!(judge(false, &failure).0 == ErrorKind::Ambiguous, may_have);
            prop_assert_ne!(judge(true, &failure).0, ErrorKind::Ambiguous);
        }

        #[test]
        fn an_idempotent_call_is_tried_again_at_least_as_often(failure in any_failure()) {
            let again = |idempotent| judge(idempotent, &failure).1 != Again::Never;
            prop_assert!(again(true) || !again(false));
        }

        #[test]
        fn the_pause_is_bounded_and_never_shorter_than_asked_for(requests in 0..u32::MAX, asked_ms in 0..10_000_u64, random in 0.0..=1.0) {
            let asked = Duration::from_millis(asked_ms);
            let pause = backoff(requests, asked, random);
            prop_assert!(pause >= asked && pause >= BACKOFF_FIRST / 2);
            prop_assert!(pause <= asked.max(BACKOFF_MAX));
            prop_assert!(pause <= backoff(requests.saturating_add(1), asked, 1.0), "it grows");
        }
    }

    #[test]
    fn each_answer_has_its_kind() {
        let table = [
            (400, "", ErrorKind::Invalid),
            (401, "", ErrorKind::Auth),
            (402, "", ErrorKind::LimitExceeded),
            (403, "", ErrorKind::Auth),
            (403, "COMPUTE_TIME_QUOTA", ErrorKind::LimitExceeded),
            (404, "", ErrorKind::NotFound),
            (409, "", ErrorKind::Conflict),
            (412, "", ErrorKind::PreconditionFailed),
            (422, "", ErrorKind::Invalid),
            (422, "PROJECTS_LIMIT_EXCEEDED", ErrorKind::LimitExceeded),
            (423, "", ErrorKind::Locked),
            (429, "", ErrorKind::RateLimited { retry_after: None }),
            (500, "", ErrorKind::Unavailable { sent: true }),
            (503, "", ErrorKind::Unavailable { sent: true }),
            (524, "", ErrorKind::Unavailable { sent: true }),
            (302, "", ErrorKind::NotJson),
            (418, "", ErrorKind::Invalid),
        ];
        for (status, code, kind) in table {
            assert_eq!(
                judge(true, &answered(status, code)).0,
                kind,
                "{status} {code}"
            );
        }
    }

    #[test]
    fn a_limit_is_also_known_by_its_message() {
        let body = ErrorBody {
            message: "Projects limit exceeded for this plan".into(),
            ..ErrorBody::default()
        };
        assert!(names_a_limit(&body));
        assert!(!names_a_limit(&ErrorBody {
            message: "limit must be at most 400".into(),
            ..ErrorBody::default()
        }));
    }
}
