//! Members of a workspace. A workspace always has at least one owner.
//!
//! Every change of members locks the workspace's row first, which serializes concurrent changes,
//! such as two owners leaving or two invitations being accepted.

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};

pub use super::membership::MemberError;
use super::membership::{ensure_below_limit, has_other_owner, lock_workspace, role_of};
use super::{invitations, ownership};
use crate::ask::threads::DeletePrivateConversations;
use crate::config::WorkspaceQuota;
use crate::domain::Role;
use crate::ids::{UserId, WorkspaceId};
use crate::jobs;

/// A member, as shown on the members page.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    #[sqlx(rename = "id")]
    pub user: UserId,
    pub display_name: String,
    /// As reported by the identity provider. For display only.
    pub email: Option<String>,
    /// Whether the identity provider has verified the address.
    pub email_verified: bool,
    pub role: Role,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub joined_at: Timestamp,
}

/// All members, owners first, then by the time they joined.
pub async fn list(database: &PgPool, workspace: &WorkspaceId) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as(
        "SELECT u.id, u.display_name, u.email, u.email_verified, m.role, m.joined_at
         FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.workspace_id = $1
         ORDER BY m.role, m.joined_at, u.id",
    )
    .bind(workspace.as_str())
    .fetch_all(database)
    .await
}

/// Changes a member's role. A new owner must be allowed to own another workspace.
pub async fn change_role(
    database: &PgPool,
    workspace: &WorkspaceId,
    user: UserId,
    role: Role,
    quota: &WorkspaceQuota,
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
        ensure_other_owner(&mut transaction, workspace, user).await?;
    }
    if role.is_owner() {
        ensure_below_limit(&mut transaction, user, quota).await?;
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

/// Removes a member. Owners may remove others; every member may leave. The private conversations of
/// a member who does not come back are deleted after [`DeletePrivateConversations::RETENTION`].
pub async fn remove(
    database: &PgPool,
    workspace: &WorkspaceId,
    user: UserId,
) -> Result<(), MemberError> {
    let mut transaction = database.begin().await?;
    lock_workspace(&mut transaction, workspace).await?;
    if role_of(&mut transaction, workspace, user).await?.is_owner() {
        ensure_other_owner(&mut transaction, workspace, user).await?;
    }
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
    jobs::add_after(
        &mut *transaction,
        &job,
        DeletePrivateConversations::RETENTION,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Fails if the user is the workspace's only owner.
async fn ensure_other_owner(
    transaction: &mut PgConnection,
    workspace: &WorkspaceId,
    user: UserId,
) -> Result<(), MemberError> {
    if has_other_owner(transaction, workspace, user).await? {
        Ok(())
    } else {
        Err(MemberError::LastOwner)
    }
}
