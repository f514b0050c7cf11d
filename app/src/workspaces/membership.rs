//! Checks and changes of a membership within a caller's transaction, shared by [`super::members`]
//! and [`super::invitations`].

use sqlx::PgConnection;

use super::ownership;
use crate::config::WorkspaceQuota;
use crate::domain::{Role, WorkspaceState};
use crate::ids::{UserId, WorkspaceId};
use crate::jobs::QueueError;

#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("the workspace does not exist or is being deleted")]
    WorkspaceDeleted,
    #[error("the user is not a member of the workspace")]
    NotAMember,
    #[error("a workspace needs at least one owner")]
    LastOwner,
    #[error("a workspace may have at most {limit} members")]
    TooManyMembers { limit: u32 },
    #[error("a user may own at most {limit} workspaces")]
    TooManyWorkspaces { limit: u32 },
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to enqueue the next job")]
    Queue(#[from] QueueError),
}

/// Locks the workspace's row until the transaction ends.
pub(super) async fn lock_workspace(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<(), MemberError> {
    let state: Option<WorkspaceState> =
        sqlx::query_scalar("SELECT state FROM workspaces WHERE id = $1 FOR UPDATE")
            .bind(workspace.as_str())
            .fetch_optional(transaction)
            .await?;
    match state {
        None | Some(WorkspaceState::Deleting) => Err(MemberError::WorkspaceDeleted),
        Some(WorkspaceState::Creating | WorkspaceState::Active) => Ok(()),
    }
}

pub(super) async fn role_of(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    user: UserId,
) -> Result<Role, MemberError> {
    sqlx::query_scalar("SELECT role FROM members WHERE workspace_id = $1 AND user_id = $2")
        .bind(workspace.as_str())
        .bind(user.0)
        .fetch_optional(transaction)
        .await?
        .ok_or(MemberError::NotAMember)
}

/// Whether the workspace, whose row is locked, has another owner than this user. Owners whose
/// accounts are being deleted do not count: they leave, or the workspace is deleted with the last
/// of them.
pub(super) async fn has_other_owner(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    user: UserId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM members m JOIN users u ON u.id = m.user_id
                         WHERE m.workspace_id = $1 AND m.user_id <> $2 AND m.role = 'owner' AND u.deleting_since IS NULL)",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .fetch_one(transaction)
    .await
}

/// Fails if the user, whose row is locked, may not own another workspace.
pub(super) async fn ensure_below_limit(
    transaction: &mut PgConnection,
    user: UserId,
    quota: &WorkspaceQuota,
) -> Result<(), MemberError> {
    let limit = quota.max_workspaces_per_user.get();
    if ownership::is_below_limit(transaction, user, limit).await? {
        Ok(())
    } else {
        Err(MemberError::TooManyWorkspaces { limit })
    }
}

/// Adds a member to the workspace, whose row is locked. An existing member keeps their role,
/// regardless of the invitation.
pub(super) async fn add(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    user: UserId,
    role: Role,
    max_members: u32,
) -> Result<(), MemberError> {
    let rows: (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(bool_or(user_id = $2), false) FROM members WHERE workspace_id = $1",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .fetch_one(&mut *transaction)
    .await?;
    let (count, is_member) = rows;
    if is_member {
        return Ok(());
    }
    if count >= i64::from(max_members) {
        return Err(MemberError::TooManyMembers { limit: max_members });
    }
    sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, $3)")
        .bind(workspace.as_str())
        .bind(user.0)
        .bind(role)
        .execute(&mut *transaction)
        .await?;
    Ok(())
}
