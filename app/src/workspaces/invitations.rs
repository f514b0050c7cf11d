//! Invitation links. Each lets one person join a workspace and expires after a week.
//!
//! The database stores the hash of a link's token, so the link can be shown only in the session that
//! created it. Owners can revoke it.

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool, Row as _};

use super::membership::{self, MemberError};
use super::{ownership, store};
use crate::config::WorkspaceQuota;
use crate::domain::{Role, Workspace};
use crate::identity::token::Token;
use crate::ids::{InvitationId, UserId, WorkspaceId};

pub const VALIDITY_HOURS: u8 = 7 * 24;
/// Maximum number of open invitations per workspace.
pub const MAX_OPEN_INVITATIONS: u32 = 50;

/// An open invitation, as shown on the members page.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Invitation {
    pub id: InvitationId,
    pub role: Role,
    /// Name of the owner who created it; `None` if their account was deleted.
    pub created_by: Option<String>,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub expires_at: Timestamp,
}

/// What a link's recipient sees before accepting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationPreview {
    pub workspace: Workspace,
    pub role: Role,
    /// Name of the owner who created it; `None` if their account was deleted.
    pub created_by: Option<String>,
    pub expires_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    /// The link never existed, was used, was revoked or has expired. The recipient is not told
    /// which.
    #[error("this invitation is no longer valid")]
    Invalid,
    #[error("a workspace may have at most {MAX_OPEN_INVITATIONS} open invitations")]
    TooManyOpen,
    #[error(transparent)]
    Members(#[from] MemberError),
}

impl From<sqlx::Error> for InvitationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Members(MemberError::Database(error))
    }
}

/// Creates an invitation with this token, which is not stored. If there is one already, returns its
/// id.
pub async fn create(
    database: &PgPool,
    workspace: &WorkspaceId,
    by: UserId,
    role: Role,
    token: &Token,
) -> Result<InvitationId, InvitationError> {
    let id = InvitationId::random();
    let mut transaction = database.begin().await?;
    membership::lock_workspace(&mut transaction, workspace).await?;
    // Checked again under the lock, so that an owner who was removed meanwhile cannot invite
    // themselves back.
    if !membership::role_of(&mut transaction, workspace, by)
        .await?
        .is_owner()
    {
        return Err(InvitationError::Invalid);
    }
    // Delete expired invitations. Accepted ones are kept while the member stays, because their link
    // leads the member back to the workspace.
    sqlx::query(
        "DELETE FROM invitations i
         WHERE i.workspace_id = $1
           AND CASE WHEN i.accepted_at IS NULL THEN i.expires_at <= now()
                    ELSE NOT EXISTS (SELECT FROM members m WHERE m.workspace_id = $1 AND m.user_id = i.accepted_by) END",
    )
    .bind(workspace.as_str())
    .execute(&mut *transaction)
    .await?;
    let existing: Option<InvitationId> =
        sqlx::query_scalar("SELECT id FROM invitations WHERE token_sha256 = $1")
            .bind(token.hash().as_bytes())
            .fetch_optional(&mut *transaction)
            .await?;
    if let Some(existing) = existing {
        return Ok(existing);
    }
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM invitations WHERE workspace_id = $1 AND accepted_at IS NULL",
    )
    .bind(workspace.as_str())
    .fetch_one(&mut *transaction)
    .await?;
    if open >= i64::from(MAX_OPEN_INVITATIONS) {
        return Err(InvitationError::TooManyOpen);
    }
    sqlx::query(
        "INSERT INTO invitations (id, workspace_id, token_sha256, role, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(hours => $6))",
    )
    .bind(id.0)
    .bind(workspace.as_str())
    .bind(token.hash().as_bytes())
    .bind(role)
    .bind(by.0)
    .bind(i32::from(VALIDITY_HOURS))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(id)
}

/// The open invitation of the workspace with this token.
pub async fn find_open(
    database: &PgPool,
    workspace: &WorkspaceId,
    token: &Token,
) -> sqlx::Result<Option<Invitation>> {
    sqlx::query_as(
        "SELECT i.id, i.role, u.display_name AS created_by, i.created_at, i.expires_at
         FROM invitations i LEFT JOIN users u ON u.id = i.created_by
         WHERE i.workspace_id = $1 AND i.token_sha256 = $2 AND i.expires_at > now() AND i.accepted_at IS NULL",
    )
    .bind(workspace.as_str())
    .bind(token.hash().as_bytes())
    .fetch_optional(database)
    .await
}

/// Open invitations, newest first.
pub async fn list_open(
    database: &PgPool,
    workspace: &WorkspaceId,
) -> sqlx::Result<Vec<Invitation>> {
    sqlx::query_as(
        "SELECT i.id, i.role, u.display_name AS created_by, i.created_at, i.expires_at
         FROM invitations i LEFT JOIN users u ON u.id = i.created_by
         WHERE i.workspace_id = $1 AND i.expires_at > now() AND i.accepted_at IS NULL
         ORDER BY i.created_at DESC, i.id",
    )
    .bind(workspace.as_str())
    .fetch_all(database)
    .await
}

