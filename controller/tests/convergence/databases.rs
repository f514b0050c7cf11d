//! The simulated databases of the projects.

use std::io;
use std::time::Duration;

use controller::migrations::{
    DatabaseConnectError, DatabaseTarget, MigrationError, MigrationFailure, MigrationReport,
    MigrationSet, Migrator, ServerError,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;

use crate::neon::project_of_host;
use crate::world::{Outcome, World};

/// `SQLSTATE` of a wrong password.
const INVALID_PASSWORD: &str = "28P01";

#[derive(Clone, Debug)]
pub(crate) struct SimulatedDatabases(pub(crate) World);

impl Migrator for SimulatedDatabases {
    fn migrate<'a>(
        &'a self,
        target: &'a DatabaseTarget,
        set: &'a MigrationSet,
    ) -> BoxFuture<'a, Result<MigrationReport, MigrationFailure>> {
        async move {
            let mut applied = Vec::new();
            let result = self.apply(target, set, &mut applied).await;
            self.0.half_call().await;
            let outcome = self.0.state().neon_outcomes.pop_front();
            match (result, outcome) {
                (Ok(()), None | Some(Outcome::Answered)) => Ok(MigrationReport {
                    version: set.target_version(),
                    digest: set.digest().to_owned(),
                    applied,
                    elapsed: Duration::ZERO,
                }),
                (Ok(()), Some(_)) => Err(MigrationFailure {
                    error: MigrationError::Interrupted {
                        operation: "closing the session".to_owned(),
                        source: disconnected(),
                    },
                    version: None,
                    applied,
                }),
                (Err(error), _) => Err(MigrationFailure {
                    error,
                    version: None,
                    applied,
                }),
            }
        }
        .boxed()
    }
}

impl SimulatedDatabases {
    async fn apply(
        &self,
        target: &DatabaseTarget,
        set: &MigrationSet,
        applied: &mut Vec<i64>,
    ) -> Result<(), MigrationError> {
        self.0.start_call().await;
        let id = project_of_host(&target.host).expect("the host of a compute");
        for migration in set.migrations() {
            self.0.crash_point().await;
            {
                let mut state = self.0.state();
                let Some(project) = state.live(&id) else {
                    return Err(MigrationError::Unreachable {
                        address: target.address(),
                        attempts: 1,
                        waited: Duration::ZERO,
                        source: Box::new(disconnected()),
                    });
                };
                if project.password != target.password.expose_secret() {
                    return Err(MigrationError::Authentication {
                        role: target.role.clone(),
                        server: ServerError {
                            code: INVALID_PASSWORD.to_owned(),
                            message: "password authentication failed".to_owned(),
                            detail: None,
                            hint: None,
                        },
                    });
                }
                if project.schema >= Some(migration.version()) {
                    continue;
                }
                project.schema = Some(migration.version());
                applied.push(migration.version());
            }
            self.0.crash_point().await;
        }
        Ok(())
    }
}

fn disconnected() -> DatabaseConnectError {
    io::Error::other("no connection").into()
}
