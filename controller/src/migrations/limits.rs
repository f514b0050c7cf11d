//! Limits on migrations.

use std::time::Duration;

/// Maximum number of migrations in a set.
pub(super) const MAX_MIGRATIONS: usize = 10_000;
/// Maximum size of the SQL of a set, in bytes.
pub(super) const MAX_SQL_BYTES: usize = 16 * 1024 * 1024;

/// Statements of one file that may each take as long as a statement may.
const STATEMENTS_PER_FILE: u32 = 3;

/// Timeouts of one call of [`migrate`](super::migrate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationLimits {
    /// One attempt to connect, with TCP, TLS and authentication. It leaves a suspended compute
    /// enough time to start.
    pub connect_timeout: Duration,
    /// All attempts to connect, while a compute starts or is being created. Neon's proxy repeats some
    /// errors for 30 seconds, so it is longer.
    pub connect_total_timeout: Duration,
    /// Waiting until another process has finished migrating the same database.
    pub lock_timeout: Duration,
    /// Waiting of one statement for a table lock. It is short because all later queries on that
    /// table queue behind the waiting statement.
    pub table_lock_timeout: Duration,
    /// One statement of a migration.
    pub statement_timeout: Duration,
    /// One file with all its statements, including the network.
    pub file_timeout: Duration,
    /// One of the controller's own queries.
    pub query_timeout: Duration,
}

impl MigrationLimits {
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    pub const CONNECT_TOTAL_TIMEOUT: Duration = Duration::from_secs(90);
    pub const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
    pub const TABLE_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
    pub const STATEMENT_TIMEOUT: Duration = Duration::from_mins(10);
    pub const FILE_TIMEOUT: Duration = Duration::from_mins(30);
    pub const QUERY_TIMEOUT: Duration = Duration::from_secs(15);

    /// The limits with these timeouts: for all attempts to connect, for the wait of a statement for a
    /// lock, and for a statement.
    pub fn of_settings(connect: Duration, lock: Duration, statement: Duration) -> Self {
        Self {
            connect_total_timeout: connect,
            table_lock_timeout: lock,
            statement_timeout: statement,
            file_timeout: Self::FILE_TIMEOUT.max(statement.saturating_mul(STATEMENTS_PER_FILE)),
            ..Self::default()
        }
    }
}

impl Default for MigrationLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Self::CONNECT_TIMEOUT,
            connect_total_timeout: Self::CONNECT_TOTAL_TIMEOUT,
            lock_timeout: Self::LOCK_TIMEOUT,
            table_lock_timeout: Self::TABLE_LOCK_TIMEOUT,
            statement_timeout: Self::STATEMENT_TIMEOUT,
            file_timeout: Self::FILE_TIMEOUT,
            query_timeout: Self::QUERY_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_limit_statements_and_a_file_may_take_longer_than_one() {
        let limits = |statement| {
            let lock = Duration::from_secs(20);
            MigrationLimits::of_settings(Duration::from_mins(1), lock, statement)
        };
        let long = limits(Duration::from_hours(3));
        assert_eq!(long.connect_total_timeout, Duration::from_mins(1));
        assert_eq!(long.table_lock_timeout, Duration::from_secs(20));
        assert_eq!(long.lock_timeout, MigrationLimits::LOCK_TIMEOUT);
        assert_eq!(long.file_timeout, Duration::from_hours(9));
        let short = limits(Duration::from_secs(1));
        assert_eq!(short.file_timeout, MigrationLimits::FILE_TIMEOUT);
    }
}