/// Revokes all open invitations created by a user who is no longer an owner, so that they cannot
/// use one to return. The caller has locked the workspace.
pub(super) async fn revoke_all_of(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    user: UserId,
) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM invitations WHERE workspace_id = $1 AND created_by = $2 AND accepted_at IS NULL",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Revokes an invitation. Returns false if the workspace has no open invitation with this id.
pub async fn revoke(
    database: &PgPool,
    workspace: &WorkspaceId,
    id: InvitationId,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "DELETE FROM invitations WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL",
    )
    .bind(workspace.as_str())
    .bind(id.0)
    .execute(database)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What the link leads to, for the confirmation page. Does not use up the invitation.
pub async fn preview(
    database: &PgPool,
    token: &Token,
) -> Result<InvitationPreview, InvitationError> {
    let row = sqlx::query(
        "SELECT i.workspace_id, i.role, u.display_name, i.expires_at
         FROM invitations i
         JOIN workspaces w ON w.id = i.workspace_id AND w.state <> 'deleting'
         LEFT JOIN users u ON u.id = i.created_by
         WHERE i.token_sha256 = $1 AND i.expires_at > now() AND i.accepted_at IS NULL",
    )
    .bind(token.hash().as_bytes())
    .fetch_optional(database)
    .await?
    .ok_or(InvitationError::Invalid)?;
    let id: String = row.try_get("workspace_id")?;
    let id: WorkspaceId = id.parse().map_err(|_| InvitationError::Invalid)?;
    Ok(InvitationPreview {
        workspace: store::find(database, &id)
            .await?
            .ok_or(InvitationError::Invalid)?,
        role: row.try_get("role")?,
        created_by: row.try_get("display_name")?,
        expires_at: row
            .try_get::<jiff_sqlx::Timestamp, _>("expires_at")?
            .to_jiff(),
    })
}

/// The workspace that this user joined with this link and is still a member of, so that opening the
/// link again leads back to it.
pub async fn accepted_by(
    database: &PgPool,
    token: &Token,
    user: UserId,
) -> sqlx::Result<Option<WorkspaceId>> {
    let workspace: Option<String> = sqlx::query_scalar(
        "SELECT i.workspace_id FROM invitations i
         JOIN members m ON m.workspace_id = i.workspace_id AND m.user_id = i.accepted_by
         WHERE i.token_sha256 = $1 AND i.accepted_by = $2",
    )
    .bind(token.hash().as_bytes())
    .bind(user.0)
    .fetch_optional(database)
    .await?;
    Ok(workspace.and_then(|id| id.parse().ok()))
}

/// Adds the user to the workspace and uses up the invitation. An owner invitation requires that the
/// user may own another workspace. An existing member is let in without using it up.
pub async fn accept(
    database: &PgPool,
    token: &Token,
    user: UserId,
    quota: &WorkspaceQuota,
) -> Result<WorkspaceId, InvitationError> {
    let mut transaction = database.begin().await?;
    let workspace = accept_in(&mut transaction, token, user, quota).await?;
    transaction.commit().await?;
    Ok(workspace)
}

/// Like [`accept`], within the caller's transaction: a sign-up creates the user and accepts the
/// invitation together.
pub async fn accept_in(
    transaction: &mut PgConnection,
    token: &Token,
    user: UserId,
    quota: &WorkspaceQuota,
) -> Result<WorkspaceId, InvitationError> {
    let hash = token.hash();
    let (workspace, role): (String, Role) = sqlx::query_as(
        "SELECT workspace_id, role FROM invitations
         WHERE token_sha256 = $1 AND (accepted_by = $2 OR (accepted_at IS NULL AND expires_at > now()))",
    )
    .bind(hash.as_bytes())
    .bind(user.0)
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(InvitationError::Invalid)?;
    let workspace: WorkspaceId = workspace.parse().map_err(|_| InvitationError::Invalid)?;
    // Lock order is user, workspace, invitation everywhere; any other order could deadlock.
    if role.is_owner() && !ownership::lock_user(transaction, user).await? {
        return Err(InvitationError::Invalid);
    }
    membership::lock_workspace(transaction, &workspace)
        .await
        .map_err(|error| match error {
            MemberError::WorkspaceDeleted => InvitationError::Invalid,
            error => error.into(),
        })?;
    // The link was opened twice, or the user is a member already.
    let is_member: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM members WHERE workspace_id = $1 AND user_id = $2)",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .fetch_one(&mut *transaction)
    .await?;
    if is_member {
        return Ok(workspace);
    }
    if role.is_owner() {
        membership::ensure_below_limit(transaction, user, quota).await?;
    }
    let role: Option<Role> = sqlx::query_scalar(
        "UPDATE invitations SET accepted_by = $2, accepted_at = now()
         WHERE token_sha256 = $1 AND expires_at > now() AND accepted_at IS NULL
         RETURNING role",
    )
    .bind(hash.as_bytes())
    .bind(user.0)
    .fetch_optional(&mut *transaction)
    .await?;
    // Someone else accepted it first.
    let role = role.ok_or(InvitationError::Invalid)?;
    membership::add(transaction, &workspace, user, role, quota.max_members.get()).await?;
    Ok(workspace)
}
