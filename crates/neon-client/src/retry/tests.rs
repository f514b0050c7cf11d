//! Which requests are retried, how often and after which pauses.

use proptest::prelude::*;

use super::*;

fn error_response(status: u16, code: &str) -> AttemptError {
    let body = ErrorBody {
        code: code.into(),
        ..ErrorBody::default()
    };
    AttemptError::ErrorResponse {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        body: Some(body),
    }
}

fn any_attempt_error() -> impl Strategy<Value = AttemptError> {
    // Without them, most runs would contain none of the statuses that are handled differently.
    let special = prop::sample::select(vec![408, 423, 429, 500, 502, 503, 504]);
    let status = prop_oneof![100..1000_u16, special]
        .prop_map(|status| StatusCode::from_u16(status).unwrap());
    let answer = (
        status.clone(),
        prop::option::of(0..500_u64),
        ".{0,20}",
        ".{0,20}",
        any::<bool>(),
    )
        .prop_map(|(status, seconds, code, message, is_json)| {
            let retry_after = seconds.map(Duration::from_secs);
            AttemptError::ErrorResponse {
                status,
                retry_after,
                body: is_json.then_some(ErrorBody {
                    code,
                    message,
                    request_id: None,
                }),
            }
        });
    prop_oneof![
        5 => answer,
        1 => status.prop_map(|status| AttemptError::InvalidResponse { status }),
        1 => Just(AttemptError::NotWritten),
        1 => Just(AttemptError::ConnectionLost),
        1 => Just(AttemptError::TimedOut),
        1 => Just(AttemptError::NotAfterPassed),
    ]
}

/// Whether the request certainly had no effect: the API rejected it or never received it.
fn certainly_had_no_effect(failure: &AttemptError) -> bool {
    match failure {
        AttemptError::ErrorResponse { status, body, .. } => match status.as_u16() {
            423 | 429 => true,
            503 => body.is_some(),
            _ => false,
        },
        AttemptError::NotWritten => true,
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_request_that_is_not_idempotent_is_retried_only_if_it_certainly_had_no_effect(failure in any_attempt_error()) {
        let (_, again) = classify(false, &failure);
        prop_assert_eq!(again != RetryDecision::Never, certainly_had_no_effect(&failure));
    }

    #[test]
    fn exactly_the_requests_that_may_have_had_an_effect_are_ambiguous(failure in any_attempt_error()) {
        let may_have = match &failure {
            AttemptError::ErrorResponse { status, body, .. } => {
                let from_api = status.as_u16() == 503 && body.is_some();
                status.as_u16() == 408 || (500..600).contains(&status.as_u16()) && !from_api
            }
            AttemptError::InvalidResponse { .. } | AttemptError::ConnectionLost | AttemptError::TimedOut => true,
            AttemptError::NotWritten | AttemptError::NotAfterPassed => false,
        };
        prop_assert_eq!(classify(false, &failure).0 == ErrorKind::Ambiguous, may_have);
        prop_assert_ne!(classify(true, &failure).0, ErrorKind::Ambiguous);
    }

    #[test]
    fn an_idempotent_call_is_retried_at_least_as_often(failure in any_attempt_error()) {
        let again = |idempotent| classify(idempotent, &failure).1 != RetryDecision::Never;
        prop_assert!(again(true) || !again(false));
    }

    /// For any sequence of failures, a call respects its request limit and its deadline, and a
    /// request that is not idempotent is not repeated after one that may have had an effect.
    #[test]
    fn no_call_exceeds_its_limits_or_repeats_a_request_that_may_have_had_an_effect(
        idempotent in any::<bool>(),
        failures in prop::collection::vec((any_attempt_error(), 0..2_000_u64, 0.0..=1.0), MAX_REQUESTS_PER_CALL as usize + 1),
        deadline_ms in 1..120_000_u64,
    ) {
        let deadline = Duration::from_millis(deadline_ms);
        let (mut elapsed, mut requests) = (Duration::ZERO, 0);
        let mut may_have_had_effect = false;
        for (failure, took_ms, random) in failures {
            prop_assert!(elapsed < deadline, "a request starts after {elapsed:?}, later than the deadline {deadline:?}");
            prop_assert!(idempotent || !may_have_had_effect, "retried after an unknown outcome");
            requests += 1;
            elapsed += Duration::from_millis(took_ms);
            may_have_had_effect |= !certainly_had_no_effect(&failure);
            let again = classify(idempotent, &failure).1;
            match pause(again, requests, deadline.saturating_sub(elapsed), random) {
                Some(pause) => elapsed += pause,
                None => break,
            }
        }
        prop_assert!(requests <= MAX_REQUESTS_PER_CALL);
    }

    /// A request that is safe to repeat is retried as long as the limits allow it.
    #[test]
    fn a_rejected_request_is_retried_while_time_remains(status in prop::sample::select(vec![423_u16, 429, 503]), requests in 1..MAX_REQUESTS_PER_CALL, random in 0.0..=1.0) {
        let (_, again) = classify(false, &error_response(status, ""));
        prop_assert!(pause(again, requests, MAX_BACKOFF * 2, random).is_some());
        prop_assert_eq!(pause(again, MAX_REQUESTS_PER_CALL, MAX_BACKOFF * 2, random), None);
        prop_assert_eq!(pause(again, requests, Duration::ZERO, random), None);
    }

    #[test]
    fn the_pause_is_bounded_and_never_shorter_than_requested(requests in 0..u32::MAX, requested_ms in 0..10_000_u64, random in 0.0..=1.0) {
        let requested = Duration::from_millis(requested_ms);
        let pause = backoff(requests, requested, random);
        prop_assert!(pause >= requested && pause >= INITIAL_BACKOFF / 2);
        prop_assert!(pause <= requested.max(MAX_BACKOFF));
        prop_assert!(pause <= backoff(requests.saturating_add(1), requested, 1.0), "the pause grows");
    }
}

#[test]
fn each_status_maps_to_its_error_kind() {
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
        (302, "", ErrorKind::InvalidResponse),
        (418, "", ErrorKind::Invalid),
    ];
    for (status, code, kind) in table {
        assert_eq!(
            classify(true, &error_response(status, code)).0,
            kind,
            "{status} {code}"
        );
    }
}

#[test]
fn a_setting_that_the_plan_does_not_allow_is_recognized_by_its_message() {
    let messages = [
        (
            412,
            "modifying the suspend interval is not permitted on this account",
        ),
        (
            400,
            "requested history retention seconds exceeds allowed maximum; \
             requested_history_retention_seconds:\"86400\", max:\"21600\"",
        ),
    ];
    for (status, message) in messages {
        let error = AttemptError::ErrorResponse {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: Some(ErrorBody {
                message: message.to_owned(),
                ..ErrorBody::default()
            }),
        };
        assert_eq!(
            classify(false, &error),
            (ErrorKind::PlanLimit, RetryDecision::Never),
            "{message}"
        );
    }
    let protected = error_response(422, "BRANCHES_PROTECTED_LIMIT_EXCEEDED");
    assert_eq!(classify(false, &protected).0, ErrorKind::PlanLimit);
}

#[test]
fn a_limit_error_is_also_recognized_by_its_message() {
    let body = ErrorBody {
        message: "Projects limit exceeded for this plan".into(),
        ..ErrorBody::default()
    };
    assert!(is_limit_error(&body));
    assert!(!is_limit_error(&ErrorBody {
        message: "limit must be at most 400".into(),
        ..ErrorBody::default()
    }));
}
