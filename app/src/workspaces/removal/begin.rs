//! The request: one transaction marks the rows, writes the removal down and adds its job.

use jiff::Timestamp;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row as _};

use super::job::{RemoveAccount, RemoveWorkspace};
use super::progress::{Progress, Step};
use super::{Kind, RemovalError};
use crate::identity::token::Token;
use crate::ids::{RemovalId, UserId, WorkspaceId};
use crate::ingestion::queue;
use crate::web::events::{self, Event};
use crate::workspaces::WorkspaceState;
use crate::workspaces::store::optional_moment;

/// Begins to take the workspace away. `token` opens the page that shows it; the form brings it, so that a form sent twice finds its
/// first removal. `None`: the workspace is gone, and not by this form.
pub async fn workspace(
    database: &PgPool,
    workspace: &WorkspaceId,
    token: &Token,
) -> Result<Option<RemovalId>, RemovalError> {
    let mut transaction = database.begin().await?;
    let begun = workspace_in(&mut transaction, workspace, token, None).await?;
    if begun.is_none() {
        return Ok(by_form(&mut transaction, Kind::Workspace, workspace.as_str(), token).await?);
    }
    transaction.commit().await?;
    Ok(begun)
}

/// As [`workspace`], in the caller's transaction and as a part of an account's removal. `None`: it is gone or going already.
pub(super) async fn workspace_in(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    token: &Token,
    parent: Option<RemovalId>,
) -> Result<Option<RemovalId>, RemovalError> {
    // Whoever applies the workspace's Tenant holds the row: after this, nobody does, and nobody will.
    let state: Option<WorkspaceState> =
        sqlx::query_scalar("SELECT state FROM workspaces WHERE id = $1 FOR UPDATE")
            .bind(workspace.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    if state.is_none_or(|state| state == WorkspaceState::Removing) {
        return Ok(None);
    }
    let progress = count(transaction, workspace).await?;
    sqlx::query("UPDATE workspaces SET state = 'removing' WHERE id = $1")
        .bind(workspace.as_str())
        .execute(&mut *transaction)
        .await?;
    // Work on documents looks at this before each of its steps, and stops.
    sqlx::query(
        "UPDATE documents SET state = 'removing', failure = NULL, updated_at = now() WHERE workspace_id = $1",
    )
    .bind(workspace.as_str())
    .execute(&mut *transaction)
    .await?;
    let id = insert(
        transaction,
        Kind::Workspace,
        workspace.as_str(),
        token,
        parent,
        &progress,
    )
    .await?;
    queue::add(&mut *transaction, &RemoveWorkspace { removal: id }).await?;
    events::notify(&mut *transaction, &Event::workspace(workspace.clone())).await?;
    Ok(Some(id))
}

/// Begins to take the account away: its sessions are over at once. `None`: it is gone or going, and not by this form.
pub async fn account(
    database: &PgPool,
    user: UserId,
    token: &Token,
) -> Result<Option<RemovalId>, RemovalError> {
    let mut transaction = database.begin().await?;
    let marked = sqlx::query(
        "UPDATE users SET removing_since = now() WHERE id = $1 AND removing_since IS NULL",
    )
    .bind(user.0)
    .execute(&mut *transaction)
    .await?;
    if marked.rows_affected() == 0 {
        let subject = user.to_string();
        return Ok(by_form(&mut transaction, Kind::Account, &subject, token).await?);
    }
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
    let progress = Progress {
        step: Step::Workspaces,
        ..Progress::default()
    };
    let id = insert(
        &mut transaction,
        Kind::Account,
        &user.to_string(),
        token,
        None,
        &progress,
    )
    .await?;
    queue::add(&mut *transaction, &RemoveAccount { removal: id }).await?;
    transaction.commit().await?;
    Ok(Some(id))
}

/// What the workspace holds, for the receipt.
async fn count(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<Progress, RemovalError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM members WHERE workspace_id = $1) AS members,
                count(*) AS documents,
                (extract(epoch FROM max(upload_deadline)) * 1000000)::bigint AS uploads_us
         FROM documents WHERE workspace_id = $1",
    )
    .bind(workspace.as_str())
    .fetch_one(transaction)
    .await?;
    let number = |column| row.try_get(column).map(|count: i64| count.unsigned_abs());
    let uploads_until = optional_moment(&row, "uploads_us")?;
    Ok(Progress {
        step: Step::Files,
        documents: number("documents")?,
        members: number("members")?,
        uploads_until: uploads_until.filter(|until| *until > Timestamp::now()),
        ..Progress::default()
    })
}

async fn insert(
    transaction: &mut PgConnection,
    kind: Kind,
    subject: &str,
    token: &Token,
    parent: Option<RemovalId>,
    progress: &Progress,
) -> sqlx::Result<RemovalId> {
    let id = RemovalId::random();
    sqlx::query(
        "INSERT INTO removals (id, kind, subject, parent_id, token_sha256, progress) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.0)
    .bind(kind)
    .bind(subject)
    .bind(parent.map(|parent| parent.0))
    .bind(token.hash().as_bytes())
    .bind(Json(progress))
    .execute(transaction)
    .await?;
    Ok(id)
}

/// The removal that the same form began before.
async fn by_form(
    transaction: &mut PgConnection,
    kind: Kind,
    subject: &str,
    token: &Token,
) -> sqlx::Result<Option<RemovalId>> {
    let id = sqlx::query_scalar(
        "SELECT id FROM removals WHERE kind = $1 AND subject = $2 AND token_sha256 = $3",
    )
    .bind(kind)
    .bind(subject)
    .bind(token.hash().as_bytes())
    .fetch_optional(transaction)
    .await?;
    Ok(id.map(RemovalId))
}
