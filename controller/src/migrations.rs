//! The schema of tenant databases: the set of migrations, which of them a database lacks, and
//! applying those.
//!
//! [`MigrationSet`] is the validated, ordered set of migrations, from the binary, a directory or a
//! ConfigMap. [`compare`] compares it with the migrations recorded in a database; it is pure.
//! [`migrate`] connects to one database and brings it to the version of the set. For an up-to-date
//! database that takes one connection and one query.
//!
//! [`lint()`] finds statements that deserve attention before they run.
//!
//! The migrations table, the checksums and the advisory lock are those of sqlx, so that
//! `sqlx migrate run` and this module can be used alternately on one database. This module does not
//! decide which database to migrate or when, and no error message contains a password.
//!
//! The modules are listed in layers: a module imports only from the groups above its own.

mod applied;
mod file_name;
mod lexer;
mod limits;
mod response_filter;
mod sqlstate;
mod target;

mod server_error;
mod statements;
mod tunnel;

mod error;
mod set_error;

mod connect;
mod encoding;
mod session_sql;
mod set;

mod lint;
mod load;
mod migration_state;
mod session;

mod leftovers;

mod execute;

mod migrate;

mod migrator;

pub use applied::AppliedMigration;
pub use error::{DatabaseConnectError, MigrationError, MigrationFailure, StatementError};
pub use limits::MigrationLimits;
pub use lint::{LintFile, RULES, RuleInfo, invalid_migration, lint};
pub use load::read_directory;
pub use migrate::{MigrationReport, migrate};
pub use migration_state::{MigrationState, compare};
pub use migrator::{ConnectedDatabase, Migrator, PostgresMigrator};
pub use server_error::ServerError;
pub use set::{Migration, MigrationSet};
pub use set_error::MigrationSetError;
pub use target::{DatabaseTarget, Tls};
