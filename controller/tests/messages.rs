//! Snapshots of the texts that users read in statuses, events and logs.
//!
//! Other tests assert on reasons. After a change of a text, run the test with
//! `INSTA_UPDATE=always` and review the difference of the snapshot.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use controller::cluster::ClusterError;
use controller::error::{ReconcileError, account_issue};
use controller::issue::{Component, Issue};
use controller::migrations::{
    DatabaseConnectError, MigrationError, MigrationSetError, ServerError, StatementError,
};
use controller::tenant::status::{StatusInput, StatusOutcome, build_status};
use crds::{ProjectStatus, Reason, SchemaStatus, TenantStatus};
use neon_client::{ErrorKind, Route};
use service_kit::error_chain;

#[test]
fn statuses() {
    let issue = |component, reason| Issue::new(component, reason, "<message of the issue>");
    let outcomes = [
        StatusOutcome::Ready,
        StatusOutcome::Suspended,
        StatusOutcome::InProgress(issue(Component::Project, Reason::Waiting)),
        StatusOutcome::InProgress(issue(Component::Project, Reason::CreatingProject)),
        StatusOutcome::InProgress(issue(Component::Credentials, Reason::UpdatingSecret)),
        StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::ProjectNotFound)),
        StatusOutcome::Stalled(issue(Component::Credentials, Reason::SecretConflict)),
        StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed)),
    ];
    let mut text = String::new();
    for (name, status, complete) in [
        ("new", TenantStatus::default(), false),
        ("provisioned", provisioned(), true),
    ] {
        for outcome in &outcomes {
            let input = StatusInput {
                generation: Some(7),
                deleting: false,
                credentials: complete,
                schema: complete,
                connected: false,
                now: jiff::Timestamp::UNIX_EPOCH,
            };
            let status = build_status(status.clone(), outcome, input);
            let outcome = match outcome {
                StatusOutcome::Ready => "ready".to_owned(),
                StatusOutcome::Suspended => "suspended".to_owned(),
                StatusOutcome::InProgress(issue) => format!("in progress, {}", issue.reason),
                StatusOutcome::Stalled(issue) => format!("stalled, {}", issue.reason),
            };
            let phase = status.phase.expect("a phase");
            writeln!(text, "{name} Tenant, {outcome}: phase {phase:?}").expect("written");
            for condition in &status.conditions {
                let (kind, reason, message) =
                    (&condition.type_, &condition.reason, &condition.message);
                let state = &condition.status;
                writeln!(text, "    {kind}={state} {reason}: {message}").expect("written");
            }
        }
    }
    insta::assert_snapshot!(text);
}

/// The status of a Tenant with a project, a Secret and schema version 3.
fn provisioned() -> TenantStatus {
    TenantStatus {
        project: Some(ProjectStatus {
            id: "calm-sea-1".to_owned(),
            region: "aws-eu-central-1".to_owned(),
            name: "acme/one".to_owned(),
            branch_id: None,
            endpoint_id: None,
            adopted: false,
            reclaimed: false,
            checked_at: None,
        }),
        schema: Some(SchemaStatus {
            version: Some(3),
            target: Some(3),
            checksum: None,
            applied_at: None,
            rollout: None,
            project_id: Some("calm-sea-1".to_owned()),
        }),
        ..TenantStatus::default()
    }
}

