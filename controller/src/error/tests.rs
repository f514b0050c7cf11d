//! The reason and the retry of each error.

use neon_client::Route;

use super::*;

fn neon_error(kind: ErrorKind) -> ReconcileError {
    ReconcileError::neon(
        Component::Credentials,
        "read the project's credentials",
        neon_client::Error::new(Route::GetProject, kind),
    )
}

#[test]
fn each_neon_error_has_its_reason_and_retry() {
    let rows = [
        (ErrorKind::Auth, Reason::Unauthorized, Retry::OnChange),
        (
            ErrorKind::LimitExceeded,
            Reason::AccountLimit,
            Retry::OnChange,
        ),
        (ErrorKind::PlanLimit, Reason::PlanLimit, Retry::OnChange),
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
        let error = neon_error(kind);
        assert_eq!(
            (error.issue.component, error.issue.reason, error.retry),
            (Component::Credentials, reason, retry),
            "{kind}"
        );
        let message = error.to_issue().message;
        assert!(
            message.starts_with("failed to read the project's credentials: "),
            "{message}"
        );
    }
}

#[test]
fn transient_neon_errors_are_retried() {
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
        assert_ne!(neon_error(kind).retry, Retry::OnChange, "{kind}");
    }
}

#[test]
fn each_error_of_the_api_server_has_its_retry() {
    let source = || kube::Error::LinesCodecMaxLineLengthExceeded;
    let rows = [
        (ClusterError::Conflict { what: "apply" }, Retry::Conflict),
        (ClusterError::NotFound { what: "apply" }, Retry::Conflict),
        (ClusterError::Exists { what: "apply" }, Retry::Backoff),
        (
            ClusterError::Unavailable {
                what: "apply",
                source: source(),
            },
            Retry::Backoff,
        ),
        (
            ClusterError::Rejected {
                what: "apply",
                message: "no".to_owned(),
            },
            Retry::Backoff,
        ),
    ];
    for (error, retry) in rows {
        let error = ReconcileError::cluster(Component::Project, error);
        assert_eq!(
            (error.issue.reason, error.retry),
            (Reason::KubernetesError, retry),
            "{error:?}"
        );
    }
}

#[test]
fn the_issue_of_an_error_contains_its_causes() {
    let error = ReconcileError::permanent(Component::Schema, Reason::MigrationFailed, "failed")
        .with_source(std::io::Error::other("connection reset"));
    assert_eq!(error.to_string(), "failed");
    assert_eq!(error.to_issue().message, "failed: connection reset");
}

#[test]
fn an_outdated_or_deposed_reconciliation_writes_no_status() {
    for (retry, writes) in [
        (Retry::After(Duration::ZERO), true),
        (Retry::Backoff, true),
        (Retry::OnChange, true),
        (Retry::Conflict, false),
        (Retry::NotLeader, false),
    ] {
        assert_eq!(retry.may_write_status(), writes, "{retry:?}");
    }
}

#[test]
fn a_failed_listing_gives_the_account_the_same_reasons() {
    let issue = account_issue(&neon_client::Error::new(
        Route::ListProjects,
        ErrorKind::Auth,
    ));
    assert_eq!(issue.reason, Reason::Unauthorized);
    assert!(
        issue
            .message
            .starts_with("failed to list the account's projects: "),
        "{}",
        issue.message
    );
}

#[test]
fn the_advice_for_a_plan_limit_names_the_field() {
    for (message, field) in [
        (
            "modifying the suspend interval is not permitted on this account",
            "compute.suspendTimeoutSeconds",
        ),
        (
            "requested history retention seconds exceeds allowed maximum",
            "historyRetentionSeconds",
        ),
        ("IP Allow is not available on this account", "allowedIPs"),
        (
            "autoscaling_limit_max_cu 4 exceeds the maximum of the plan",
            "compute.maxCU",
        ),
    ] {
        let advice = plan_advice(message);
        assert!(advice.contains(field), "{message}: {advice}");
    }
}
