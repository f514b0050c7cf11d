//! What can go wrong while a database is migrated, and what that means for the Tenant.
//!
//! These texts end in statuses, events and logs, so they hold no password and none of a tenant's rows.

use std::fmt;
use std::time::Duration;

use crds::Reason;

use super::server_error::ServerError;

/// What to do about a quota that is used up.
const QUOTA_ADVICE: &str = "raise spec.quota (or what the class gives where the Tenant leaves it out), or wait for the next billing \
                            period; the annotation dbpertenant.dev/reconcile-at has it looked at at once";
/// What to do where the project keeps a list of addresses: a change in Neon would be undone.
const ADDRESS_ADVICE: &str = "add the controller's address to spec.allowedIPs";
/// What to do about a compute that does not wake, or a network that does not lead there.
const UNREACHABLE_ADVICE: &str =
    "it is tried again by itself; if it lasts, see in Neon whether the project's compute starts";

/// A migration that did not reach its end, with how far it came.
#[derive(Debug)]
pub struct MigrationFailure {
    /// What went wrong.
    pub error: MigrationError,
    /// The highest version that the database was seen to have. `None` if it has none or was not seen: what was known before
    /// still stands.
    pub version: Option<i64>,
    /// The versions that this call applied before it failed; they stay.
    pub applied: Vec<i64>,
}

impl fmt::Display for MigrationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for MigrationFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Why a database is not at the version it should have.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A connection without TLS was asked for, to something else than this machine.
    #[error("a connection to {address} needs TLS: only loopback addresses may do without")]
    PlaintextRefused {
        /// Host and port.
        address: String,
    },
    /// The host is none that can be connected to.
    #[error("{address} is no address of a database")]
    InvalidHost {
        /// Host and port.
        address: String,
    },
    /// No connection came about in the time allowed for it.
    #[error("{address} cannot be reached ({attempts} attempts in {:.1} s)", waited.as_secs_f64())]
    Unreachable {
        /// Host and port.
        address: String,
        /// How often it was tried.
        attempts: u32,
        /// For how long.
        waited: Duration,
        /// What the last attempt ended with.
        #[source]
        source: Box<ConnectError>,
    },
    /// TLS cannot be had with this server, or its certificate is not trusted or names another host.
    #[error("{address} cannot be trusted: {message}")]
    Untrusted {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        message: String,
    },
    /// The server refuses the role or its password.
    #[error("the database refuses role {role}: {server}")]
    Authentication {
        /// The role.
        role: String,
        /// Postgres' words.
        server: ServerError,
    },
    /// There is no database of that name.
    #[error("there is no such database: {server}")]
    DatabaseMissing {
        /// Postgres' words.
        server: ServerError,
    },
    /// Another migrator holds the lock, and held it for longer than we wait.
    #[error("another migrator has been at work on this database for more than {} s", waited.as_secs())]
    Locked {
        /// How long was waited.
        waited: Duration,
    },
    /// A statement of a migration failed. Its file was rolled back.
    #[error(transparent)]
    Statement(Box<StatementError>),
    /// The server refused something of the controller's own.
    #[error("{doing} failed: {server}")]
    Server {
        /// What was being done.
        doing: String,
        /// Postgres' words.
        server: ServerError,
    },
    /// The connection ended in the middle.
    #[error("the connection ended while {doing}")]
    Interrupted {
        /// What was being done.
        doing: String,
        /// How it ended.
        #[source]
        source: ConnectError,
    },
    /// No answer came in time.
    #[error("no answer within {} s while {doing}", limit.as_secs())]
    TimedOut {
        /// What was being done.
        doing: String,
        /// The limit.
        limit: Duration,
    },
    /// The text of a migration was changed after it was applied.
    #[error(
        "{file} was changed after it was applied: restore its text, and put the change into a new file"
    )]
    Changed {
        /// Its version.
        version: i64,
        /// Its file.
        file: String,
    },
    /// A migration is applied that the set leaves out.
    #[error("migration {version} is applied and missing from the migrations: put its file back")]
    Missing {
        /// Its version.
        version: i64,
    },
    /// The database is newer than the set.
    #[error(
        "the database has migration {version}, newer than {target}, the last one known here: it is left alone"
    )]
    Ahead {
        /// The highest version that the database has.
        version: i64,
        /// The highest of the set.
        target: i64,
    },
    /// A migration is marked as begun and not finished, though it should be all or nothing.
    #[error(
        "{file} is marked as unfinished in _sqlx_migrations: look at what it left behind, mend that, and delete row {version}"
    )]
    Dirty {
        /// Its version.
        version: i64,
        /// Its file.
        file: String,
    },
    /// `_sqlx_migrations` is not what sqlx makes.
    #[error("the table _sqlx_migrations of this database is not as sqlx makes it")]
    ForeignTable,
}

