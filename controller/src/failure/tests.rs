//! Which error means what: the reason that people read, and whether it passes by itself.

use neon_client::Route;

use super::*;

fn of_neon(kind: ErrorKind) -> Failure {
    Failure::neon(
        Area::Credentials,
        "reading the project's credentials",
        &neon_client::Error::new(Route::GetProject, kind),
    )
}

#[test]
fn each_answer_of_neons_has_its_reason_and_its_retry() {
    let rows = [
        (ErrorKind::Auth, Reason::Unauthorized, Retry::OnChange),
        (
            ErrorKind::LimitExceeded,
            Reason::AccountLimit,
            Retry::OnChange,
        ),
        (
            ErrorKind::Invalid,
            Reason::NeonRequestRejected,
            Retry::OnChange,
        ),
        (
            ErrorKind::NotFound,
            Reason::NeonRequestRejected,
            Retry::OnChange,
        ),
        (
            ErrorKind::PreconditionFailed,
            Reason::NeonRequestRejected,
            Retry::OnChange,
        ),
        (
            ErrorKind::Conflict,
            Reason::NeonRequestRejected,
            Retry::Backoff,
        ),
        (ErrorKind::Locked, Reason::OperationsRunning, Retry::Backoff),
        (
            ErrorKind::RateLimited { retry_after: None },
            Reason::RateLimited,
            Retry::After(RATE_LIMITED_RETRY),
        ),
        (
            ErrorKind::Unavailable { sent: true },
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::Unavailable { sent: false },
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::Ambiguous,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::InvalidResponse,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::NotSent,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::Timeout,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
    ];
    for (kind, reason, retry) in rows {
        let failure = of_neon(kind);
        assert_eq!(
            (failure.area, failure.reason, failure.retry),
            (Area::Credentials, reason, retry),
            "{kind}"
        );
        assert!(
            failure
                .message
                .starts_with("reading the project's credentials: "),
            "{}",
            failure.message
        );
    }
}

#[test]
fn only_a_lasting_error_stalls_and_whatever_is_transient_is_tried_again() {
    let kinds = [
        ErrorKind::Locked,
        ErrorKind::RateLimited {
            retry_after: Some(Duration::from_secs(1)),
        },
        ErrorKind::Unavailable { sent: true },
        ErrorKind::NotSent,
        ErrorKind::Timeout,
        ErrorKind::InvalidResponse,
    ];
    for kind in kinds {
        assert!(kind.is_transient());
        assert_ne!(of_neon(kind).retry, Retry::OnChange, "{kind}");
    }
}

#[test]
fn each_answer_of_the_api_server_has_its_retry() {
    let source = || kube::Error::LinesCodecMaxLineLengthExceeded;
    let rows = [
        (
            ClusterError::Conflict { what: "apply" },
            Retry::After(CONFLICT_RETRY),
        ),
        (
            ClusterError::NotFound { what: "apply" },
            Retry::After(CONFLICT_RETRY),
        ),
        (ClusterError::Exists { what: "apply" }, Retry::Backoff),
        (
            ClusterError::Unavailable {
                what: "apply",
                source: source(),
            },
            Retry::Backoff,
        ),
        (
            ClusterError::Refused {
                what: "apply",
                message: "no".to_owned(),
            },
            Retry::Backoff,
        ),
    ];
    for (error, retry) in rows {
        let failure = Failure::cluster(Area::Project, &error);
        assert_eq!(
            (failure.reason, failure.retry),
            (Reason::KubernetesError, retry),
            "{error}"
        );
    }
}

#[test]
fn what_a_person_has_to_mend_stalls_and_the_rest_goes_on() {
    let finding = Finding {
        area: Area::Schema,
        reason: Reason::NeonRequestRejected,
        message: "m".to_owned(),
    };
    let failure = |retry| Failure {
        area: Area::Schema,
        reason: Reason::NeonRequestRejected,
        message: "m".to_owned(),
        retry,
    };
    for passing in [Retry::Backoff, Retry::After(Duration::ZERO)] {
        assert_eq!(
            failure(passing).verdict(false),
            Verdict::Progress(finding.clone())
        );
        assert_eq!(
            failure(passing).verdict(true),
            Verdict::Deleting(finding.clone())
        );
    }
    assert_eq!(
        failure(Retry::OnChange).verdict(false),
        Verdict::Stalled(finding.clone())
    );
    assert_eq!(
        failure(Retry::OnChange).verdict(true),
        Verdict::DeletionStalled(finding)
    );
    assert_eq!(
        Failure::passing(Area::Schema, Reason::NeonRequestRejected, "m"),
        failure(Retry::Backoff)
    );
    assert_eq!(
        Failure::lasting(Area::Schema, Reason::NeonRequestRejected, "m"),
        failure(Retry::OnChange)
    );
}

#[test]
fn an_account_that_cannot_be_listed_refuses_with_the_same_reasons() {
    let refusal = account_refusal(&neon_client::Error::new(
        Route::ListProjects,
        ErrorKind::Auth,
    ));
    assert_eq!(refusal.reason, Reason::Unauthorized);
    assert!(
        refusal
            .message
            .starts_with("the account cannot be listed: "),
        "{}",
        refusal.message
    );
}
