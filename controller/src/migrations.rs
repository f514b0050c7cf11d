//! The schema of tenant databases: which migrations there are, what a database lacks, and applying it.
//!
//! [`MigrationSet`] is the checked, ordered set of migrations, from the binary, a directory or a ConfigMap. [`compare`]
//! compares it with what a database says it has, purely. [`migrate`] opens one database, and brings it to the set's
//! version; where there is nothing to do, that is one connection and one query.
//!
//! The table of applied migrations, the checksums and the lock are sqlx's, so that `sqlx migrate run` and this module can
//! take turns on a database. Never here: which database to open and when (that is the plan's), and no password in
//! any text.

mod applied;
mod apply;
mod connect;
mod diagnosis;
mod error;
mod file_name;
mod invalid_index;
mod limits;
mod migrate;
mod server_error;
mod session;
mod set;
mod sources;
mod statements;
mod target;
mod tunnel;

pub use applied::AppliedMigration;
pub use diagnosis::{MigrationState, compare};
pub use error::{ConnectError, MigrationError, MigrationFailure, StatementError};
pub use limits::MigrationLimits;
pub use migrate::{Migrated, migrate};
pub use server_error::ServerError;
pub use set::{Migration, MigrationSet};
pub use sources::MigrationSetError;
pub use target::{DatabaseTarget, Tls};