impl MigrationError {
    /// Whether the same call may succeed later with nobody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.may_pass(),
            Self::Locked { .. } | Self::Interrupted { .. } | Self::TimedOut { .. } => true,
            Self::Statement(error) => error.server.may_pass(),
            Self::Server { server, .. } => server.may_pass(),
            Self::PlaintextRefused { .. }
            | Self::InvalidHost { .. }
            | Self::Untrusted { .. }
            | Self::Authentication { .. }
            | Self::DatabaseMissing { .. }
            | Self::Changed { .. }
            | Self::Missing { .. }
            | Self::Ahead { .. }
            | Self::Dirty { .. }
            | Self::ForeignTable => false,
        }
    }

    /// What to do about it, where the error itself does not say.
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Unreachable { source, .. } = self else {
            return None;
        };
        Some(match source.as_ref() {
            ConnectError::Server(server) if server.is_about_quota() => QUOTA_ADVICE,
            ConnectError::Server(server) if server.is_about_address() => ADDRESS_ADVICE,
            _ => UNREACHABLE_ADVICE,
        })
    }

    /// The reason for the condition and the metric.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { source, .. } if source.is_about_quota() => Reason::QuotaExceeded,
            Self::PlaintextRefused { .. }
            | Self::InvalidHost { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Authentication { .. }
            | Self::DatabaseMissing { .. }
            | Self::Interrupted { .. }
            | Self::TimedOut { .. } => Reason::DatabaseUnreachable,
            Self::Locked { .. } => Reason::Migrating,
            Self::Statement(_) | Self::Server { .. } | Self::Dirty { .. } | Self::ForeignTable => {
                Reason::MigrationFailed
            }
            Self::Changed { .. } => Reason::MigrationChanged,
            Self::Missing { .. } => Reason::MigrationMissing,
            Self::Ahead { .. } => Reason::SchemaAhead,
        }
    }
}

/// How a connection failed to come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network, or TLS.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server said so.
    #[error(transparent)]
    Server(ServerError),
    /// The attempt took too long.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The server spoke otherwise than Postgres does.
    #[error("{0}")]
    Protocol(String),
}

impl ConnectError {
    fn is_about_quota(&self) -> bool {
        matches!(self, Self::Server(server) if server.is_about_quota())
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Io(_) | Self::TimedOut(_) | Self::Protocol(_) => true,
            Self::Server(server) => !server.needs_a_person(),
        }
    }
}

/// A statement of a migration that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementError {
    /// The file.
    pub file: String,
    /// The line, from 1. `None` when it failed as a whole, at its commit.
    pub line: Option<usize>,
    /// Postgres' words.
    pub server: ServerError,
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.server),
            None => write!(f, "{}, at its commit: {}", self.file, self.server),
        }
    }
}

impl std::error::Error for StatementError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str, message: &str) -> ServerError {
        ServerError {
            code: code.to_owned(),
            message: message.to_owned(),
            detail: None,
            hint: None,
        }
    }

    #[test]
    fn a_failing_statement_reads_as_file_line_and_postgres_words() {
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
            "0002_threads.sql, line 14: column \"titel\" does not exist (42703). Hint: Perhaps you meant \"title\""
        );
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        let statement = |code| {
            let server = server(code, "words");
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
        let unreachable = |message| MigrationError::Unreachable {
            address: "host:5432".to_owned(),
            attempts: 1,
            waited: Duration::ZERO,
            source: Box::new(ConnectError::Server(server("XX000", message))),
        };
        assert!(unreachable("the endpoint could not be found").is_transient());
        assert!(!unreachable("Your project has exceeded the compute time quota.").is_transient());
        for (words, reason, advice) in [
            (
                "Your project has exceeded the active time quota.",
                Reason::QuotaExceeded,
                QUOTA_ADVICE,
            ),
            (
                "This IP address 192.0.2.1 is not allowed to connect to this endpoint.",
                Reason::DatabaseUnreachable,
                ADDRESS_ADVICE,
            ),
            (
                "Couldn't connect to compute node",
                Reason::DatabaseUnreachable,
                UNREACHABLE_ADVICE,
            ),
        ] {
            let error = unreachable(words);
            assert_eq!((error.reason(), error.hint()), (reason, Some(advice)));
        }
    }
}
