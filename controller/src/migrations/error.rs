//! Errors of migrating a database, and what they mean for the Tenant.
//!
//! The messages end up in statuses, events and logs, so they contain no password and no values from
//! a tenant's rows.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crds::Reason;
use neon_client::NeonCondition;

use super::server_error::{ServerError, sanitize};

const QUOTA_HINT: &str = "the quota is the account's unless the Tenant or its class sets one: check the usage of the plan in Neon and \
                          upgrade it, raise spec.quota (or the class's default, if the Tenant sets no quota), or wait for the next \
                          billing period; to retry now, set the annotation dbpertenant.dev/reconcile-at";
const ACTIVE_COMPUTES_HINT: &str = "the account has too many active computes for its plan: suspend some in Neon, or upgrade the plan";
const DISABLED_HINT: &str = "enable the compute in Neon";
/// The controller owns the allowlist of the project: it would revert a change made in Neon.
const ADDRESS_HINT: &str = "add the controller's address to spec.allowedIPs";
const NETWORK_HINT: &str =
    "allow connections from the controller's network in the project's settings in Neon";
const UNREACHABLE_HINT: &str = "the controller retries; if the error persists, check in Neon whether the project's compute starts";
const BYTES_PER_MIB: u64 = 1024 * 1024;

/// A failed call of [`migrate`](super::migrate), with the progress it made.
#[derive(Debug)]
pub struct MigrationFailure {
    pub error: MigrationError,
    /// The highest version that the database had when it was last read. `None` if it has none or
    /// was not read; the caller then keeps the version that it knows.
    pub version: Option<i64>,
    /// The digest of the migrations that the database had then. Files can be applied out of order, so it
    /// can differ from that of all files up to `version`. `None` if `version` is, or if the set lacks one
    /// of them.
    pub digest: Option<String>,
    /// The versions that this call applied before it failed. They stay applied.
    pub applied: Vec<i64>,
}

impl From<MigrationError> for MigrationFailure {
    fn from(error: MigrationError) -> Self {
        Self {
            error,
            version: None,
            digest: None,
            applied: Vec::new(),
        }
    }
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

/// Why a database is not at the version of its set of migrations.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(
        "a connection to {address} requires TLS: only loopback addresses may be used without it"
    )]
    PlaintextRefused {
        /// Host and port, as in the other variants.
        address: String,
    },
    #[error("{address} is not a valid database address")]
    InvalidHost { address: String },
    #[error("failed to connect to {address} ({attempts} attempts in {:.1} s)", waited.as_secs_f64())]
    Unreachable {
        address: String,
        attempts: u32,
        waited: Duration,
        /// The error of the last attempt.
        #[source]
        source: Box<DatabaseConnectError>,
    },
    /// The server does not support TLS, or its certificate is not trusted or is for another host.
    #[error("the server at {address} cannot be trusted: {message}")]
    Untrusted { address: String, message: String },
    #[error("the database rejected the login of role {role}: {server}")]
    Authentication { role: String, server: ServerError },
    #[error("the database does not exist: {server}")]
    DatabaseMissing { server: ServerError },
    #[error("another process has held the migration lock for more than {} s", waited.as_secs())]
    Locked { waited: Duration },
    /// A statement of a migration failed. If the file runs in a transaction, it was rolled back.
    #[error(transparent)]
    Statement(Box<StatementError>),
    /// A statement that runs outside a transaction failed with an error that it also reports if an
    /// earlier, interrupted run had already applied it.
    #[error(
        "{statement}. An earlier run was interrupted: if it took effect, record that with UPDATE \
         public._sqlx_migrations SET success = true WHERE version = {version}"
    )]
    Repeated {
        version: i64,
        statement: Box<StatementError>,
    },
    /// One of the controller's own queries failed.
    #[error("{operation} failed: {server}")]
    Server {
        operation: String,
        server: ServerError,
    },
    #[error("the connection ended while {operation}")]
    Interrupted {
        operation: String,
        #[source]
        source: DatabaseConnectError,
    },
    #[error("timed out after {} s while {operation}", limit.as_secs())]
    TimedOut { operation: String, limit: Duration },
    #[error(
        "{file} was changed after it was applied{}: restore its content, and make the change in a new file",
        if *only_line_endings { " (only its line endings, LF or CRLF, differ)" } else { "" }
    )]
    Changed {
        version: i64,
        file: String,
        /// Whether the file has the recorded checksum with other line endings.
        only_line_endings: bool,
    },
    #[error("migration {version} has been applied but its file is missing: restore the file")]
    Missing { version: i64 },
    #[error(
        "the database has migration {version}, which is newer than the latest known migration {target}: \
         the controller does not change the database"
    )]
    Ahead {
        /// The highest version that the database has.
        version: i64,
        /// The highest version of the set.
        target: i64,
    },
    /// A migration that runs in a transaction is recorded as started and not finished.
    #[error(
        "_sqlx_migrations records {file} as unfinished: check which of its changes took effect, repair the database, and \
         delete the row of version {version}"
    )]
    Dirty { version: i64, file: String },
    #[error(
        "the table public._sqlx_migrations is not valid, so the controller does not read it: {problem}. Restore the table \
         as sqlx creates it, with the rows of the applied migrations"
    )]
    InvalidMigrationsTable { problem: &'static str },
    /// The check of the file did not find the statement that ended the transaction.
    #[error(
        "{file} ended its own transaction: remove the statement that ends it, and check which of the file's changes \
         took effect in this database"
    )]
    TransactionEnded { file: String },
    /// The server sent what no Postgres server sends to a migration.
    #[error("{operation} failed: {violation}")]
    UnexpectedResponse {
        operation: String,
        violation: String,
    },
}

