//! A worker's claim on a document: it fences the worker's writes to the row, and ends when the
//! document is no longer to be ingested.

use std::time::Duration;

use pdf_text::PageReport;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row as _};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;
use uuid::Uuid;

use crate::documents::{
    BlockedOn, DiscardText, Ingest, IngestError, IngestStep, PageSummary, SystemFailure,
    publish_change,
};
use crate::ids::{DocumentId, WorkspaceId};
use crate::jobs::{self, QueueError};

/// How often progress is written and the claim is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The right to write to a document's row. It ends when another worker claims the document, or when
/// this revision is cancelled or superseded.
#[derive(Debug, Clone)]
pub(super) struct DocumentClaim {
    database: PgPool,
    pub(super) workspace: WorkspaceId,
    pub(super) document: DocumentId,
    revision: i32,
    id: Uuid,
}

/// The document's row at the time of the claim.
#[derive(Debug, Clone)]
pub(super) struct ClaimedRow {
    pub(super) byte_count: u64,
    pub(super) content_sha256: [u8; 32],
    /// Whether no ingestion of the document was completed yet.
    pub(super) is_first: bool,
}

/// What ingestion found in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) pages: i32,
    pub(super) chunks: i32,
    /// Pages whose text may be missing, by number from 1.
    pub(super) unreadable_pages: Vec<i32>,
    pub(super) page_report: PageReport,
}

/// Another worker claimed the document, or this revision is no longer needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim on the document is lost")]
pub(super) struct ClaimLost;

/// Reports progress without waiting for the database.
#[derive(Debug, Clone)]
pub(super) struct ProgressReporter(watch::Sender<(IngestStep, u8)>);

impl ProgressReporter {
    pub(super) fn report(&self, step: IngestStep, percent: u8) {
        self.0.send_if_modified(|current| {
            let changed = *current != (step, percent);
            *current = (step, percent);
            changed
        });
    }

    /// Reports `done` of `total` items.
    pub(super) fn report_share(&self, step: IngestStep, done: usize, total: usize) {
        let percent = (done.min(total) * 100).checked_div(total).unwrap_or(0);
        self.report(step, u8::try_from(percent).unwrap_or(100));
    }
}

impl DocumentClaim {
    /// Claims the document, even if another worker holds it: the queue runs a job on one worker at
    /// a time, so that worker is dead or was declared dead. `None`: this revision is no longer
    /// needed.
    pub(super) async fn take(
        database: &PgPool,
        job: &Ingest,
    ) -> sqlx::Result<Option<(Self, ClaimedRow)>> {
        let id = Uuid::new_v4();
        let mut transaction = database.begin().await?;
        let row = sqlx::query(
            "UPDATE documents SET state = 'working', step = 'fetch', percent = 0, blocked_on = NULL, retry_at = NULL,
                    claim = $4, updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND revision = $3 AND state IN ('queued', 'working')
             RETURNING byte_count, content_sha256, page_count IS NULL AS is_first",
        )
        .bind(job.workspace.as_str())
        .bind(job.document.0)
        .bind(job.revision)
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        publish_change(&mut *transaction, &job.workspace, job.document).await?;
        transaction.commit().await?;
        let sha256: Vec<u8> = row.try_get("content_sha256")?;
        let claimed = ClaimedRow {
            byte_count: u64::try_from(row.try_get::<i64, _>("byte_count")?).unwrap_or(0),
            content_sha256: sha256.try_into().map_err(|_| {
                sqlx::Error::Protocol("content_sha256 must be 32 bytes long".into())
            })?,
            is_first: row.try_get("is_first")?,
        };
        let claim = Self {
            database: database.clone(),
            workspace: job.workspace.clone(),
            document: job.document,
            revision: job.revision,
            id,
        };
        Ok(Some((claim, claimed)))
    }

