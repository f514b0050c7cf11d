//! Which error means what: the reason that people read, and whether it passes by itself.

use neon_client::Route;

use super::*;

fn of_neon(kind: ErrorKind) -> ReconcileError {
    ReconcileError::neon(
        Component::Credentials,
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
            ErrorKind::NotJson,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::NotSent,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
        (
            ErrorKind::Deadline,
            Reason::AccountUnreachable,
            Retry::Backoff,
        ),
    ];
    for (kind, reason, retry) in rows {
        let failure = of_neon(kind);
        assert_eq!(
            (failure.component, failure.reason, failure.retry),
            (Component::Credentials, reason, retry),
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
        ErrorKind::Deadline,
        ErrorKind::NotJson,
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
        let failure = ReconcileError::cluster(Component::Project, &error);
        assert_eq!(
            (failure.reason, failure.retry),
            (Reason::KubernetesError, retry),
            "{error}"
        );
    }
}

#[test]
fn what_a_person_has_to_mend_stalls_and_the_rest_goes_on() {
    let issue = Issue {
        component: Component::Schema,
        reason: Reason::NeonRequestRejected,
        message: "m".to_owned(),
    };
    let failure = |retry| ReconcileError {
        component: Component::Schema,
        reason: Reason::NeonRequestRejected,
        message: "m".to_owned(),
        retry,
    };
    for passing in [Retry::Backoff, Retry::After(Duration::ZERO)] {
        assert_eq!(
            failure(passing).outcome(false),
            StatusOutcome::InProgress(issue.clone())
        );
        assert_eq!(
            failure(passing).outcome(true),
            StatusOutcome::Deleting(issue.clone())
        );
    }
    assert_eq!(
        failure(Retry::OnChange).outcome(false),
        StatusOutcome::Stalled(issue.clone())
    );
    assert_eq!(
        failure(Retry::OnChange).outcome(true),
        StatusOutcome::DeletionStalled(issue)
    );
    assert_eq!(
        ReconcileError::transient(Component::Schema, Reason::NeonRequestRejected, "m"),
        failure(Retry::Backoff)
    );
    assert_eq!(
        ReconcileError::permanent(Component::Schema, Reason::NeonRequestRejected, "m"),
        failure(Retry::OnChange)
    );
}

#[test]
fn an_account_that_cannot_be_listed_refuses_with_the_same_reasons() {
    let issue = account_issue(&neon_client::Error::new(
        Route::ListProjects,
        ErrorKind::Auth,
    ));
    assert_eq!(issue.reason, Reason::Unauthorized);
    assert!(
        issue
            .message
            .starts_with("the account cannot be listed: "),
        "{}",
        issue.message
    );
}
