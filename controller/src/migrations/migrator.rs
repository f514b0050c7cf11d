//! The port to the tenant databases.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::error::{MigrationError, MigrationFailure};
use super::limits::MigrationLimits;
use super::migrate::{Database, MigrationReport};
use super::set::MigrationSet;
use super::target::DatabaseTarget;

/// Connects to databases. Simulations implement it as well.
pub trait Migrator: Send + Sync {
    /// Connects to a database. That takes as long as its compute needs to start.
    fn connect<'a>(
        &'a self,
        target: &'a DatabaseTarget,
    ) -> BoxFuture<'a, Result<Box<dyn ConnectedDatabase + 'a>, MigrationError>>;
}

/// A database that a [`Migrator`] is connected to.
pub trait ConnectedDatabase: Send {
    /// Brings the database to the version of a set of migrations, and disconnects. If `check_use` is
    /// set, the report also says whether other clients were connected afterwards.
    fn migrate<'a>(
        self: Box<Self>,
        set: &'a MigrationSet,
        check_use: bool,
    ) -> BoxFuture<'a, Result<MigrationReport, MigrationFailure>>
    where
        Self: 'a;
}

/// Connects to real databases, with these limits.
#[derive(Clone, Debug)]
pub struct PostgresMigrator(pub MigrationLimits);

impl Migrator for PostgresMigrator {
    fn connect<'a>(
        &'a self,
        target: &'a DatabaseTarget,
    ) -> BoxFuture<'a, Result<Box<dyn ConnectedDatabase + 'a>, MigrationError>> {
        async move {
            let database = Database::connect(target, &self.0).await?;
            Ok(Box::new(database) as Box<dyn ConnectedDatabase>)
        }
        .boxed()
    }
}

impl ConnectedDatabase for Database<'_> {
    fn migrate<'a>(
        self: Box<Self>,
        set: &'a MigrationSet,
        check_use: bool,
    ) -> BoxFuture<'a, Result<MigrationReport, MigrationFailure>>
    where
        Self: 'a,
    {
        Database::migrate(*self, set, check_use).boxed()
    }
}