#[test]
fn errors_of_reconciliations() {
    let mut errors: Vec<ReconcileError> = [
        ErrorKind::Auth,
        ErrorKind::NotFound,
        ErrorKind::Locked,
        ErrorKind::RateLimited {
            retry_after: Some(Duration::from_secs(5)),
        },
        ErrorKind::LimitExceeded,
        ErrorKind::PlanLimit,
        ErrorKind::Invalid,
        ErrorKind::Conflict,
        ErrorKind::PreconditionFailed,
        ErrorKind::Unavailable { sent: true },
        ErrorKind::Unavailable { sent: false },
        ErrorKind::Ambiguous,
        ErrorKind::InvalidResponse,
        ErrorKind::NotSent,
        ErrorKind::Timeout,
    ]
    .into_iter()
    .map(|kind| {
        let error = neon_client::Error::new(Route::GetProject, kind);
        ReconcileError::neon(Component::Project, "read the project", error)
    })
    .collect();
    let what = "write the Secret";
    errors.extend(
        [
            ClusterError::Conflict { what },
            ClusterError::NotFound { what },
            ClusterError::Exists { what },
            ClusterError::Rejected {
                what,
                message: "secrets is forbidden".to_owned(),
            },
            ClusterError::Unavailable {
                what,
                source: kube::Error::Service("connection refused".into()),
            },
        ]
        .map(|error| ReconcileError::cluster(Component::Credentials, error)),
    );
    errors.push(ReconcileError::not_leader(Component::Project));
    errors.push(
        account_issue(&neon_client::Error::new(
            Route::ListProjects,
            ErrorKind::Auth,
        ))
        .into(),
    );
    let mut text = String::new();
    for error in errors {
        let (issue, retry) = (error.to_issue(), error.retry);
        writeln!(text, "{} ({retry:?}): {}", issue.reason, issue.message).expect("written");
    }
    insta::assert_snapshot!(text);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of all errors")]
fn errors_of_migrations() {
    let (address, file) = (
        || "db.example:5432".to_owned(),
        || "0002_threads.sql".to_owned(),
    );
    let server = |code: &str, message: &str| ServerError {
        code: code.to_owned(),
        message: Some(message.to_owned()),
        hint: None,
    };
    let unreachable = |source| MigrationError::Unreachable {
        address: address(),
        attempts: 4,
        waited: Duration::from_secs(30),
        source: Box::new(source),
    };
    let statement = |line, hint: Option<&str>| {
        MigrationError::Statement(Box::new(StatementError {
            file: file(),
            line,
            server: ServerError {
                hint: hint.map(str::to_owned),
                ..server("42703", "column \"titel\" does not exist")
            },
        }))
    };
    let errors = [
        MigrationError::PlaintextRefused { address: address() },
        MigrationError::InvalidHost { address: address() },
        unreachable(DatabaseConnectError::Io(io::Error::other(
            "connection refused",
        ))),
        unreachable(DatabaseConnectError::TimedOut(Duration::from_millis(2500))),
        unreachable(DatabaseConnectError::Protocol(
            "unexpected message".to_owned(),
        )),
        unreachable(DatabaseConnectError::Server(server(
            "XX000",
            "Your project has exceeded the active time quota.",
        ))),
        unreachable(DatabaseConnectError::Server(server(
            "XX000",
            "This IP address 192.0.2.1 is not allowed to connect to this endpoint.",
        ))),
        unreachable(DatabaseConnectError::Server(server(
            "XX000",
            "The endpoint has been disabled. Enable it using the API and retry.",
        ))),
        MigrationError::Server {
            operation: "recording a migration".to_owned(),
            server: server(
                "53100",
                "could not extend file because project size limit (512 MB) has been exceeded",
            ),
        },
        MigrationError::Untrusted {
            address: address(),
            message: "the certificate is for another host".to_owned(),
        },
        MigrationError::Authentication {
            role: "owner".to_owned(),
            server: server("28P01", "password authentication failed"),
        },
        MigrationError::DatabaseMissing {
            server: server("3D000", "database \"app\" does not exist"),
        },
        MigrationError::Locked {
            waited: Duration::from_mins(1),
        },
        statement(Some(14), Some("Perhaps you meant \"title\".")),
        statement(None, None),
        MigrationError::Server {
            operation: "reading the applied migrations".to_owned(),
            server: server("42501", "permission denied"),
        },
        MigrationError::Interrupted {
            operation: "applying 0002_threads.sql".to_owned(),
            source: DatabaseConnectError::Io(io::Error::other("connection reset")),
        },
        MigrationError::TimedOut {
            operation: "applying 0002_threads.sql".to_owned(),
            limit: Duration::from_mins(5),
        },
        MigrationError::Changed {
            version: 2,
            file: file(),
            only_line_endings: false,
        },
        MigrationError::Changed {
            version: 2,
            file: file(),
            only_line_endings: true,
        },
        MigrationError::Missing { version: 2 },
        MigrationError::Ahead {
            version: 5,
            target: 3,
        },
        MigrationError::Dirty {
            version: 2,
            file: file(),
        },
        MigrationError::Repeated {
            version: 2,
            statement: Box::new(StatementError {
                file: file(),
                line: Some(2),
                server: server("42710", "enum label \"sad\" already exists"),
            }),
        },
        MigrationError::InvalidMigrationsTable {
            problem: "it has triggers",
        },
    ];
    let mut text = String::new();
    for error in errors {
        let retry = if error.is_transient() {
            "transient"
        } else {
            "permanent"
        };
        writeln!(
            text,
            "{} ({retry}): {}",
            error.reason(),
            error_chain(&error)
        )
        .expect("written");
        if let Some(hint) = error.hint(None) {
            writeln!(text, "    {hint}").expect("written");
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_sets_of_migrations() {
    let file = || "0002_threads.sql".to_owned();
    let errors = [
        MigrationSetError::Empty,
        MigrationSetError::InvalidFileName {
            file: "threads.sql".to_owned(),
            problem: "the name must begin with a version",
        },
        MigrationSetError::DuplicateVersion {
            first: "0001_a.sql".to_owned(),
            second: "1_b.sql".to_owned(),
        },
        MigrationSetError::MultipleStatements {
            file: file(),
            count: 3,
        },
        MigrationSetError::NoStatement { file: file() },
        MigrationSetError::Unterminated {
            file: file(),
            line: 4,
            what: "unterminated string",
        },
        MigrationSetError::Forbidden {
            file: file(),
            line: 4,
            what: "COMMIT: each file already runs in a transaction",
        },
        MigrationSetError::TooLarge,
        MigrationSetError::Unreadable {
            path: "/migrations".into(),
            source: io::Error::other("permission denied"),
        },
    ];
    let mut text = String::new();
    for error in errors {
        writeln!(text, "{}", error_chain(&error)).expect("written");
    }
    insta::assert_snapshot!(text);
}
