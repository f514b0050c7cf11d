//! What an error of a tenant's database means for its pool.

use std::io;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Our credentials or the place they name are not good (any more): the Secret may have newer ones, and if not, the controller has
    /// to look at the database.
    Credentials,
    /// Time may mend it: the network, a compute that wakes up, too many connections.
    ForNow,
}

/// What the error says. Errors of statements, which are none of the connection's, are `None`.
pub(super) fn of(error: &sqlx::Error) -> Option<Failure> {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match code.as_ref() {
                // Wrong password; no such role or access; no such database.
                "28P01" | "28000" | "3D000" => Some(Failure::Credentials),
                // A proxy has no better code for an endpoint that it does not know.
                "XX000" | "08P01" if names_an_endpoint(error.message()) => {
                    Some(Failure::Credentials)
                }
                code if ["08", "53", "57P"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
                {
                    Some(Failure::ForNow)
                }
                _ => None,
            }
        }
        sqlx::Error::Io(error) if is_unknown_host(error) => Some(Failure::Credentials),
        // A certificate that does not fit the name: the host moved, or the authority changed.
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Some(Failure::Credentials),
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Failure::ForNow),
        _ => None,
    }
}

fn names_an_endpoint(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("endpoint") || message.contains("project")
}

/// The system's resolver has no kind of its own for a name that does not exist.
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
    fn a_name_that_nobody_knows_is_a_matter_of_the_secret() {
        let unknown =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(of(&sqlx::Error::Io(unknown)), Some(Failure::Credentials));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(of(&sqlx::Error::Io(refused)), Some(Failure::ForNow));
    }

    #[test]
    fn a_row_that_is_missing_says_nothing_of_the_connection() {
        assert_eq!(of(&sqlx::Error::RowNotFound), None);
        assert_eq!(of(&sqlx::Error::PoolTimedOut), Some(Failure::ForNow));
    }
}
