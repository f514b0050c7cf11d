//! What is safe to send twice, and how often and how fast it is.

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

    /// Whatever answers come: a call makes at most so many requests, none after its deadline, and what cannot be repeated is not
    /// sent again after a request that may have done something.
    #[test]
    fn no_call_goes_beyond_its_limits_or_repeats_what_may_have_been_done(
        idempotent in any::<bool>(),
        failures in prop::collection::vec((any_failure(), 0..2_000_u64, 0.0..=1.0), REQUESTS_MAX as usize + 1),
        deadline_ms in 1..120_000_u64,
    ) {
        let deadline = Duration::from_millis(deadline_ms);
        let (mut elapsed, mut requests) = (Duration::ZERO, 0);
        let mut may_have_been_done = false;
        for (failure, took_ms, random) in failures {
            prop_assert!(elapsed < deadline, "a request begins {elapsed:?} after the call, past {deadline:?}");
            prop_assert!(idempotent || !may_have_been_done, "sent again, with an unknown fate before");
            requests += 1;
            elapsed += Duration::from_millis(took_ms);
            may_have_been_done |= !surely_nothing_was_done(&failure);
            let again = judge(idempotent, &failure).1;
            match pause(again, requests, deadline.saturating_sub(elapsed), random) {
                Some(pause) => elapsed += pause,
                None => break,
            }
        }
        prop_assert!(requests <= REQUESTS_MAX);
    }

    /// Patience is used: what is safe to send again is, as long as the limits allow it.
    #[test]
    fn a_refusal_with_time_left_is_sent_again(status in prop::sample::select(vec![423_u16, 429, 503]), requests in 1..REQUESTS_MAX, random in 0.0..=1.0) {
        let (_, again) = judge(false, &answered(status, ""));
        prop_assert!(pause(again, requests, BACKOFF_MAX * 2, random).is_some());
        prop_assert_eq!(pause(again, REQUESTS_MAX, BACKOFF_MAX * 2, random), None);
        prop_assert_eq!(pause(again, requests, Duration::ZERO, random), None);
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