impl MigrationError {
    /// Whether the same call may succeed later without a change of settings.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_transient(),
            Self::Locked { .. } | Self::Interrupted { .. } | Self::TimedOut { .. } => true,
            Self::Statement(error) => error.server.is_transient(),
            Self::Server { server, .. } => server.is_transient(),
            Self::PlaintextRefused { .. }
            | Self::InvalidHost { .. }
            | Self::Untrusted { .. }
            | Self::Authentication { .. }
            | Self::DatabaseMissing { .. }
            | Self::Changed { .. }
            | Self::Missing { .. }
            | Self::Ahead { .. }
            | Self::Repeated { .. }
            | Self::Dirty { .. }
            | Self::InvalidMigrationsTable { .. }
            | Self::TransactionEnded { .. }
            | Self::UnexpectedResponse { .. } => false,
        }
    }

    /// Whether the server answered with this error, and the session continued.
    pub(super) fn is_from_server(&self) -> bool {
        matches!(self, Self::Statement(_) | Self::Server { .. })
    }

    /// Whether Neon refuses connections until someone changes a setting. Its proxy repeats a refusal
    /// for a while.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if !source.is_transient())
    }

    /// Whether the database used up a limit on time, so that the next call may take as long.
    pub fn ran_into_time_limit(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Locked { .. } => true,
            Self::Statement(error) => error.server.is_timeout(),
            Self::Server { server, .. } => server.is_timeout(),
            Self::Unreachable { source, .. } => {
                matches!(source.as_ref(), DatabaseConnectError::TimedOut(_))
            }
            _ => false,
        }
    }

    /// What an operator can do, if the error message does not say. `size_limit` is the limit of the
    /// project's size that the Tenant or its class sets, in bytes.
    pub fn hint(&self, size_limit: Option<u64>) -> Option<Cow<'static, str>> {
        if let Some(server) = self.size_limit() {
            return Some(size_limit_hint(size_limit, server.size_limit_mib()));
        }
        let Self::Unreachable { source, .. } = self else {
            return None;
        };
        let hint = match source.neon_condition() {
            Some(NeonCondition::QuotaExceeded) => QUOTA_HINT,
            Some(NeonCondition::ActiveComputes) => ACTIVE_COMPUTES_HINT,
            Some(NeonCondition::EndpointDisabled) => DISABLED_HINT,
            Some(NeonCondition::AddressBlocked) => ADDRESS_HINT,
            Some(NeonCondition::NetworkBlocked) => NETWORK_HINT,
            _ => UNREACHABLE_HINT,
        };
        Some(hint.into())
    }

    /// Whether a write failed because the project has reached its size limit. Reads work.
    pub fn is_size_limit(&self) -> bool {
        self.size_limit().is_some()
    }

    /// The server's error, if the project has reached its size limit.
    fn size_limit(&self) -> Option<&ServerError> {
        let server = match self {
            Self::Statement(error)
            | Self::Repeated {
                statement: error, ..
            } => &error.server,
            Self::Server { server, .. } => server,
            _ => return None,
        };
        Some(server).filter(|server| server.is_size_limit())
    }

    /// The reason for the condition `SchemaReady`.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { source, .. } if source.is_quota_exceeded() => Reason::QuotaExceeded,
            _ if self.is_size_limit() => Reason::QuotaExceeded,
            Self::PlaintextRefused { .. }
            | Self::InvalidHost { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Authentication { .. }
            | Self::DatabaseMissing { .. }
            | Self::Interrupted { .. }
            | Self::TimedOut { .. }
            | Self::UnexpectedResponse { .. } => Reason::DatabaseUnreachable,
            Self::Locked { .. } => Reason::Migrating,
            Self::Statement(_)
            | Self::Repeated { .. }
            | Self::Server { .. }
            | Self::Dirty { .. }
            | Self::TransactionEnded { .. } => Reason::MigrationFailed,
            Self::InvalidMigrationsTable { .. } => Reason::MigrationTableInvalid,
            Self::Changed { .. } => Reason::MigrationChanged,
            Self::Missing { .. } => Reason::MigrationMissing,
            Self::Ahead { .. } => Reason::SchemaAhead,
        }
    }
}

