//! The steps as jobs of the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};

use super::{Files, Kind, Next, Remover, step};
use crate::ids::{RemovalId, WorkspaceId};
use crate::ingestion::queue::{self, Job, QueueError, Registry, Setback, Turn};

/// Why a removal comes back that met no trouble.
const WAITING: &str = "the removal waits for something to go";

/// Takes a workspace away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveWorkspace {
    /// Which removal.
    pub removal: RemovalId,
}

/// Takes an account away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveAccount {
    /// Which removal.
    pub removal: RemovalId,
}

/// Takes away what arrived in a workspace's place after the workspace was gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepLateFiles {
    /// Whose place.
    pub workspace: WorkspaceId,
    /// Its region, which says in which bucket the place is.
    pub region: Option<String>,
}

/// The jobs of this folder, to be done with `remover`.
pub fn jobs(remover: &Remover, registry: Registry) -> Registry {
    registry
        .with::<RemoveWorkspace>(remover.clone())
        .with::<RemoveAccount>(remover.clone())
        .with::<SweepLateFiles>(remover.clone())
}

impl Job for RemoveWorkspace {
    type State = Remover;
    const NAME: &'static str = "remove_workspace";

    fn key(&self) -> String {
        format!("removal:{}", self.removal)
    }

    fn lane(&self) -> Option<String> {
        Some(self.key())
    }

    async fn run(self, remover: Remover, turn: Turn) -> Result<(), Setback> {
        walk(&remover, self.removal, turn).await
    }
}

impl Job for RemoveAccount {
    type State = Remover;
    const NAME: &'static str = "remove_account";

    fn key(&self) -> String {
        format!("removal:{}", self.removal)
    }

    fn lane(&self) -> Option<String> {
        Some(self.key())
    }

    async fn run(self, remover: Remover, turn: Turn) -> Result<(), Setback> {
        walk(&remover, self.removal, turn).await
    }
}

/// Behind the removals that people wait for.
const PRIORITY: i16 = 10;

impl Job for SweepLateFiles {
    type State = Remover;
    const NAME: &'static str = "sweep_late_files";

    fn key(&self) -> String {
        format!("late-files:{}", self.workspace)
    }

    fn priority(&self) -> i16 {
        PRIORITY
    }

    async fn run(self, remover: Remover, turn: Turn) -> Result<(), Setback> {
        match remover
            .files
            .remove_all(self.region.as_deref(), &self.workspace)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => Err(Setback::backoff(turn, error)),
        }
    }
}

/// Step after step, until there is none or something has to be waited for.
async fn walk(remover: &Remover, removal: RemovalId, turn: Turn) -> Result<(), Setback> {
    loop {
        match step(remover, removal).await {
            Ok(Next::Step) => {}
            Ok(Next::Done) => return Ok(()),
            Ok(Next::Wait(after)) => {
                return Err(Setback {
                    after,
                    why: WAITING.to_owned(),
                });
            }
            Ok(Next::Later) => return Err(Setback::backoff(turn, WAITING)),
            Err(error) => {
                tracing::warn!(
                    removal.id = %removal,
                    error = &error as &dyn std::error::Error,
                    "A step of a removal was not done"
                );
                return Err(Setback::backoff(turn, error));
            }
        }
    }
}

/// Adds a job for every removal that is not done, and returns how many that were. A job that was given up, or lost with a
/// restored queue, is made up for by this.
pub async fn resume(database: &PgPool) -> Result<usize, QueueError> {
    /// Removals of one look.
    const LOOK_MAX: i64 = 1_000;
    /// Whoever began this lately has a job.
    const QUIET_FOR: Duration = Duration::from_mins(2);
    let rows = sqlx::query(
        "SELECT id, kind FROM removals
         WHERE finished_at IS NULL AND requested_at < now() - make_interval(secs => $2)
         ORDER BY requested_at LIMIT $1",
    )
    .bind(LOOK_MAX)
    .bind(QUIET_FOR.as_secs_f64())
    .fetch_all(database)
    .await?;
    for row in &rows {
        let removal = RemovalId(row.try_get("id")?);
        match row.try_get("kind")? {
            Kind::Workspace => queue::add(database, &RemoveWorkspace { removal }).await?,
            Kind::Account => queue::add(database, &RemoveAccount { removal }).await?,
        }
    }
    Ok(rows.len())
}
