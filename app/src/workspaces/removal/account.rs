//! The steps of an account: what only it owned, then what it was a member of, then the user.

use std::time::Duration;

use sqlx::Row as _;
use tracing::info;

use super::progress::{Progress, Step};
use super::{Files, Next, Removal, RemovalError, Remover, begin, finish, parts_of, write};
use crate::identity::token::Token;
use crate::ids::{UserId, WorkspaceId};
use crate::workspaces::invitations;

/// When to look again whether its workspaces are gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn step<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
) -> Result<Next, RemovalError> {
    let user: UserId = removal
        .subject
        .parse()
        .map_err(|_| RemovalError::Nameless)?;
    match removal.progress.step {
        Step::Workspaces => workspaces(remover, removal, user).await,
        Step::Files | Step::Database | Step::Rows | Step::Nothing => {
            rows(remover, removal, user).await
        }
    }
}

async fn workspaces<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    user: UserId,
) -> Result<Next, RemovalError> {
    let mut progress = removal.progress.clone();
    for workspace in memberships(remover, user).await? {
        if part_from(remover, removal, user, &workspace).await? {
            progress.left += 1;
            write(&remover.database, removal.id, &progress).await?;
        }
    }
    let parts = parts_of(&remover.database, removal.id).await?;
    let held = parts.iter().find_map(|part| part.progress.held.clone());
    let is_under_way = parts.iter().any(|part| part.finished_at.is_none());
    let next = Progress {
        step: if is_under_way {
            Step::Workspaces
        } else {
            Step::Rows
        },
        held,
        ..progress
    };
    if next != removal.progress {
        write(&remover.database, removal.id, &next).await?;
    }
    Ok(if is_under_way {
        Next::Wait(LOOK_AGAIN)
    } else {
        Next::Step
    })
}

async fn memberships<F: Files>(
    remover: &Remover<F>,
    user: UserId,
) -> Result<Vec<WorkspaceId>, RemovalError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT workspace_id FROM members WHERE user_id = $1 ORDER BY workspace_id",
    )
    .bind(user.0)
    .fetch_all(&remover.database)
    .await?;
    ids.iter()
        .map(|id| id.parse().map_err(|_| RemovalError::Nameless))
        .collect()
}

/// Leaves the workspace to its other owners, or has it removed if there are none. Returns whether it was left.
async fn part_from<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    user: UserId,
    workspace: &WorkspaceId,
) -> Result<bool, RemovalError> {
    let mut transaction = remover.database.begin().await?;
    // Nobody becomes or ceases to be an owner meanwhile.
    let row = sqlx::query(
        "SELECT state = 'removing' AS is_going FROM workspaces WHERE id = $1 FOR UPDATE",
    )
    .bind(workspace.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let has_other_owner: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM members m JOIN users u ON u.id = m.user_id
                        WHERE m.workspace_id = $1 AND m.user_id <> $2 AND m.role = 'owner' AND u.removing_since IS NULL)",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .fetch_one(&mut *transaction)
    .await?;
    let mut was_left = false;
    if row.try_get::<bool, _>("is_going")? {
        // Somebody began that before: this account waits for it too.
        sqlx::query(
            "UPDATE removals SET parent_id = $2
             WHERE kind = 'workspace' AND subject = $1 AND finished_at IS NULL AND parent_id IS NULL",
        )
        .bind(workspace.as_str())
        .bind(removal.id.0)
        .execute(&mut *transaction)
        .await?;
    } else if has_other_owner {
        sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
            .bind(workspace.as_str())
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        invitations::revoke_all_of(&mut transaction, workspace, user).await?;
        was_left = true;
    } else {
        let token = Token::random();
        begin::workspace_in(&mut transaction, workspace, &token, Some(removal.id)).await?;
    }
    transaction.commit().await?;
    Ok(was_left)
}

async fn rows<F: Files>(
    remover: &Remover<F>,
    removal: &Removal,
    user: UserId,
) -> Result<Next, RemovalError> {
    let progress = Progress {
        step: Step::Nothing,
        held: None,
        ..removal.progress.clone()
    };
    let mut transaction = remover.database.begin().await?;
    sqlx::query("DELETE FROM users WHERE id = $1 AND removing_since IS NOT NULL")
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
    finish(&mut transaction, removal.id, &progress).await?;
    transaction.commit().await?;
    info!(user.id = %user, removal.id = %removal.id, "The account is removed");
    Ok(Next::Done)
}
