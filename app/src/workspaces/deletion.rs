//! How a workspace or an account goes: durable steps, and in the end a receipt.
//!
//! The request ([`begin`]) marks the rows, so that from then on every handler answers 404, and adds a job, in one transaction. The job takes one
//! [`step`] after another and writes down how far it came; every step may be taken again, so a process may die between any two.
//! The order: files, then the Tenant and with it the database, then the rows. As long as something is left, the rows lead to it.

mod account;
pub mod request;
mod conversations;
mod job;
mod progress;
mod workspace;

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool, Row as _};
use uuid::Uuid;

pub use job::{DeleteAccount, DeleteWorkspace, DeleteLateUploads, register_jobs, resume};
pub use progress::{ConversationCount, DeletionProgress, RECOVERY_WINDOW_DAYS, DeletedDatabase, DeletionStep};

use crate::rows::{moment, optional_moment};
use crate::identity::token::Token;
use crate::ids::{DeletionId, WorkspaceId};
use crate::objects::{Objects, ObjectsError, Removed};
use crate::tenants::{ClusterError, Pools, Tenants};
use crate::events;

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "removal_kind", rename_all = "lowercase")]
pub enum DeletionTarget {
    /// A workspace with all it holds.
    Workspace,
    /// An account, and the workspaces that nobody else owns.
    Account,
}

/// A deletion, under way or done.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    /// Names it for its job.
    pub id: DeletionId,
    /// What goes.
    pub kind: DeletionTarget,
    /// The workspace's or the user's id.
    pub subject: String,
    /// How far it came, and what was found on the way.
    pub progress: DeletionProgress,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When all was gone.
    pub finished_at: Option<Timestamp>,
}

impl FromRow<'_, PgRow> for Deletion {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: DeletionId(row.try_get("id")?),
            kind: row.try_get("kind")?,
            subject: row.try_get("subject")?,
            progress: row.try_get::<sqlx::types::Json<_>, _>("progress")?.0,
            requested_at: moment(row, "requested_us")?,
            finished_at: optional_moment(row, "finished_us")?,
        })
    }
}

/// Where a workspace's files are taken away from.
pub trait FileStore: Send + Sync {
    /// Takes all files of the workspace away with all their versions. That there are none is fine.
    fn remove_all(
        &self,
        region: Option<&str>,
        workspace: &WorkspaceId,
    ) -> impl Future<Output = Result<Removed, ObjectsError>> + Send;
}

impl FileStore for Objects {
    async fn remove_all(
        &self,
        region: Option<&str>,
        workspace: &WorkspaceId,
    ) -> Result<Removed, ObjectsError> {
        self.remove_prefix(&self.prefix(region, workspace)).await
    }
}

/// What the steps are taken with.
#[derive(Clone, Debug)]
pub struct DeletionWorker<F = Objects> {
    /// The main database.
    pub database: PgPool,
    /// The Tenants.
    pub tenants: Tenants,
    /// Their databases: let go of before they go.
    pub pools: Pools,
    /// The files.
    pub files: F,
}

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Another step, at once.
    DeletionStep,
    /// The same step, after a while: something has to happen elsewhere first.
    Wait(Duration),
    /// The same step, after a wait that becomes longer each time: it may be long until that happens.
    Later,
    /// Nothing: all is gone.
    Done,
}

