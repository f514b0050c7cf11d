//! A document in one worker's hands: what it writes about it, and whether it is still wanted.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, PgPool, Row as _};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use uuid::Uuid;

use super::Ingest;
use crate::documents::{Failure, Step, Trouble, note_event};
use crate::ids::{DocumentId, WorkspaceId};

/// How often progress is written, and looked whether the document is still wanted: at most, whatever happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The right to write about a document, until another worker takes it or the reading is no longer wanted.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    database: PgPool,
    pub(super) workspace: WorkspaceId,
    pub(super) document: DocumentId,
    reading: i32,
    id: Uuid,
}

/// What the row says of the document when it is claimed.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) byte_count: u64,
    pub(super) content_sha256: [u8; 32],
}

/// What was read of a document, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pages that the file has.
    pub(super) pages: i32,
    /// Chunks that were stored.
    pub(super) chunks: i32,
    /// The numbers of the pages that are damaged.
    pub(super) unreadable_pages: Vec<i32>,
}

/// The document is not wanted any more, or is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document is not this worker's any more")]
pub(super) struct Unwanted;

/// How far the work is, told without waiting.
#[derive(Debug, Clone)]
pub(super) struct Meter(watch::Sender<(Step, u8)>);

impl Meter {
    pub(super) fn set(&self, step: Step, percent: u8) {
        self.0.send_if_modified(|now| {
            let changed = *now != (step, percent);
            *now = (step, percent);
            changed
        });
    }

    /// `done` of `all`.
    pub(super) fn share(&self, step: Step, done: usize, all: usize) {
        let percent = (done.min(all) * 100).checked_div(all).unwrap_or(0);
        self.set(step, u8::try_from(percent).unwrap_or(100));
    }
}

impl Claim {
    /// Takes the document, also from a worker that holds it: the queue gives a job to one worker at a time, so that one is
    /// gone or taken for dead. `None`: this reading is not wanted (any more).
    pub(super) async fn take(
        database: &PgPool,
        job: &Ingest,
    ) -> sqlx::Result<Option<(Self, Claimed)>> {
        let id = Uuid::new_v4();
        let mut transaction = database.begin().await?;
        let row = sqlx::query(
            "UPDATE documents SET state = 'working', step = 'fetch', percent = 0, trouble = NULL, retry_at = NULL,
                    claim = $4, updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND reading = $3 AND state IN ('queued', 'working')
             RETURNING byte_count, content_sha256",
        )
        .bind(job.workspace.as_str())
        .bind(job.document.0)
        .bind(job.reading)
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        note_event(&mut *transaction, &job.workspace, job.document).await?;
        transaction.commit().await?;
        let sha256: Vec<u8> = row.try_get("content_sha256")?;
        let claimed = Claimed {
            byte_count: u64::try_from(row.try_get::<i64, _>("byte_count")?).unwrap_or(0),
            content_sha256: sha256
                .try_into()
                .map_err(|_| sqlx::Error::Protocol("a checksum of another length".into()))?,
        };
        let claim = Self {
            database: database.clone(),
            workspace: job.workspace.clone(),
            document: job.document,
            reading: job.reading,
            id,
        };
        Ok(Some((claim, claimed)))
    }

    /// Does `work` and writes its progress; drops it when the document is no longer wanted.
    pub(super) async fn guard<T>(&self, work: impl AsyncFnOnce(Meter) -> T) -> Result<T, Unwanted> {
        let (sender, mut progress) = watch::channel((Step::Fetch, 0));
        // Boxed: all steps together are larger than a stack should carry through the queue.
        let mut work = Box::pin(work(Meter(sender)));
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        loop {
            tokio::select! {
                outcome = &mut work => return Ok(outcome),
                _ = look.tick() => {
                    let changed = progress.has_changed().unwrap_or(false);
                    let (step, percent) = *progress.borrow_and_update();
                    let wanted = if changed {
                        self.write_progress(step, percent).await
                    } else {
                        self.is_wanted(&self.database).await
                    };
                    match wanted {
                        Ok(true) => {}
                        Ok(false) => return Err(Unwanted),
                        // The main database being away stops nothing that does not need it.
                        Err(error) => warn!(
                            document.id = %self.document,
                            error = &error as &dyn std::error::Error,
                            "Progress could not be written"
                        ),
                    }
                }
            }
        }
    }

    /// Whether the document is still this worker's.
    pub(super) async fn is_wanted(&self, executor: impl PgExecutor<'_>) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM documents d JOIN workspaces w ON w.id = d.workspace_id
                             WHERE d.workspace_id = $1 AND d.id = $2 AND d.reading = $3 AND d.claim = $4
                               AND d.state = 'working' AND w.state <> 'removing')",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.reading)
        .bind(self.id)
        .fetch_one(executor)
        .await
    }

    /// As [`Self::is_wanted`], from the pool.
    pub(super) async fn still_wanted(&self) -> sqlx::Result<bool> {
        self.is_wanted(&self.database).await
    }

    async fn write_progress(&self, step: Step, percent: u8) -> sqlx::Result<bool> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE documents d SET step = $5, percent = $6, updated_at = now() FROM workspaces w
             WHERE w.id = d.workspace_id AND w.state <> 'removing'
               AND d.workspace_id = $1 AND d.id = $2 AND d.reading = $3 AND d.claim = $4 AND d.state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.reading)
        .bind(self.id)
        .bind(step.as_str())
        .bind(i16::from(percent))
        .execute(&mut *transaction)
        .await?;
        self.commit(transaction, done.rows_affected()).await
    }

    /// Says what is in the way, and when it goes on.
    pub(super) async fn write_trouble(
        &self,
        trouble: Trouble,
        after: Duration,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE documents SET trouble = $5, retry_at = now() + make_interval(secs => $6), updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND reading = $3 AND claim = $4 AND state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.reading)
        .bind(self.id)
        .bind(trouble.as_str())
        .bind(after.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        self.commit(transaction, done.rows_affected()).await
    }

    /// The end, and not a good one.
    pub(super) async fn fail(&self, failure: &Failure) -> sqlx::Result<bool> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE documents SET state = 'failed', failure = $5, claim = NULL, step = NULL, percent = NULL,
                    trouble = NULL, retry_at = NULL, updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND reading = $3 AND claim = $4 AND state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.reading)
        .bind(self.id)
        .bind(failure.to_column())
        .execute(&mut *transaction)
        .await?;
        self.commit(transaction, done.rows_affected()).await
    }

    /// The good end, within the caller's transaction. False: it is no longer wanted.
    pub(super) async fn finish(
        &self,
        transaction: &mut PgConnection,
        counts: &Counts,
    ) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE documents SET state = 'ready', claim = NULL, step = NULL, percent = NULL,
                    trouble = NULL, retry_at = NULL, page_count = $5, chunk_count = $6,
                    unreadable_pages = $7, updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND reading = $3 AND claim = $4 AND state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.reading)
        .bind(self.id)
        .bind(counts.pages)
        .bind(counts.chunks)
        .bind(&counts.unreadable_pages)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        note_event(&mut *transaction, &self.workspace, self.document).await?;
        Ok(true)
    }

    async fn commit(
        &self,
        mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
        rows: u64,
    ) -> sqlx::Result<bool> {
        if rows == 0 {
            return Ok(false);
        }
        note_event(&mut *transaction, &self.workspace, self.document).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
