//! Links that let one person in, each once, for a week at most.
//!
//! The database keeps the hash of a link's token, so a link is shown once, to the owner who made it, and can be revoked but not read again.

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool, Row as _};

use super::members::{self, JoinOutcome, MemberError};
use crate::rows::moment;
use crate::domain::{Role, Workspace};
use super::{ownership, store};
use crate::config::Plan;
use crate::identity::token::Token;
use crate::ids::{InvitationId, UserId, WorkspaceId};

/// How long a link is good, in hours.
pub const VALIDITY_HOURS: u8 = 7 * 24;
/// Links of one workspace that are open at once.
pub const MAX_OPEN_INVITATIONS: u32 = 50;

/// A link that is open, as the members page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Names it for revoking.
    pub id: InvitationId,
    /// What the person it lets in may do.
    pub role: Role,
    /// Who made it, as they are called; `None` when they are gone.
    pub created_by: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// What somebody who opens a link sees before they accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationPreview {
    /// Where it leads.
    pub workspace: Workspace,
    /// As what.
    pub role: Role,
    /// Who invites.
    pub created_by: Option<String>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Why a link cannot be made or does not let in.
#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    /// It was never made, was used, was revoked or ran out: nobody needs to know which.
    #[error("this invitation is not good any more")]
    Invalid,
    /// So many are open already.
    #[error("a workspace may have {MAX_OPEN_INVITATIONS} open invitations at most")]
    TooManyOpen,
    /// The members stay as they are.
    #[error(transparent)]
    Members(#[from] MemberError),
}

impl From<sqlx::Error> for InvitationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Members(MemberError::Database(error))
    }
}

/// Makes a link. The token is known to the caller alone.
pub async fn create(
    database: &PgPool,
    workspace: &WorkspaceId,
    by: UserId,
    role: Role,
) -> Result<(InvitationId, Token), InvitationError> {
    let (id, token) = (InvitationId::random(), Token::random());
    let mut transaction = database.begin().await?;
    members::lock_workspace(&mut transaction, workspace).await?;
    // Looked at again under the lock: whoever was taken out in the meantime makes no way back for themselves.
    if !members::role_of(&mut transaction, workspace, by)
        .await?
        .is_owner()
    {
        return Err(InvitationError::Invalid);
    }
    // What ran out goes when somebody comes by. What was used stays as long as the membership: it is that person's way back.
    sqlx::query(
        "DELETE FROM invitations i
         WHERE i.workspace_id = $1
           AND CASE WHEN i.accepted_at IS NULL THEN i.expires_at <= now()
                    ELSE NOT EXISTS (SELECT FROM members m WHERE m.workspace_id = $1 AND m.user_id = i.accepted_by) END",
    )
    .bind(workspace.as_str())
    .execute(&mut *transaction)
    .await?;
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
    Ok((id, token))
}

/// Those that are open, the newest first.
pub async fn list_open(database: &PgPool, workspace: &WorkspaceId) -> sqlx::Result<Vec<Invitation>> {
    let rows = sqlx::query(
        "SELECT i.id, i.role, u.display_name,
                (extract(epoch FROM i.created_at) * 1000000)::bigint AS created_us,
                (extract(epoch FROM i.expires_at) * 1000000)::bigint AS expires_us
         FROM invitations i LEFT JOIN users u ON u.id = i.created_by
         WHERE i.workspace_id = $1 AND i.expires_at > now() AND i.accepted_at IS NULL
         ORDER BY i.created_at DESC, i.id",
    )
    .bind(workspace.as_str())
    .fetch_all(database)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Invitation {
                id: InvitationId(row.try_get("id")?),
                role: row.try_get("role")?,
                created_by: row.try_get("display_name")?,
                created_at: moment(row, "created_us")?,
                expires_at: moment(row, "expires_us")?,
            })
        })
        .collect()
}

/// Takes back all links of somebody who is no owner any more, with the workspace held: a link that they kept must not let them in again.
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

/// Takes a link back. False when there is none of that id in the workspace.
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

/// Where a link leads, for the page that asks whether to accept. Looking does not use it up.
pub async fn preview(database: &PgPool, token: &Token) -> Result<InvitationPreview, InvitationError> {
    let row = sqlx::query(
        "SELECT i.workspace_id, i.role, u.display_name,
                (extract(epoch FROM i.expires_at) * 1000000)::bigint AS expires_us
         FROM invitations i
         JOIN workspaces w ON w.id = i.workspace_id AND w.state <> 'removing'
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
        expires_at: moment(&row, "expires_us")?,
    })
}

/// Where the link led that this very user took, while they are a member there: whoever opens it again wants to come back.
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

/// Lets the user in and uses the link up; as an owner only while they have room for one more workspace. Whoever is a member already comes in without using it.
pub async fn accept(
    database: &PgPool,
    token: &Token,
    user: UserId,
    plan: &Plan,
) -> Result<WorkspaceId, InvitationError> {
    let hash = token.hash();
    let mut transaction = database.begin().await?;
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
    // The person, the workspace, the link, in this order, as everywhere: whoever takes two of them the other way round would wait for us
    // while we wait for them.
    if role.is_owner() && !ownership::lock_user(&mut transaction, user).await? {
        return Err(InvitationError::Invalid);
    }
    members::lock_workspace(&mut transaction, &workspace)
        .await
        .map_err(|error| match error {
            MemberError::WorkspaceDeleted => InvitationError::Invalid,
            error => error.into(),
        })?;
    // The same person clicked twice, or is in already.
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
        members::ensure_below_limit(&mut transaction, user, plan).await?;
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
    // Somebody else was faster.
    let role = role.ok_or(InvitationError::Invalid)?;
    match members::add(&mut transaction, &workspace, user, role, plan.members_max).await? {
        JoinOutcome::Joined | JoinOutcome::AlreadyMember => transaction.commit().await?,
    }
    Ok(workspace)
}
