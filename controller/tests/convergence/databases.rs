//! The simulated databases of the projects.

use std::io;
use std::time::Duration;

use controller::migrations::{
    ConnectedDatabase, DatabaseConnectError, DatabaseTarget, MigrationError, MigrationFailure,
    MigrationReport, MigrationSet, Migrator, ServerError, StatementError,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;

use crate::neon::project_of_host;
use crate::world::{Outcome, World};

/// `SQLSTATE` of a wrong password.
const INVALID_PASSWORD: &str = "28P01";
/// `SQLSTATE` of a table that does not exist.
const UNDEFINED_TABLE: &str = "42P01";
/// `SQLSTATE` with which Neon's proxy passes on most errors.
const INTERNAL_ERROR: &str = "XX000";

#[derive(Clone, Debug)]
pub(crate) struct SimulatedDatabases(pub(crate) World);

impl Migrator for SimulatedDatabases {
    fn connect<'a>(
        &'a self,
        target: &'a DatabaseTarget,
    ) -> BoxFuture<'a, Result<Box<dyn ConnectedDatabase + 'a>, MigrationError>> {
        async move {
            self.0.start_call().await;
            let outcome = self.0.state().neon_outcomes.pop_front();
            if outcome == Some(Outcome::Refused) {
                return Err(unreachable(target, disconnected()));
            }
            let quota_exceeded = {
                let state = self.0.state();
                state.now() < state.quota_refused_until
            };
            if quota_exceeded {
                return Err(unreachable(target, quota_exceeded_error()));
            }
            let database = SimulatedDatabase {
                world: &self.0,
                target,
                outcome,
            };
            Ok(Box::new(database) as Box<dyn ConnectedDatabase>)
        }
        .boxed()
    }
}

struct SimulatedDatabase<'a> {
    world: &'a World,
    target: &'a DatabaseTarget,
    outcome: Option<Outcome>,
}

impl ConnectedDatabase for SimulatedDatabase<'_> {
    fn migrate<'a>(
        self: Box<Self>,
        set: &'a MigrationSet,
        check_use: bool,
    ) -> BoxFuture<'a, Result<MigrationReport, MigrationFailure>>
    where
        Self: 'a,
    {
        async move {
            let mut applied = Vec::new();
            let result = self.apply(set, &mut applied).await;
            self.world.half_call().await;
            let result = match self.outcome {
                Some(Outcome::Lost) => result.and(Err(interrupted())),
                _ => result,
            };
            match result {
                Ok(()) => {
                    let version = self.version().unwrap_or_else(|| set.target_version());
                    Ok(MigrationReport {
                        version,
                        digest: set.digest_up_to(version).unwrap_or_default().to_owned(),
                        unused: check_use && !applied.is_empty(),
                        applied,
                        elapsed: Duration::ZERO,
                    })
                }
                Err(error) => {
                    let version = match error {
                        MigrationError::Statement(_) => self.version(),
                        _ => None,
                    };
                    let digest = version.and_then(|version| set.digest_up_to(version));
                    Err(MigrationFailure {
                        version,
                        digest: digest.map(str::to_owned),
                        error,
                        applied,
                    })
                }
            }
        }
        .boxed()
    }
}

impl SimulatedDatabase<'_> {
    fn version(&self) -> Option<i64> {
        let id = project_of_host(&self.target.host)?;
        self.world.state().live(&id)?.schema
    }

    async fn apply(
        &self,
        set: &MigrationSet,
        applied: &mut Vec<i64>,
    ) -> Result<(), MigrationError> {
        let target = self.target;
        let id = project_of_host(&target.host).expect("the host of a compute");
        for migration in set.selected() {
            self.world.crash_point().await;
            {
                let mut state = self.world.state();
                let now = state.now();
                let is_broken = state.broken_migration == Some(migration.version());
                let Some(project) = state.live(&id) else {
                    return Err(unreachable(target, disconnected()));
                };
                let matches = project.password == target.password.expose_secret();
                let unknown = state.unknown_roles > 0;
                state.unknown_roles = state.unknown_roles.saturating_sub(1);
                if unknown || !matches {
                    return Err(MigrationError::Authentication {
                        role: target.role.clone(),
                        server: ServerError {
                            code: INVALID_PASSWORD.to_owned(),
                            message: Some("password authentication failed".to_owned()),
                            hint: None,
                        },
                    });
                }
                let Some(project) = state.live(&id) else {
                    return Err(unreachable(target, disconnected()));
                };
                project.record_use(now);
                if project.schema >= Some(migration.version()) {
                    continue;
                }
                if is_broken {
                    return Err(failed_statement(migration.file_name()));
                }
                project.schema = Some(migration.version());
                applied.push(migration.version());
            }
            self.world.crash_point().await;
        }
        Ok(())
    }
}

fn unreachable(target: &DatabaseTarget, source: DatabaseConnectError) -> MigrationError {
    MigrationError::Unreachable {
        address: target.address(),
        attempts: 1,
        waited: Duration::ZERO,
        source: Box::new(source),
    }
}

fn failed_statement(file: &str) -> MigrationError {
    MigrationError::Statement(Box::new(StatementError {
        file: file.to_owned(),
        line: Some(1),
        server: ServerError {
            code: UNDEFINED_TABLE.to_owned(),
            message: Some("relation does not exist".to_owned()),
            hint: None,
        },
    }))
}

fn interrupted() -> MigrationError {
    MigrationError::Interrupted {
        operation: "waiting for the last answer".to_owned(),
        source: disconnected(),
    }
}

fn disconnected() -> DatabaseConnectError {
    io::Error::other("no connection").into()
}

fn quota_exceeded_error() -> DatabaseConnectError {
    DatabaseConnectError::Server(ServerError {
        code: INTERNAL_ERROR.to_owned(),
        message: Some("Your project has exceeded the compute time quota.".to_owned()),
        hint: None,
    })
}
