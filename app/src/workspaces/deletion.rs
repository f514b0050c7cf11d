//! Deletes workspaces and accounts in durable steps, and keeps a receipt.
//!
//! A [`request`] marks the rows, so that every handler answers 404 from then on, and adds a job, in
//! one transaction. The job runs one step after another ([`run_step`]) and records its progress.
//! Every step can be repeated, so a process may die between any two. The order is files, then the
//! Tenant with its database, then the rows: while anything is left, the rows lead to it.

mod account;
mod conversations;
mod job;
mod progress;
pub mod request;
mod workspace;

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool, Row as _};
use uuid::Uuid;

pub use job::{DeleteAccount, DeleteLateUploads, DeleteWorkspace, register_jobs, resume};
pub use progress::{
    ConversationCount, DeletedDatabase, DeletionProgress, DeletionStep, RECOVERY_WINDOW_DAYS,
};

use crate::events;
use crate::identity::token::Token;
use crate::ids::{DeletionId, WorkspaceId};
use crate::objects::{DeletedObjects, ObjectStore, ObjectStoreError};
use crate::tenants::{ClusterError, Pools, Tenants};

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "deletion_kind", rename_all = "lowercase")]
pub enum DeletionTarget {
    /// A workspace with all its content.
    Workspace,
    /// An account, with the workspaces that have no other owner.
    Account,
}

/// A deletion, in progress or finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    pub id: DeletionId,
    pub kind: DeletionTarget,
    /// Id of the workspace or user.
    pub subject: String,
    pub progress: DeletionProgress,
    pub requested_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Deletion {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            subject: row.try_get("subject")?,
            progress: row.try_get::<sqlx::types::Json<_>, _>("progress")?.0,
            requested_at: row.try_get::<SqlTimestamp, _>("requested_at")?.to_jiff(),
            finished_at: row
                .try_get::<Option<SqlTimestamp>, _>("finished_at")?
                .map(SqlTimestamp::to_jiff),
        })
    }
}

/// The store of a workspace's files.
pub trait FileStore: Send + Sync {
    /// Deletes all files of the workspace, including old versions. Succeeds if there are none.
    fn delete_all(
        &self,
        region: Option<&str>,
        workspace: &WorkspaceId,
    ) -> impl Future<Output = Result<DeletedObjects, ObjectStoreError>> + Send;
}

impl FileStore for ObjectStore {
    async fn delete_all(
        &self,
        region: Option<&str>,
        workspace: &WorkspaceId,
    ) -> Result<DeletedObjects, ObjectStoreError> {
        self.delete_prefix(&self.prefix(region, workspace)).await
    }
}

/// Runs the steps of deletions.
#[derive(Clone, Debug)]
pub struct DeletionWorker<F = ObjectStore> {
    pub database: PgPool,
    pub tenants: Tenants,
    pub pools: Pools,
    pub files: F,
}

/// What to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Run the next step immediately.
    Continue,
    /// Repeat the step after this delay, because it waits for something else.
    RetryAfter(Duration),
    /// Repeat the step with increasing delays, because the wait may be long.
    RetryWithBackoff,
    Done,
}

