//! Classifies errors of a tenant database by what they mean for its pool.

use std::io;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionFailure {
    /// The credentials or the host are invalid. The Secret may contain newer ones; otherwise the
    /// controller has to check the database.
    InvalidCredentials,
    /// A retry may succeed: a network error, a compute that is starting, or too many connections.
    Transient,
}

/// Classifies the error. `None` for errors of a statement, which say nothing about the connection.
pub(super) fn classify(error: &sqlx::Error) -> Option<ConnectionFailure> {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match code.as_ref() {
                // Wrong password; role does not exist or may not log in; database does not exist.
                "28P01" | "28000" | "3D000" => Some(ConnectionFailure::InvalidCredentials),
                // The proxy reports an unknown endpoint with these generic codes.
                "XX000" | "08P01" if mentions_endpoint(error.message()) => {
                    Some(ConnectionFailure::InvalidCredentials)
                }
                code if ["08", "53", "57P"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
                {
                    Some(ConnectionFailure::Transient)
                }
                _ => None,
            }
        }
        sqlx::Error::Io(error) if is_unknown_host(error) => {
            Some(ConnectionFailure::InvalidCredentials)
        }
        // A certificate that does not match the host name: the host or its CA changed.
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => {
            Some(ConnectionFailure::InvalidCredentials)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(ConnectionFailure::Transient),
        _ => None,
    }
}

fn mentions_endpoint(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("endpoint") || message.contains("project")
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
    use super::*;

    #[test]
    fn an_unknown_host_name_is_classified_as_invalid_credentials() {
        let unknown =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(
            classify(&sqlx::Error::Io(unknown)),
            Some(ConnectionFailure::InvalidCredentials)
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            classify(&sqlx::Error::Io(refused)),
            Some(ConnectionFailure::Transient)
        );
    }

    #[test]
    fn statement_errors_are_not_connection_failures() {
        assert_eq!(classify(&sqlx::Error::RowNotFound), None);
        assert_eq!(
            classify(&sqlx::Error::PoolTimedOut),
            Some(ConnectionFailure::Transient)
        );
    }
}
