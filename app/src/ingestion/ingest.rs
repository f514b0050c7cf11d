//! One document, read: the order of the steps, and what becomes of each way in which they can end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tracing::{Instrument as _, info, info_span, warn};

use super::claim::{Claim, Claimed, Counts, Meter};
use super::extract::{chunk, extract, fetch};
use crate::jobs::{self, Job, Setback, Turn, backoff};
use super::reembed::Reembed;
use super::store::{Reading, store};
use super::vectors::Embeds;
use super::wanted_model;
use super::workshop::{Checkpoint, Workshop};
use crate::documents::{Failure, Step, Trouble};
use crate::ids::{DocumentId, WorkspaceId};
use crate::tenants::Unavailable;
use crate::workspaces;
use crate::domain::{Workspace, WorkspaceState};

/// Beginnings of one reading at most, after which a trouble that stays becomes a failure: with the queue's waits, almost two hours.
pub const ATTEMPTS_MAX: u32 = 60;
/// Lower goes first: reading gives way to removals and renamings.
const PRIORITY: i16 = 10;
/// What a workspace's own documents, on their way before this one, count at most: even the last goes before background work.
const AHEAD_MAX: i16 = 30;
/// A file that takes its worker with it is given up after so many.
const STARTS_MAX: i16 = 4;

/// Reads a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Which it is.
    pub document: DocumentId,
    /// Which of its readings; work for an older one stops.
    pub reading: i32,
    /// How many others of the workspace were on their way when it was put into the queue. That many places behind the first of
    /// each workspace it waits.
    #[serde(default)]
    pub ahead: i16,
}

impl Ingest {
    /// The job of a reading, with its place in the queue: behind the workspace's other documents, and not before the first ones of others.
    pub async fn of(
        connection: &mut PgConnection,
        workspace: &WorkspaceId,
        document: DocumentId,
        reading: i32,
    ) -> sqlx::Result<Self> {
        let ahead = sqlx::query_scalar(
            "SELECT least(count(*), $3)::smallint FROM documents
             WHERE workspace_id = $1 AND id <> $2 AND state IN ('queued', 'working')",
        )
        .bind(workspace.as_str())
        .bind(document.0)
        .bind(AHEAD_MAX)
        .fetch_one(connection)
        .await?;
        Ok(Self {
            workspace: workspace.clone(),
            document,
            reading,
            ahead,
        })
    }

    /// The key of a document's job.
    pub fn key_of(document: DocumentId) -> String {
        format!("ingest:{document}")
    }
}

/// The lane of a document: what is done to one document is done one after another.
pub(super) fn lane(document: DocumentId) -> String {
    format!("document:{document}")
}

impl Job for Ingest {
    type State = Workshop;
    const NAME: &'static str = "ingest_document";
    const STARTS_MAX: i16 = STARTS_MAX;

    fn key(&self) -> String {
        Self::key_of(self.document)
    }

    fn lane(&self) -> Option<String> {
        Some(lane(self.document))
    }

    fn priority(&self) -> i16 {
        PRIORITY.saturating_add(self.ahead)
    }

    async fn run(self, workshop: Workshop, turn: Turn) -> Result<(), Setback> {
        let span = info_span!(
            "ingest",
            document.id = %self.document,
            workspace.id = %self.workspace,
            document.reading = self.reading,
            job.attempt = turn.attempt,
        );
        ingest(&self, &workshop, turn).instrument(span).await
    }
}

