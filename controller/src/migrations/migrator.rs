//! The port to the tenant databases.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::error::MigrationFailure;
use super::limits::MigrationLimits;
use super::migrate::{MigrationReport, migrate};
use super::set::MigrationSet;
use super::target::DatabaseTarget;

/// Brings databases to the version of a set of migrations. Simulations implement it as well.
pub trait Migrator: Send + Sync {
    /// See [`migrate`].
    fn migrate<'a>(
        &'a self,
        target: &'a DatabaseTarget,
        set: &'a MigrationSet,
    ) -> BoxFuture<'a, Result<MigrationReport, MigrationFailure>>;
}

/// Connects to real databases, with these limits.
#[derive(Clone, Debug)]
pub struct PostgresMigrator(pub MigrationLimits);

impl Migrator for PostgresMigrator {
    fn migrate<'a>(
        &'a self,
        target: &'a DatabaseTarget,
        set: &'a MigrationSet,
    ) -> BoxFuture<'a, Result<MigrationReport, MigrationFailure>> {
        migrate(target, set, &self.0).boxed()
    }
}
