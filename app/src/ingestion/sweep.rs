//! Once a minute: what no job sees to.

use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};
use tracing::{info, warn};

use crate::jobs::{self, Job, QueueError, Setback, Turn};
use super::reembed::Reembed;
use super::wanted_model;
use super::workshop::Workshop;
use super::{Ingest, RemoveDocument};
use crate::config;
use crate::documents::{self, Failure, OwnFailure};
use crate::identity::sessions;
use crate::ids::{DocumentId, WorkspaceId};

/// Documents looked at by one sweep at most; the next takes the rest.
const DOCUMENTS_MAX: i64 = 500;
/// A row that has not changed for so long should have a job. Before that, its transaction may still be under way elsewhere.
const SETTLED_SECONDS: f64 = 60.0;
/// Workspaces whose re-embedding one sweep begins at most, so that a new model comes to ten thousand of them over hours.
const REEMBEDDINGS_MAX: i64 = 20;

/// Sweeps: uploads that never came, documents whose job was given up or lost, workspaces with another embedding model, and
/// rows of the queue and of sign-ins that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {}

impl Sweep {
    /// The key of its one job.
    pub const KEY: &'static str = "sweep";
}

/// What a sweep works with.
#[derive(Debug, Clone)]
pub struct SweepState {
    /// For documents and models.
    pub workshop: Workshop,
    /// How long a session is good.
    pub sessions: config::Sessions,
}

impl Job for Sweep {
    type State = SweepState;
    const NAME: &'static str = "sweep";
    const STARTS_MAX: i16 = 2;

    fn key(&self) -> String {
        Self::KEY.to_owned()
    }

    async fn run(self, state: SweepState, _turn: Turn) -> Result<(), Setback> {
        let SweepState {
            workshop,
            sessions: lifetimes,
        } = state;
        let database = &workshop.tools().database;
        // One after another, and none waits for another's success; what fails is tried again in a minute.
        match documents::sweep_uploads(database).await {
            Ok(swept) if swept.uploads > 0 => {
                info!("{} uploads did not arrive in time", swept.uploads);
            }
            Ok(_) => {}
            Err(error) => failed("uploads", &error),
        }
        if let Err(error) = documents_without_jobs(database).await {
            failed("documents without jobs", &error);
        }
        if let Err(error) = other_models(database, &workshop.embedding_model()).await {
            failed("workspaces with another model", &error);
        }
        if let Err(error) = sessions::sweep(database, lifetimes).await {
            failed("sessions", &error);
        }
        if let Err(error) = jobs::collect_garbage(database).await {
            failed("the queue", &error);
        }
        Ok(())
    }
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) {
    warn!(
        error,
        "Sweeping {what} did not work; it is tried again in a minute"
    );
}

/// Documents that wait for a job that is not there. One that was given up has failed; one that was lost is added again.
async fn documents_without_jobs(database: &PgPool) -> Result<(), QueueError> {
    let rows = sqlx::query(
        "SELECT d.id, d.workspace_id, d.reading, d.state::text AS state,
                EXISTS (SELECT FROM graphile_worker._private_jobs j
                         WHERE j.key = CASE d.state WHEN 'removing' THEN 'remove:' ELSE 'ingest:' END || d.id) AS given_up
         FROM documents d JOIN workspaces w ON w.id = d.workspace_id
         WHERE d.state IN ('queued', 'working', 'removing') AND w.state <> 'removing'
           AND d.updated_at < now() - make_interval(secs => $1)
           AND (d.retry_at IS NULL OR d.retry_at < now() - make_interval(secs => $1))
           AND NOT EXISTS (SELECT FROM graphile_worker._private_jobs j
                            WHERE j.key = CASE d.state WHEN 'removing' THEN 'remove:' ELSE 'ingest:' END || d.id
                              AND (j.is_available OR j.locked_at IS NOT NULL))
         ORDER BY d.updated_at LIMIT $2",
    )
    .bind(SETTLED_SECONDS)
    .bind(DOCUMENTS_MAX)
    .fetch_all(database)
    .await?;
    for row in rows {
        let document = DocumentId(row.try_get("id")?);
        let Ok(workspace) = row
            .try_get::<String, _>("workspace_id")?
            .parse::<WorkspaceId>()
        else {
            continue;
        };
        let state: String = row.try_get("state")?;
        let given_up: bool = row.try_get("given_up")?;
        let reading: i32 = row.try_get("reading")?;
        if state == "removing" {
            warn!(document.id = %document, "A removal was given up or lost; it is begun again");
            jobs::add(
                database,
                &RemoveDocument {
                    workspace,
                    document,
                },
            )
            .await?;
        } else if given_up {
            warn!(document.id = %document, "Reading the document stopped its worker too often; it is given up");
            give_up(database, &workspace, document, reading).await?;
        } else {
            warn!(document.id = %document, "The document's job was lost; it is added again");
            add_again(database, &workspace, document, reading).await?;
        }
    }
    Ok(())
}

/// Adds the job if the document still waits for this very reading: looked at with its row held, so that the job of a reading that was
/// asked for since is not replaced.
async fn add_again(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    reading: i32,
) -> Result<(), QueueError> {
    let mut transaction = database.begin().await?;
    let waits: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM documents
         WHERE workspace_id = $1 AND id = $2 AND reading = $3 AND state IN ('queued', 'working') FOR UPDATE",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(reading)
    .fetch_optional(&mut *transaction)
    .await?;
    if waits.is_some() {
        let job = Ingest::of(&mut transaction, workspace, document, reading).await?;
        jobs::add(&mut *transaction, &job).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn give_up(
    database: &PgPool,
    workspace: &WorkspaceId,
    document: DocumentId,
    reading: i32,
) -> Result<(), QueueError> {
    let mut transaction = database.begin().await?;
    sqlx::query(
        "UPDATE documents SET state = 'failed', failure = $4, reading = reading + 1, claim = NULL, step = NULL, percent = NULL,
                trouble = NULL, retry_at = NULL, updated_at = now()
         WHERE workspace_id = $1 AND id = $2 AND reading = $3 AND state IN ('queued', 'working')",
    )
    .bind(workspace.as_str())
    .bind(document.0)
    .bind(reading)
    .bind(Failure::Own(OwnFailure::WorkerDied).to_column())
    .execute(&mut *transaction)
    .await?;
    documents::note_event(&mut *transaction, workspace, document).await?;
    transaction.commit().await?;
    Ok(())
}

/// Workspaces that another model serves than the wanted one begin to change over, some at a time.
async fn other_models(database: &PgPool, own: &str) -> Result<(), QueueError> {
    let model = wanted_model::wanted(database, own).await?;
    let workspaces: Vec<String> = sqlx::query_scalar(
        "SELECT w.id FROM workspaces w
         WHERE w.embedding_model <> $1 AND w.state = 'active'
           AND NOT EXISTS (SELECT FROM graphile_worker._private_jobs j
                            WHERE j.key = 'reembed:' || w.id AND (j.is_available OR j.locked_at IS NOT NULL))
         ORDER BY w.id LIMIT $2",
    )
    .bind(&model)
    .bind(REEMBEDDINGS_MAX)
    .fetch_all(database)
    .await?;
    for workspace in workspaces {
        if let Ok(workspace) = workspace.parse() {
            let job = Reembed {
                workspace,
                model: model.clone(),
            };
            jobs::add(database, &job).await?;
        }
    }
    Ok(())
}
