//! Steps of an account's deletion: leave shared workspaces, delete the others, then delete the
//! user.

use std::time::Duration;

use tracing::info;

use super::progress::{DeletionProgress, DeletionStep};
use super::{
    Deletion, DeletionError, DeletionWorker, FileStore, NextStep, finish, request, save_progress,
    workspaces_of,
};
use crate::ask::threads::DeletePrivateConversations;
use crate::domain::WorkspaceState;
use crate::identity::token::Token;
use crate::ids::{UserId, WorkspaceId};
use crate::jobs;
use crate::workspaces::invitations;
use crate::workspaces::membership::has_other_owner;

/// How often the deletions of the account's workspaces are checked.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn step<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
) -> Result<NextStep, DeletionError> {
    let user: UserId = deletion
        .subject
        .parse()
        .map_err(|_| DeletionError::InvalidSubject)?;
    match deletion.progress.step {
        DeletionStep::Workspaces => workspaces(worker, deletion, user).await,
        DeletionStep::Files
        | DeletionStep::Database
        | DeletionStep::Rows
        | DeletionStep::Finished => rows(worker, deletion, user).await,
    }
}

async fn workspaces<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    user: UserId,
) -> Result<NextStep, DeletionError> {
    let mut progress = deletion.progress.clone();
    for workspace in memberships(worker, user).await? {
        if leave_or_delete(worker, deletion, user, &workspace).await? {
            progress.workspaces_left += 1;
            save_progress(&worker.database, deletion.id, &progress).await?;
        }
    }
    let workspaces = workspaces_of(&worker.database, deletion.id).await?;
    let blocked_on = workspaces
        .iter()
        .find_map(|workspace| workspace.progress.blocked_on.clone());
    let is_in_progress = workspaces
        .iter()
        .any(|workspace| workspace.finished_at.is_none());
    let next = DeletionProgress {
        step: if is_in_progress {
            DeletionStep::Workspaces
        } else {
            DeletionStep::Rows
        },
        blocked_on,
        ..progress
    };
    if next != deletion.progress {
        save_progress(&worker.database, deletion.id, &next).await?;
    }
    Ok(if is_in_progress {
        NextStep::RetryAfter(POLL_INTERVAL)
    } else {
        NextStep::Continue
    })
}

async fn memberships<F: FileStore>(
    worker: &DeletionWorker<F>,
    user: UserId,
) -> Result<Vec<WorkspaceId>, DeletionError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT workspace_id FROM members WHERE user_id = $1 ORDER BY workspace_id",
    )
    .bind(user.0)
    .fetch_all(&worker.database)
    .await?;
    ids.iter()
        .map(|id| id.parse().map_err(|_| DeletionError::InvalidSubject))
        .collect()
}

/// Leaves the workspace if it has another owner, and requests its deletion otherwise. Returns
/// whether it was left.
async fn leave_or_delete<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    user: UserId,
    workspace: &WorkspaceId,
) -> Result<bool, DeletionError> {
    let mut transaction = worker.database.begin().await?;
    // The lock keeps the owners from changing.
    let state: Option<WorkspaceState> =
        sqlx::query_scalar("SELECT state FROM workspaces WHERE id = $1 FOR UPDATE")
            .bind(workspace.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(state) = state else {
        return Ok(false);
    };
    let mut was_left = false;
    if state == WorkspaceState::Deleting {
        // The workspace's deletion was requested earlier; the account's deletion waits for it as
        // well.
        sqlx::query(
            "UPDATE deletions SET parent_id = $2
             WHERE kind = 'workspace' AND subject = $1 AND finished_at IS NULL AND parent_id IS NULL",
        )
        .bind(workspace.as_str())
        .bind(deletion.id.0)
        .execute(&mut *transaction)
        .await?;
    } else if has_other_owner(&mut transaction, workspace, user).await? {
        sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
            .bind(workspace.as_str())
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        invitations::revoke_all_of(&mut transaction, workspace, user).await?;
        let job = DeletePrivateConversations {
            workspace: workspace.clone(),
            user,
        };
        jobs::add(&mut *transaction, &job).await?;
        was_left = true;
    } else {
        let token = Token::random();
        request::workspace_in(&mut transaction, workspace, &token, Some(deletion.id)).await?;
    }
    transaction.commit().await?;
    Ok(was_left)
}

async fn rows<F: FileStore>(
    worker: &DeletionWorker<F>,
    deletion: &Deletion,
    user: UserId,
) -> Result<NextStep, DeletionError> {
    let progress = DeletionProgress {
        step: DeletionStep::Finished,
        blocked_on: None,
        ..deletion.progress.clone()
    };
    let mut transaction = worker.database.begin().await?;
    sqlx::query("DELETE FROM users WHERE id = $1 AND deleting_since IS NOT NULL")
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
    // Those of workspaces that the user has left before.
    jobs::start_now::<DeletePrivateConversations>(&mut *transaction, "user", &user.to_string())
        .await?;
    finish(&mut transaction, deletion.id, &progress).await?;
    transaction.commit().await?;
    info!(user.id = %user, deletion.id = %deletion.id, "account deleted");
    Ok(NextStep::Done)
}
