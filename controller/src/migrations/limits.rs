//! How long each part of a migration may take.

use std::time::Duration;

/// Limits on one call of [`migrate`](super::migrate). The defaults are the constants beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationLimits {
    /// One attempt to connect: network, TLS and password. A sleeping compute answers within it.
    pub connect_timeout: Duration,
    /// All attempts to connect together, while a compute wakes or is being made.
    pub connect_total_timeout: Duration,
    /// The wait for another migrator on the same database.
    pub lock_timeout: Duration,
    /// The wait of a statement for a table's lock. Short, since everything that comes after it waits for the same table.
    pub table_lock_timeout: Duration,
    /// One statement of a migration.
    pub statement_timeout: Duration,
    /// One file with all its statements, and the network under them.
    pub file_timeout: Duration,
    /// One query for the controller's own bookkeeping.
    pub query_timeout: Duration,
}

impl MigrationLimits {
    /// Default of [`MigrationLimits::connect_timeout`].
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Default of [`MigrationLimits::connect_total_timeout`].
    pub const CONNECT_TOTAL_TIMEOUT: Duration = Duration::from_secs(45);
    /// Default of [`MigrationLimits::lock_timeout`].
    pub const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
    /// Default of [`MigrationLimits::table_lock_timeout`].
    pub const TABLE_LOCK_TIMEOUT: Duration = Duration::from_secs(5);
    /// Default of [`MigrationLimits::statement_timeout`].
    pub const STATEMENT_TIMEOUT: Duration = Duration::from_mins(10);
    /// Default of [`MigrationLimits::file_timeout`].
    pub const FILE_TIMEOUT: Duration = Duration::from_mins(30);
    /// Default of [`MigrationLimits::query_timeout`].
    pub const QUERY_TIMEOUT: Duration = Duration::from_secs(15);
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