/// How a step ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// Nobody wants it any more.
    #[error("the document is not wanted any more")]
    Unwanted,
    /// It stays like this.
    #[error("the document cannot be read ({})", .0.code())]
    Failed(Failure),
    /// It will pass.
    #[error("{why}")]
    Trouble {
        trouble: Trouble,
        why: String,
        /// Not before this has passed.
        after: Option<Duration>,
    },
    /// The workspace's database failed a statement.
    #[error("the workspace's database did not do it")]
    Tenant(#[source] sqlx::Error),
    /// The main database did.
    #[error("the main database did not do it")]
    Main(#[source] sqlx::Error),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl StepError {
    pub(super) fn trouble(trouble: Trouble, why: &(dyn std::error::Error + 'static)) -> Self {
        Self::Trouble {
            trouble,
            why: service_kit::error_chain(why),
            after: None,
        }
    }
}

async fn ingest(job: &Ingest, workshop: &Workshop, turn: Turn) -> Result<(), Setback> {
    let main_away = |error: sqlx::Error| Setback::backoff(turn, error);
    let database = &workshop.tools().database;
    let workspace = workspaces::store::find(database, &job.workspace)
        .await
        .map_err(main_away)?;
    let Some(workspace) = workspace.filter(|found| found.state != WorkspaceState::Deleting) else {
        return Ok(());
    };
    let Some((claim, row)) = Claim::take(database, job).await.map_err(main_away)? else {
        return Ok(());
    };
    workshop.reached(Checkpoint::Claimed).await;
    let work = claim.guard(async |meter| steps(workshop, &workspace, &claim, &row, &meter).await);
    let outcome = work.await.unwrap_or(Err(StepError::Unwanted));
    let trouble = match outcome {
        Ok(()) => {
            workshop.count(|metrics| metrics.document_read("ready"));
            return Ok(());
        }
        Err(StepError::Unwanted) => {
            info!("The document is not wanted any more; its reading stops");
            return Ok(());
        }
        Err(StepError::Failed(failure)) => {
            info!(failure = failure.code(), "The document cannot be read");
            fail(workshop, &claim, &failure).await.map_err(main_away)?;
            return Ok(());
        }
        Err(StepError::Main(error)) => return Err(main_away(error)),
        Err(StepError::Tenant(error)) => {
            workshop.tools().tenants.failed(&workspace, &error).await;
            (Trouble::Database, service_kit::error_chain(&error), None)
        }
        Err(StepError::Trouble {
            trouble,
            why,
            after,
        }) => (trouble, why, after),
    };
    let (trouble, why, after) = trouble;
    if turn.attempt >= ATTEMPTS_MAX {
        warn!(error = why, "The trouble lasts; the document fails with it");
        let failure = trouble.when_it_lasts();
        fail(workshop, &claim, &failure).await.map_err(main_away)?;
        return Ok(());
    }
    let after = after.unwrap_or_default().max(backoff(turn.attempt));
    if claim
        .write_trouble(trouble, after)
        .await
        .map_err(main_away)?
    {
        Err(Setback { after, why })
    } else {
        Ok(())
    }
}

async fn steps(
    workshop: &Workshop,
    workspace: &Workspace,
    claim: &Claim,
    row: &Claimed,
    meter: &Meter,
) -> Result<(), StepError> {
    let began = Instant::now();
    let tools = workshop.tools();
    let place = tools
        .objects
        .prefix(workspace.region.as_deref(), &workspace.id)
        .document(claim.document);

    meter.set(Step::Fetch, 0);
    let looked = async {
        // The database first: nothing is worth reading that cannot be kept. It wakes up while the file is read.
        drop(open(workshop, workspace).await?);
        fetch(&tools.objects, &place, row).await
    };
    timed(workshop, Step::Fetch, looked).await?;

    meter.set(Step::Extract, 0);
    let extracted = extract(&tools.extractor, &tools.objects, &place, row, meter);
    let extraction = timed(workshop, Step::Extract, extracted).await?;
    let page_count = i32::try_from(extraction.page_count).unwrap_or(i32::MAX);
    let unreadable_pages: Vec<i32> = extraction
        .unreadable
        .iter()
        .filter_map(|number| i32::try_from(*number).ok())
        .collect();

    meter.set(Step::Chunk, 0);
    let chunks = timed(workshop, Step::Chunk, chunk(extraction)).await?;

    meter.set(Step::Embed, 0);
    let tenant = open(workshop, workspace).await?;
    let current = workshop.embedding_model();
    let wanted = wanted_model::wanted(&tools.database, &current)
        .await
        .map_err(StepError::Main)?;
    let models = models_for(workshop, workspace, &wanted);
    let embedded = super::embed::embed(workshop, tenant.pool(), claim, &chunks, &models, meter);
    timed(workshop, Step::Embed, embedded).await?;

    meter.set(Step::Store, 0);
    let models: Vec<String> = models.iter().map(|model| model.name().to_owned()).collect();
    let reading = Reading {
        chunks: &chunks,
        page_count,
        models: &models,
    };
    timed(
        workshop,
        Step::Store,
        store(workshop, tenant.pool(), claim, &reading),
    )
    .await?;
    drop(tenant);

    let counts = Counts {
        pages: page_count,
        chunks: i32::try_from(chunks.len()).unwrap_or(i32::MAX),
        unreadable_pages,
    };
    finish(workshop, claim, &counts, &models, wanted).await?;
    info!(
        document.pages = page_count,
        document.pages_unreadable = counts.unreadable_pages.len(),
        document.chunks = counts.chunks,
        "The document is ready after {} ms",
        began.elapsed().as_millis()
    );
    Ok(())
}

/// A step with its span and its time.
async fn timed<T>(
    workshop: &Workshop,
    step: Step,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    let began = Instant::now();
    let done = work
        .instrument(info_span!("ingest_step", step = step.as_str()))
        .await?;
    workshop.count(|metrics| metrics.document_step(step.as_str(), began.elapsed()));
    workshop.reached(Checkpoint::Done(step)).await;
    Ok(done)
}

async fn fail(workshop: &Workshop, claim: &Claim, failure: &Failure) -> sqlx::Result<()> {
    if claim.fail(failure).await? {
        workshop.count(|metrics| metrics.document_read(failure.code()));
    }
    Ok(())
}

/// The workspace's database.
pub(super) async fn open(
    workshop: &Workshop,
    workspace: &Workspace,
) -> Result<super::workshop::Lease, StepError> {
    let tools = workshop.tools();
    let opened = tools.tenants.open(workspace).await;
    if opened.is_ok() && workspace.available_at.is_none() {
        // From here on there may be rows in it, which a removal has to take.
        workspaces::store::mark_available(&tools.database, &workspace.id)
            .await
            .map_err(StepError::Main)?;
    }
    opened.map_err(|reason| {
        let trouble = match reason {
            Unavailable::Provisioning(_)
            | Unavailable::Stalled(_)
            | Unavailable::SchemaOutdated { .. } => Trouble::DatabaseNotReady,
            Unavailable::Deleted
            | Unavailable::NotOwned
            | Unavailable::PoolsExhausted
            | Unavailable::Unreachable { .. } => Trouble::Database,
        };
        StepError::trouble(trouble, &reason)
    })
}

/// The model of new documents, and the one that serves if it is another and can still be had; that one alone where it is to stay.
fn models_for(workshop: &Workshop, workspace: &Workspace, wanted: &str) -> Vec<Arc<dyn Embeds>> {
    let current = workshop.tools().models.current();
    let serving = workspace
        .embedding_model
        .as_deref()
        .filter(|serving| *serving != current.name())
        .and_then(|serving| workshop.embeds(serving));
    match serving {
        Some(serving) if serving.name() == wanted => vec![serving],
        serving => std::iter::once(current).chain(serving).collect(),
    }
}

/// Says that it is ready, and sees to the workspace's model.
async fn finish(
    workshop: &Workshop,
    claim: &Claim,
    counts: &Counts,
    written: &[String],
    wanted: String,
) -> Result<(), StepError> {
    let mut transaction = workshop
        .tools()
        .database
        .begin()
        .await
        .map_err(StepError::Main)?;
    // Held until the commit: which model serves cannot change between looking and saying "ready".
    let serving: Option<Option<String>> = sqlx::query_scalar(
        "SELECT embedding_model FROM workspaces WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(claim.workspace.as_str())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(StepError::Main)?;
    match serving.ok_or(StepError::Unwanted)? {
        None => {
            if let Some(first) = written.first() {
                workspaces::store::serve_embedding_model(
                    &mut *transaction,
                    &claim.workspace,
                    None,
                    first,
                )
                .await
                .map_err(StepError::Main)?;
            }
        }
        Some(serving) => {
            if !written.contains(&serving) && workshop.embeds(&serving).is_some() {
                // It was changed while this document was read: once more, with that one. Nothing is paid for twice.
                return Err(StepError::Trouble {
                    trouble: Trouble::Model,
                    why: "the workspace's embedding model was changed".to_owned(),
                    after: None,
                });
            }
            // Something is to be made for the wanted model, or to be cleared away of another.
            if serving != wanted || written.iter().any(|model| *model != serving) {
                let job = Reembed {
                    workspace: claim.workspace.clone(),
                    model: wanted,
                };
                // Also if one runs: it may have looked for the last time, or be of another model. This one then comes behind it.
                jobs::add(&mut *transaction, &job)
                    .await
                    .map_err(of_queue)?;
            }
        }
    }
    let wanted = claim
        .finish(&mut transaction, counts)
        .await
        .map_err(StepError::Main)?;
    if !wanted {
        return Err(StepError::Unwanted);
    }
    transaction.commit().await.map_err(StepError::Main)
}

fn of_queue(error: jobs::QueueError) -> StepError {
    StepError::Main(match error {
        jobs::QueueError::Database(error) => error,
        error => sqlx::Error::Encode(Box::new(error)),
    })
}
