//! Who belongs to a workspace. There is always an owner.
//!
//! Whatever changes members takes the workspace's row first, so that two owners who leave at once, or two people who come through two links at
//! once, are seen one after the other.

use sqlx::{PgConnection, PgPool, Row as _};

use crate::rows::moment;
use crate::domain::{Role, WorkspaceState};
use super::{invitations, ownership};
use crate::config::Plan;
use crate::ids::{UserId, WorkspaceId};
use jiff::Timestamp;

/// A member, as the members page shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// As they are called.
    pub display_name: String,
    /// As their issuer said it; shown and never trusted.
    pub email: Option<String>,
    /// Whether the issuer says that the address is theirs.
    pub email_verified: bool,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// Why the members stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The workspace is gone or going.
    #[error("the workspace is gone")]
    WorkspaceDeleted,
    /// That person is no member.
    #[error("this person is not a member")]
    NotAMember,
    /// Without them nobody would own the workspace.
    #[error("a workspace needs an owner")]
    LastOwner,
    /// There are as many as there may be.
    #[error("a workspace may have {limit} members at most")]
    TooManyMembers {
        /// How many that is.
        limit: u32,
    },
    /// The person who would become an owner owns as many workspaces as they may.
    #[error("a person may own {limit} workspaces at most")]
    TooManyWorkspaces {
        /// How many that is.
        limit: u32,
    },
    /// The main database did not do it.
    #[error("the members could not be changed")]
    Database(#[from] sqlx::Error),
}

/// Everybody, owners first, then by how long they have been there.
pub async fn list(database: &PgPool, workspace: &WorkspaceId) -> sqlx::Result<Vec<Member>> {
    let rows = sqlx::query(
        "SELECT u.id, u.display_name, u.email, u.email_verified, m.role,
                (extract(epoch FROM m.joined_at) * 1000000)::bigint AS joined_us
         FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.workspace_id = $1
         ORDER BY m.role, m.joined_at, u.id",
    )
    .bind(workspace.as_str())
    .fetch_all(database)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Member {
                user: UserId(row.try_get("id")?),
                display_name: row.try_get("display_name")?,
                email: row.try_get("email")?,
                email_verified: row.try_get("email_verified")?,
                role: row.try_get("role")?,
                joined_at: moment(row, "joined_us")?,
            })
        })
        .collect()
}

/// Gives a member another role. Whoever becomes an owner needs room for one more workspace.
pub async fn change_role(
    database: &PgPool,
    workspace: &WorkspaceId,
    user: UserId,
    role: Role,
    plan: &Plan,
) -> Result<(), MemberError> {
    let mut transaction = database.begin().await?;
    if role.is_owner() && !ownership::lock_user(&mut transaction, user).await? {
        return Err(MemberError::NotAMember);
    }
    lock_workspace(&mut transaction, workspace).await?;
    let before = role_of(&mut transaction, workspace, user).await?;
    if before == role {
        return Ok(());
    }
    if before.is_owner() {
        ensure_other_owner(&mut transaction, workspace).await?;
    }
    if role.is_owner() {
        ensure_below_limit(&mut transaction, user, plan).await?;
    }
    sqlx::query("UPDATE members SET role = $3 WHERE workspace_id = $1 AND user_id = $2")
        .bind(workspace.as_str())
        .bind(user.0)
        .bind(role)
        .execute(&mut *transaction)
        .await?;
    if !role.is_owner() {
        invitations::revoke_all_of(&mut transaction, workspace, user).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Takes a member out: an owner does it to others, anybody to themselves.
pub async fn remove(
    database: &PgPool,
    workspace: &WorkspaceId,
    user: UserId,
) -> Result<(), MemberError> {
    let mut transaction = database.begin().await?;
    lock_workspace(&mut transaction, workspace).await?;
    if role_of(&mut transaction, workspace, user).await?.is_owner() {
        ensure_other_owner(&mut transaction, workspace).await?;
    }
    sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
        .bind(workspace.as_str())
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
    invitations::revoke_all_of(&mut transaction, workspace, user).await?;
    transaction.commit().await?;
    Ok(())
}

/// Takes somebody in, with the workspace held. Whoever is in already stays as they are: a link for members takes no owner's rights
/// away, and one for owners gives none to those who came otherwise.
pub(super) async fn add(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    user: UserId,
    role: Role,
    max_members: u32,
) -> Result<JoinOutcome, MemberError> {
    let rows: (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(bool_or(user_id = $2), false) FROM members WHERE workspace_id = $1",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .fetch_one(&mut *transaction)
    .await?;
    let (count, is_member) = rows;
    if is_member {
        return Ok(JoinOutcome::AlreadyMember);
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
    Ok(JoinOutcome::Joined)
}

/// What [`add`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinOutcome {
    Joined,
    AlreadyMember,
}

/// Takes the workspace's row, so that nobody else changes its members until the transaction ends.
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

/// Refuses when the user, whose row is held, owns as many workspaces as they may.
pub(super) async fn ensure_below_limit(
    transaction: &mut PgConnection,
    user: UserId,
    plan: &Plan,
) -> Result<(), MemberError> {
    let limit = plan.workspaces_per_user_max;
    if ownership::is_below_limit(transaction, user, limit).await? {
        Ok(())
    } else {
        Err(MemberError::TooManyWorkspaces { limit })
    }
}

/// Refuses when there is one owner only.
async fn ensure_other_owner(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
) -> Result<(), MemberError> {
    let owners: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM members WHERE workspace_id = $1 AND role = 'owner'",
    )
    .bind(workspace.as_str())
    .fetch_one(transaction)
    .await?;
    if owners > 1 {
        Ok(())
    } else {
        Err(MemberError::LastOwner)
    }
}
