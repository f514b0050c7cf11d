//! Classifies errors of a tenant database by what they mean for its pool and for the user.

use std::io;

use neon_client::NeonCondition;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DatabaseFailure {
    /// The credentials or the host are invalid. The Secret may contain newer ones; otherwise the
    /// controller has to check the database.
    InvalidCredentials,
    /// A retry may succeed: a network error, a compute that is starting, or too many connections.
    Transient,
    /// A write failed because the database has reached its size limit, or because its server has no
    /// space left. Reads work.
    Full,
}

/// `disk_full`.
const DISK_FULL: &str = "53100";

/// Whether a write failed because the database is full.
pub fn is_full(error: &sqlx::Error) -> bool {
    classify(error) == Some(DatabaseFailure::Full)
}

/// Classifies the error. `None` for errors of a statement, which say nothing about the database.
pub(super) fn classify(error: &sqlx::Error) -> Option<DatabaseFailure> {
    match error {
        sqlx::Error::Database(error) => {
            classify_server_error(&error.code().unwrap_or_default(), error.message())
        }
        sqlx::Error::Io(error) if is_unknown_host(error) => {
            Some(DatabaseFailure::InvalidCredentials)
        }
        // A certificate that does not match the host name: the host or its CA changed.
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => {
            Some(DatabaseFailure::InvalidCredentials)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(DatabaseFailure::Transient),
        _ => None,
    }
}

/// Neon sends the same message with different SQLSTATEs, so the message decides first.
fn classify_server_error(code: &str, message: &str) -> Option<DatabaseFailure> {
    match NeonCondition::of(message) {
        Some(NeonCondition::UnknownEndpoint | NeonCondition::PasswordRefused) => {
            Some(DatabaseFailure::InvalidCredentials)
        }
        Some(NeonCondition::SizeLimit) => Some(DatabaseFailure::Full),
        Some(_) => Some(DatabaseFailure::Transient),
        None => match code {
            DISK_FULL => Some(DatabaseFailure::Full),
            // Wrong password; role does not exist or may not log in; database does not exist.
            "28P01" | "28000" | "3D000" => Some(DatabaseFailure::InvalidCredentials),
            code if ["08", "53", "57P"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Some(DatabaseFailure::Transient)
            }
            _ => None,
        },
    }
}

/// The standard library has no `ErrorKind` for a failed name lookup.
fn is_unknown_host(error: &io::Error) -> bool {
    let message = error.to_string();
    error.kind() == io::ErrorKind::NotFound
        || message.contains("failed to lookup address")
        || message.contains("Name or service not known")
}

#[cfg(test)]
mod tests {
    use neon_client::PUBLISHED_MESSAGES;

    use super::*;

    #[test]
    fn an_unknown_host_name_is_classified_as_invalid_credentials() {
        let unknown =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(
            classify(&sqlx::Error::Io(unknown)),
            Some(DatabaseFailure::InvalidCredentials)
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            classify(&sqlx::Error::Io(refused)),
            Some(DatabaseFailure::Transient)
        );
    }

    #[test]
    fn neons_message_decides_before_the_sqlstate() {
        for (message, condition) in PUBLISHED_MESSAGES {
            let expected = match condition {
                NeonCondition::UnknownEndpoint | NeonCondition::PasswordRefused => {
                    Some(DatabaseFailure::InvalidCredentials)
                }
                NeonCondition::SizeLimit => Some(DatabaseFailure::Full),
                _ => Some(DatabaseFailure::Transient),
            };
            for code in ["XX000", "28000", "28P01", "08006", "08P01", "53100"] {
                assert_eq!(
                    classify_server_error(code, message),
                    expected,
                    "{code} {message}"
                );
            }
        }
    }

    #[test]
    fn without_a_message_of_neon_the_sqlstate_decides() {
        for (code, expected) in [
            ("28P01", Some(DatabaseFailure::InvalidCredentials)),
            ("3D000", Some(DatabaseFailure::InvalidCredentials)),
            ("57P03", Some(DatabaseFailure::Transient)),
            ("53300", Some(DatabaseFailure::Transient)),
            ("53100", Some(DatabaseFailure::Full)),
            ("23505", None),
            ("XX000", None),
        ] {
            assert_eq!(classify_server_error(code, "an error"), expected, "{code}");
        }
    }

    #[test]
    fn statement_errors_say_nothing_about_the_database() {
        assert_eq!(classify(&sqlx::Error::RowNotFound), None);
        assert_eq!(
            classify(&sqlx::Error::PoolTimedOut),
            Some(DatabaseFailure::Transient)
        );
    }
}
