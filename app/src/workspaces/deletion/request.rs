//! Requests a deletion: one transaction marks the rows, records the deletion and enqueues its job.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row as _};

use super::job::{DeleteAccount, DeleteWorkspace};
use super::progress::{DeletionProgress, DeletionStep};
use super::{DeletionError, DeletionTarget};
use crate::domain::WorkspaceState;
use crate::events::{self, Event};
use crate::identity::token::Token;
use crate::ids::{DeletionId, UserId, WorkspaceId};
use crate::jobs;
use crate::workspaces::store;

/// Requests the deletion of a workspace. `token` opens its receipt page. Returns `None` if the
/// workspace does not exist or its deletion was already requested.
pub async fn workspace(
    database: &PgPool,
    workspace: &WorkspaceId,
    token: &Token,
) -> Result<Option<DeletionId>, DeletionError> {
    let mut transaction = database.begin().await?;
    let deletion = workspace_in(&mut transaction, workspace, token, None).await?;
    transaction.commit().await?;
    Ok(deletion)
}

/// Like [`workspace`], within the caller's transaction and as part of an account's deletion.
pub(super) async fn workspace_in(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    token: &Token,
    parent: Option<DeletionId>,
) -> Result<Option<DeletionId>, DeletionError> {
    // Applying the Tenant locks this row too, so after this no process applies it any more.
    let state: Option<WorkspaceState> =
        sqlx::query_scalar("SELECT state FROM workspaces WHERE id = $1 FOR UPDATE")
            .bind(workspace.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    if state.is_none_or(|state| state == WorkspaceState::Deleting) {
        return Ok(None);
    }
    let progress = count(transaction, workspace).await?;
    sqlx::query("UPDATE workspaces SET state = 'deleting' WHERE id = $1")
        .bind(workspace.as_str())
        .execute(&mut *transaction)
        .await?;
    // Document jobs check this state before each step and stop.
    sqlx::query(
        "UPDATE documents SET state = 'deleting', failure = NULL, updated_at = now() WHERE workspace_id = $1",
    )
    .bind(workspace.as_str())
    .execute(&mut *transaction)
    .await?;
    let id = insert(
        transaction,
        DeletionTarget::Workspace,
        workspace.as_str(),
        token,
        parent,
        &progress,
    )
    .await?;
    jobs::add(&mut *transaction, &DeleteWorkspace { deletion: id }).await?;
    events::publish(&mut *transaction, &Event::workspace(workspace.clone())).await?;
    Ok(Some(id))
}

/// What became of a request to delete an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRequest {
    Accepted(DeletionId),
    /// The account does not exist, or its deletion was already requested.
    NotFound,
    /// A workspace would be deleted that the user was not told of, because another owner has left
    /// it. Nothing was changed.
    WorkspacesChanged,
}

/// Requests the deletion of an account and ends its sessions. `confirmed` are the workspaces that
/// the user agreed to delete with it.
pub async fn account(
    database: &PgPool,
    user: UserId,
    confirmed: &[WorkspaceId],
    token: &Token,
) -> Result<AccountRequest, DeletionError> {
    let mut transaction = database.begin().await?;
    let marked = sqlx::query(
        "UPDATE users SET deleting_since = now() WHERE id = $1 AND deleting_since IS NULL",
    )
    .bind(user.0)
    .execute(&mut *transaction)
    .await?;
    if marked.rows_affected() == 0 {
        return Ok(AccountRequest::NotFound);
    }
    lock_owned(&mut transaction, user).await?;
    let owned_alone = store::owned_alone(&mut *transaction, user).await?;
    if !owned_alone
        .iter()
        .all(|workspace| confirmed.contains(&workspace.id))
    {
        return Ok(AccountRequest::WorkspacesChanged);
    }
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
    let progress = DeletionProgress {
        step: DeletionStep::Workspaces,
        ..DeletionProgress::default()
    };
    let id = insert(
        &mut transaction,
        DeletionTarget::Account,
        &user.to_string(),
        token,
        None,
        &progress,
    )
    .await?;
    jobs::add(&mut *transaction, &DeleteAccount { deletion: id }).await?;
    transaction.commit().await?;
    Ok(AccountRequest::Accepted(id))
}

/// Locks the workspaces that the user owns, so that no other owner leaves them until the
/// transaction ends. After that, the user no longer counts as another owner.
async fn lock_owned(transaction: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query(
        "SELECT 1 FROM workspaces
         WHERE id IN (SELECT workspace_id FROM members WHERE user_id = $1 AND role = 'owner')
         ORDER BY id FOR UPDATE",
    )
    .bind(user.0)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Counts the workspace's content, for the receipt.
async fn count(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<DeletionProgress, DeletionError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM members WHERE workspace_id = $1) AS members,
                count(*) AS documents,
                coalesce(sum(chunk_count), 0)::bigint AS passages,
                max(upload_deadline) AS uploads_until
         FROM documents WHERE workspace_id = $1",
    )
    .bind(workspace.as_str())
    .fetch_one(transaction)
    .await?;
    let number = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    let uploads_until: Option<SqlTimestamp> = row.try_get("uploads_until")?;
    Ok(DeletionProgress {
        step: DeletionStep::Files,
        documents: number("documents")?,
        passages: number("passages")?,
        members: number("members")?,
        uploads_until: uploads_until
            .map(SqlTimestamp::to_jiff)
            .filter(|until| *until > Timestamp::now()),
        ..DeletionProgress::default()
    })
}

async fn insert(
    transaction: &mut PgConnection,
    kind: DeletionTarget,
    subject: &str,
    token: &Token,
    parent: Option<DeletionId>,
    progress: &DeletionProgress,
) -> sqlx::Result<DeletionId> {
    let id = DeletionId::random();
    sqlx::query(
        "INSERT INTO deletions (id, kind, subject, parent_id, token_sha256, progress) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.0)
    .bind(kind)
    .bind(subject)
    .bind(parent.map(|parent| parent.0))
    .bind(token.hash().as_bytes())
    .bind(Json(progress))
    .execute(&mut *transaction)
    .await?;
    if let Some(parent) = parent {
        events::publish_deletion(transaction, parent).await?;
    }
    Ok(id)
}