    /// Runs `work` and writes its progress to the row. Drops it when the claim is lost.
    pub(super) async fn guard<T>(
        &self,
        work: impl AsyncFnOnce(ProgressReporter) -> T,
    ) -> Result<T, ClaimLost> {
        let (sender, mut progress) = watch::channel((IngestStep::Fetch, 0));
        // Boxed because the future of all steps is too large for the stack.
        let mut work = Box::pin(work(ProgressReporter(sender)));
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.reset();
        loop {
            tokio::select! {
                outcome = &mut work => return Ok(outcome),
                _ = check.tick() => {
                    let changed = progress.has_changed().unwrap_or(false);
                    let (step, percent) = *progress.borrow_and_update();
                    let current = if changed {
                        self.write_progress(step, percent).await
                    } else {
                        self.is_current().await
                    };
                    match current {
                        Ok(true) => {}
                        Ok(false) => return Err(ClaimLost),
                        // An unavailable main database does not interrupt work that does not need
                        // it.
                        Err(error) => warn!(
                            document.id = %self.document,
                            error = %service_kit::error_chain(&error),
                            "failed to write progress"
                        ),
                    }
                }
            }
        }
    }

    /// Whether the claim still holds.
    pub(super) async fn is_current(&self) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM documents d JOIN workspaces w ON w.id = d.workspace_id
                             WHERE d.workspace_id = $1 AND d.id = $2 AND d.revision = $3 AND d.claim = $4
                               AND d.state = 'working' AND w.state <> 'deleting')",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.revision)
        .bind(self.id)
        .fetch_one(&self.database)
        .await
    }

    async fn write_progress(&self, step: IngestStep, percent: u8) -> sqlx::Result<bool> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE documents d SET step = $5, percent = $6, updated_at = now() FROM workspaces w
             WHERE w.id = d.workspace_id AND w.state <> 'deleting'
               AND d.workspace_id = $1 AND d.id = $2 AND d.revision = $3 AND d.claim = $4 AND d.state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.revision)
        .bind(self.id)
        .bind(step)
        .bind(i16::from(percent))
        .execute(&mut *transaction)
        .await?;
        self.commit(transaction, done.rows_affected()).await
    }

    /// Records what the ingestion is waiting for, and when the next attempt starts.
    pub(super) async fn write_blocked(
        &self,
        on: BlockedOn,
        retry_after: Duration,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE documents SET blocked_on = $5, retry_at = now() + make_interval(secs => $6), updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND revision = $3 AND claim = $4 AND state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.revision)
        .bind(self.id)
        .bind(on)
        .bind(retry_after.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        self.commit(transaction, done.rows_affected()).await
    }

    /// Marks the document as failed. If the workspace's database has no space for it, a job deletes
    /// what was stored of it, so that the rest of the workspace can be used.
    pub(super) async fn fail(&self, error: &IngestError) -> Result<bool, QueueError> {
        let mut transaction = self.database.begin().await?;
        let done = sqlx::query(
            "UPDATE documents SET state = 'failed', failure = $5, claim = NULL, step = NULL, percent = NULL,
                    blocked_on = NULL, retry_at = NULL, updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND revision = $3 AND claim = $4 AND state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.revision)
        .bind(self.id)
        .bind(error)
        .execute(&mut *transaction)
        .await?;
        if *error == IngestError::System(SystemFailure::DatabaseFull) {
            let job = DiscardText {
                workspace: self.workspace.clone(),
                document: self.document,
            };
            jobs::add(&mut *transaction, &job).await?;
        }
        Ok(self.commit(transaction, done.rows_affected()).await?)
    }

    /// Marks the document as ready, within the caller's transaction. Returns `false` if the claim
    /// is lost.
    pub(super) async fn finish(
        &self,
        transaction: &mut PgConnection,
        counts: &Counts,
    ) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE documents SET state = 'ready', claim = NULL, step = NULL, percent = NULL,
                    blocked_on = NULL, retry_at = NULL, page_count = $5, chunk_count = $6,
                    unreadable_pages = $7, page_report = $8, page_summary = $9, updated_at = now()
             WHERE workspace_id = $1 AND id = $2 AND revision = $3 AND claim = $4 AND state = 'working'",
        )
        .bind(self.workspace.as_str())
        .bind(self.document.0)
        .bind(self.revision)
        .bind(self.id)
        .bind(counts.pages)
        .bind(counts.chunks)
        .bind(&counts.unreadable_pages)
        .bind(Json(&counts.page_report))
        .bind(Json(PageSummary::of(&counts.page_report)))
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        publish_change(&mut *transaction, &self.workspace, self.document).await?;
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
        publish_change(&mut *transaction, &self.workspace, self.document).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
