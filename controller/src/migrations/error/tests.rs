use neon_client::PUBLISHED_MESSAGES;

use super::*;

/// SQLSTATEs with which Neon's proxy sends the same message.
const SQLSTATES: [&str; 6] = ["XX000", "28000", "28P01", "08006", "08P01", "53100"];

fn server(code: &str, message: &str) -> ServerError {
    ServerError {
        code: code.to_owned(),
        message: Some(message.to_owned()),
        hint: None,
    }
}

#[test]
fn a_failed_statement_is_displayed_with_file_line_and_postgres_error() {
    let error = StatementError {
        file: "0002_threads.sql".to_owned(),
        line: Some(14),
        server: ServerError {
            hint: Some("Perhaps you meant \"title\".".to_owned()),
            ..server("42703", "column \"titel\" does not exist")
        },
    };
    assert_eq!(
        MigrationError::Statement(Box::new(error)).to_string(),
        "0002_threads.sql, line 14: undefined column (42703); the database says: column \"titel\" does not exist. Hint: \
         Perhaps you meant \"title\""
    );
}

#[test]
fn transient_and_permanent_errors_are_told_apart() {
    let statement = |code| {
        let server = server(code, "message");
        MigrationError::Statement(Box::new(StatementError {
            file: "1_a.sql".to_owned(),
            line: None,
            server,
        }))
    };
    for code in ["40P01", "55P03", "53100", "57P01", "08006"] {
        assert!(statement(code).is_transient(), "{code}");
    }
    for code in ["42601", "42P07", "23505", "57014", "25001", "XX000"] {
        assert!(!statement(code).is_transient(), "{code}");
    }
}

/// The reason, whether it is transient, and the hint of each of Neon's messages, with every
/// SQLSTATE that it may have.
#[test]
fn neons_message_decides_before_the_sqlstate() {
    for (message, condition) in PUBLISHED_MESSAGES {
        let (reason, transient, hint) = match condition {
            NeonCondition::Passing
            | NeonCondition::UnknownEndpoint
            | NeonCondition::PasswordRefused => {
                (Reason::DatabaseUnreachable, true, UNREACHABLE_HINT)
            }
            NeonCondition::QuotaExceeded => (Reason::QuotaExceeded, false, QUOTA_HINT),
            NeonCondition::ActiveComputes => (Reason::QuotaExceeded, false, ACTIVE_COMPUTES_HINT),
            NeonCondition::SizeLimit => (Reason::QuotaExceeded, false, UNREACHABLE_HINT),
            NeonCondition::EndpointDisabled => (Reason::DatabaseUnreachable, false, DISABLED_HINT),
            NeonCondition::AddressBlocked => (Reason::DatabaseUnreachable, false, ADDRESS_HINT),
            NeonCondition::NetworkBlocked => (Reason::DatabaseUnreachable, false, NETWORK_HINT),
        };
        for code in SQLSTATES {
            let error = MigrationError::Unreachable {
                address: "host:5432".to_owned(),
                attempts: 1,
                waited: Duration::ZERO,
                source: Box::new(DatabaseConnectError::Server(server(code, message))),
            };
            assert_eq!(
                (error.reason(), error.is_transient(), error.hint(None)),
                (reason, transient, Some(hint.into())),
                "{code} {message}"
            );
        }
    }
}

#[test]
fn a_write_over_the_size_limit_names_the_limit() {
    let message = "could not extend file because project size limit (512 MB) has been exceeded";
    for code in SQLSTATES {
        let failed = || server(code, message);
        let errors = [
            MigrationError::Statement(Box::new(StatementError {
                file: "1_a.sql".to_owned(),
                line: Some(1),
                server: failed(),
            })),
            MigrationError::Server {
                operation: "recording a migration".to_owned(),
                server: failed(),
            },
        ];
        for error in errors {
            assert_eq!(error.reason(), Reason::QuotaExceeded, "{code}");
            assert!(!error.is_transient() && error.is_size_limit(), "{code}");
            for (configured, names_spec, names_plan) in [
                (None, false, true),
                (Some(0), false, true),
                (Some(512 * BYTES_PER_MIB), true, false),
                (Some(512 * BYTES_PER_MIB - 1), true, false),
                (Some(1024 * BYTES_PER_MIB), true, true),
            ] {
                let hint = error.hint(configured).unwrap();
                assert_eq!(
                    hint.contains("spec.quota.logicalSizeBytes"),
                    names_spec,
                    "{hint}"
                );
                assert_eq!(hint.contains("account's plan"), names_plan, "{hint}");
            }
        }
    }
    // A disk of a server other than Neon's.
    let full = MigrationError::Server {
        operation: "recording a migration".to_owned(),
        server: server("53100", "could not extend file: No space left on device"),
    };
    assert!(full.is_transient() && full.reason() == Reason::MigrationFailed);
}