/// Which limit a project has reached: that of the Tenant or its class, in bytes, or that of the
/// account's plan. `reported_mib` is the limit in the server's message.
fn size_limit_hint(configured: Option<u64>, reported_mib: Option<u64>) -> Cow<'static, str> {
    let configured = configured.filter(|limit| *limit > 0);
    let Some(bytes) = configured else {
        return "the limit is that of the account's plan: upgrade the plan, or delete data".into();
    };
    let is_lower = reported_mib.is_some_and(|reported| reported < bytes / BYTES_PER_MIB);
    if is_lower {
        format!(
            "spec.quota.logicalSizeBytes ({bytes}) is above this limit, which is that of the account's plan: upgrade the \
             plan, or delete data"
        )
    } else {
        format!(
            "raise spec.quota.logicalSizeBytes ({bytes}, or the class's default, if the Tenant does not set it), or delete \
             data"
        )
    }
    .into()
}

/// Why a connection could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseConnectError {
    /// The network or the TLS handshake failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Server(ServerError),
    #[error("no response within {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The server did not follow Postgres' protocol.
    #[error("{0}")]
    Protocol(String),
}

impl DatabaseConnectError {
    /// An error whose text may contain what the server sent.
    pub(super) fn protocol(error: &impl ToString) -> Self {
        Self::Protocol(sanitize(&error.to_string()))
    }

    fn neon_condition(&self) -> Option<NeonCondition> {
        match self {
            Self::Server(server) => server.neon_condition(),
            _ => None,
        }
    }

    fn is_quota_exceeded(&self) -> bool {
        matches!(
            self.neon_condition(),
            Some(
                NeonCondition::QuotaExceeded
                    | NeonCondition::ActiveComputes
                    | NeonCondition::SizeLimit
            )
        )
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Io(_) | Self::TimedOut(_) | Self::Protocol(_) => true,
            Self::Server(server) => !server.is_permanent(),
        }
    }
}

/// A statement of a migration that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementError {
    pub file: String,
    /// The line of the statement, starting at 1. `None` if the commit failed.
    pub line: Option<usize>,
    pub server: ServerError,
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.server),
            None => write!(f, "{}, at commit: {}", self.file, self.server),
        }
    }
}

impl std::error::Error for StatementError {}

#[cfg(test)]
mod tests;