/// Why a step failed. It is retried.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    #[error("failed to delete the files")]
    Objects(#[from] ObjectStoreError),
    #[error("failed to delete the Tenant")]
    Cluster(#[from] ClusterError),
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to enqueue the next job")]
    Queue(#[from] crate::jobs::QueueError),
    /// A row contains an invalid id. This is a bug.
    #[error("the deletion's subject is not a valid id")]
    InvalidSubject,
}

impl DeletionError {
    /// What blocks the deletion, for the receipt page.
    fn message(&self) -> &'static str {
        match self {
            Self::Objects(_) => {
                "The file storage isn\u{2019}t available right now. We\u{2019}ll keep trying."
            }
            Self::Cluster(_) => {
                "The database service isn\u{2019}t available right now. We\u{2019}ll keep trying."
            }
            Self::Database(_) | Self::Queue(_) | Self::InvalidSubject => {
                "Something went wrong on our side. We\u{2019}ll keep trying."
            }
        }
    }
}

/// Runs the deletion's next step. Returns `Done` if the deletion is finished or does not exist.
pub async fn run_step<F: FileStore>(
    worker: &DeletionWorker<F>,
    id: DeletionId,
) -> Result<NextStep, DeletionError> {
    let Some(deletion) = find(&worker.database, id).await? else {
        return Ok(NextStep::Done);
    };
    if deletion.finished_at.is_some() {
        return Ok(NextStep::Done);
    }
    let result = match deletion.kind {
        DeletionTarget::Workspace => workspace::step(worker, &deletion).await,
        DeletionTarget::Account => account::step(worker, &deletion).await,
    };
    if let Err(error) = &result {
        // If this fails too, the page keeps showing its previous message.
        let _ = record_blocked(&worker.database, id, error.message()).await;
    }
    result
}

pub async fn find(executor: impl PgExecutor<'_>, id: DeletionId) -> sqlx::Result<Option<Deletion>> {
    sqlx::query_as(
        "SELECT id, kind, subject, progress, requested_at, finished_at
         FROM deletions WHERE id = $1",
    )
    .bind(id.0)
    .fetch_optional(executor)
    .await
}

/// The deletion whose receipt page has this token.
pub async fn by_token(
    executor: impl PgExecutor<'_>,
    token: &Token,
) -> sqlx::Result<Option<Deletion>> {
    sqlx::query_as(
        "SELECT id, kind, subject, progress, requested_at, finished_at
         FROM deletions WHERE token_sha256 = $1",
    )
    .bind(token.hash().as_bytes())
    .fetch_optional(executor)
    .await
}

/// The deletions of workspaces that are part of this account's deletion.
pub async fn workspaces_of(
    executor: impl PgExecutor<'_>,
    account: DeletionId,
) -> sqlx::Result<Vec<Deletion>> {
    sqlx::query_as(
        "SELECT id, kind, subject, progress, requested_at, finished_at
         FROM deletions WHERE parent_id = $1 ORDER BY requested_at, id",
    )
    .bind(account.0)
    .fetch_all(executor)
    .await
}

async fn save_progress(
    database: &PgPool,
    id: DeletionId,
    progress: &DeletionProgress,
) -> sqlx::Result<()> {
    let mut connection = database.acquire().await?;
    let written = sqlx::query_as(
        "UPDATE deletions SET progress = $2 WHERE id = $1 AND finished_at IS NULL RETURNING parent_id",
    )
    .bind(id.0)
    .bind(sqlx::types::Json(progress))
    .fetch_optional(&mut *connection)
    .await?;
    notify(&mut connection, id, written).await
}

/// Records what blocks the deletion. Changes nothing else, because the failed step may have saved
/// progress of its own.
async fn record_blocked(database: &PgPool, id: DeletionId, message: &str) -> sqlx::Result<()> {
    let mut connection = database.acquire().await?;
    let written = sqlx::query_as(
        "UPDATE deletions SET progress = jsonb_set(progress, '{blocked_on}', to_jsonb($2::text))
         WHERE id = $1 AND finished_at IS NULL RETURNING parent_id",
    )
    .bind(id.0)
    .bind(message)
    .fetch_optional(&mut *connection)
    .await?;
    notify(&mut connection, id, written).await
}

/// Records the end of the deletion.
async fn finish(
    connection: &mut PgConnection,
    id: DeletionId,
    progress: &DeletionProgress,
) -> sqlx::Result<()> {
    let written = sqlx::query_as(
        "UPDATE deletions SET progress = $2, finished_at = now() WHERE id = $1 AND finished_at IS NULL RETURNING parent_id",
    )
    .bind(id.0)
    .bind(sqlx::types::Json(progress))
    .fetch_optional(&mut *connection)
    .await?;
    notify(connection, id, written).await
}

/// Notifies the receipt pages of the deletion and of the account deletion it is part of. `written`
/// holds the parent's id, or is `None` if no row was updated.
async fn notify(
    connection: &mut PgConnection,
    id: DeletionId,
    written: Option<(Option<Uuid>,)>,
) -> sqlx::Result<()> {
    let Some((parent,)) = written else {
        return Ok(());
    };
    events::publish_deletion(&mut *connection, id).await?;
    if let Some(parent) = parent {
        events::publish_deletion(connection, DeletionId(parent)).await?;
    }
    Ok(())
}