/// Why a step was not done. It is taken again.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    /// The store of files.
    #[error("the files could not be removed")]
    Objects(#[from] ObjectsError),
    /// The cluster.
    #[error("the Tenant could not be removed")]
    Cluster(#[from] ClusterError),
    /// The main database.
    #[error("the rows could not be removed")]
    Database(#[from] sqlx::Error),
    /// The queue.
    #[error("the next job could not be added")]
    Queue(#[from] crate::jobs::QueueError),
    /// A row names something by an id that is none: a defect.
    #[error("the row of the deletion names nothing")]
    InvalidSubject,
}

impl DeletionError {
    /// What holds the deletion up, for the page.
    fn message(&self) -> &'static str {
        match self {
            Self::Objects(_) => {
                "The store of files does not do it at the moment. It is tried again by itself."
            }
            Self::Cluster(_) => {
                "The cluster does not do it at the moment. It is tried again by itself."
            }
            Self::Database(_) | Self::Queue(_) | Self::InvalidSubject => {
                "Something is in the way at the moment. It is tried again by itself."
            }
        }
    }
}

/// Takes the deletion's next step. A deletion that is done, or was never asked for, is `Done`.
pub async fn run_step<F: FileStore>(worker: &DeletionWorker<F>, id: DeletionId) -> Result<NextStep, DeletionError> {
    let Some(deletion) = find(&worker.database, id).await? else {
        return Ok(NextStep::Done);
    };
    if deletion.finished_at.is_some() {
        return Ok(NextStep::Done);
    }
    let taken = match deletion.kind {
        DeletionTarget::Workspace => workspace::step(worker, &deletion).await,
        DeletionTarget::Account => account::step(worker, &deletion).await,
    };
    if let Err(error) = &taken {
        // If this fails as well, the page says what it said before.
        let _ = record_blocked(&worker.database, id, error.message()).await;
    }
    taken
}

/// The deletion of that id.
pub async fn find(executor: impl PgExecutor<'_>, id: DeletionId) -> sqlx::Result<Option<Deletion>> {
    sqlx::query_as(
        "SELECT id, kind, subject, progress,
                (extract(epoch FROM requested_at) * 1000000)::bigint AS requested_us,
                (extract(epoch FROM finished_at) * 1000000)::bigint AS finished_us
         FROM removals WHERE id = $1",
    )
    .bind(id.0)
    .fetch_optional(executor)
    .await
}

/// The deletion whose page the token opens.
pub async fn by_token(
    executor: impl PgExecutor<'_>,
    token: &Token,
) -> sqlx::Result<Option<Deletion>> {
    sqlx::query_as(
        "SELECT id, kind, subject, progress,
                (extract(epoch FROM requested_at) * 1000000)::bigint AS requested_us,
                (extract(epoch FROM finished_at) * 1000000)::bigint AS finished_us
         FROM removals WHERE token_sha256 = $1",
    )
    .bind(token.hash().as_bytes())
    .fetch_optional(executor)
    .await
}

/// The removals of workspaces that go with an account.
pub async fn workspaces_of(
    executor: impl PgExecutor<'_>,
    account: DeletionId,
) -> sqlx::Result<Vec<Deletion>> {
    sqlx::query_as(
        "SELECT id, kind, subject, progress,
                (extract(epoch FROM requested_at) * 1000000)::bigint AS requested_us,
                (extract(epoch FROM finished_at) * 1000000)::bigint AS finished_us
         FROM removals WHERE parent_id = $1 ORDER BY requested_at, id",
    )
    .bind(account.0)
    .fetch_all(executor)
    .await
}

/// Writes down how far it came.
async fn save_progress(database: &PgPool, id: DeletionId, progress: &DeletionProgress) -> sqlx::Result<()> {
    let mut connection = database.acquire().await?;
    let written = sqlx::query_as(
        "UPDATE removals SET progress = $2 WHERE id = $1 AND finished_at IS NULL RETURNING parent_id",
    )
    .bind(id.0)
    .bind(sqlx::types::Json(progress))
    .fetch_optional(&mut *connection)
    .await?;
    notify(&mut connection, id, written).await
}

/// Writes down what is in the way, and nothing else: the step may have noted something before it failed.
async fn record_blocked(database: &PgPool, id: DeletionId, words: &str) -> sqlx::Result<()> {
    let mut connection = database.acquire().await?;
    let written = sqlx::query_as(
        "UPDATE removals SET progress = jsonb_set(progress, '{blocked_on}', to_jsonb($2::text))
         WHERE id = $1 AND finished_at IS NULL RETURNING parent_id",
    )
    .bind(id.0)
    .bind(words)
    .fetch_optional(&mut *connection)
    .await?;
    notify(&mut connection, id, written).await
}

/// Writes down that all is gone.
async fn finish(
    connection: &mut PgConnection,
    id: DeletionId,
    progress: &DeletionProgress,
) -> sqlx::Result<()> {
    let written = sqlx::query_as(
        "UPDATE removals SET progress = $2, finished_at = now() WHERE id = $1 AND finished_at IS NULL RETURNING parent_id",
    )
    .bind(id.0)
    .bind(sqlx::types::Json(progress))
    .fetch_optional(&mut *connection)
    .await?;
    notify(connection, id, written).await
}

/// Tells the pages that show the deletion: its own, and that of the account's it is a part of. `written`: the account's, of a row that was
/// written to.
async fn notify(
    connection: &mut PgConnection,
    id: DeletionId,
    written: Option<(Option<Uuid>,)>,
) -> sqlx::Result<()> {
    let Some((parent,)) = written else {
        return Ok(());
    };
    events::notify_deletion(&mut *connection, id).await?;
    if let Some(parent) = parent {
        events::notify_deletion(connection, DeletionId(parent)).await?;
    }
    Ok(())
}
