//! Limits how many workspaces there are, and how many of them a user owns.
//!
//! The limit is checked whenever a user becomes an owner: by creating a workspace, accepting an
//! owner invitation, or being promoted. Every workspace therefore counts towards someone's limit.
//! An owner who hands over workspaces and leaves can create as many new ones as the other owners
//! have taken over, and no more.
//!
//! Callers lock the user's row until they commit, which prevents races. The user's row is always
//! locked before a workspace's row.

use sqlx::PgConnection;

use crate::ids::UserId;

/// Locks the user's row until the transaction ends. Returns false if the account does not exist or
/// is being deleted.
pub(super) async fn lock_user(transaction: &mut PgConnection, user: UserId) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM users WHERE id = $1 AND deleting_since IS NULL FOR NO KEY UPDATE",
    )
    .bind(user.0)
    .fetch_optional(transaction)
    .await?;
    Ok(found.is_some())
}

/// Whether the user, whose row is locked, may own another workspace. Workspaces being deleted count
/// until they are gone.
pub(super) async fn is_below_limit(
    transaction: &mut PgConnection,
    user: UserId,
    max_workspaces: u32,
) -> sqlx::Result<bool> {
    let owned: i64 =
        sqlx::query_scalar("SELECT count(*) FROM members WHERE user_id = $1 AND role = 'owner'")
            .bind(user.0)
            .fetch_one(transaction)
            .await?;
    Ok(owned < i64::from(max_workspaces))
}

/// Whether another workspace may be created. Locks the number of workspaces until the transaction
/// ends. Workspaces being deleted count until their database is gone.
pub(super) async fn is_below_total_limit(
    transaction: &mut PgConnection,
    max_workspaces: u32,
) -> sqlx::Result<bool> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('workspaces', 0))")
        .execute(&mut *transaction)
        .await?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM workspaces")
        .fetch_one(transaction)
        .await?;
    Ok(count < i64::from(max_workspaces))
}
