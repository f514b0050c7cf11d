//! How many workspaces one person owns: as many as the plan allows, however they came by them.
//!
//! It is counted wherever somebody becomes an owner: when they make a workspace, come in as an owner by a link, or are made one. So a
//! workspace always counts with somebody: whoever hands theirs on, by leaving or by removing the account, frees for themselves what the
//! other owners have taken on, and no more than that.
//!
//! Race-free, since whoever counts holds the person's row until the commit. It is taken before a workspace's row, everywhere.

use sqlx::PgConnection;

use crate::ids::UserId;

/// Takes the person's row until the transaction ends. False when the account is gone or going.
pub(super) async fn lock_user(transaction: &mut PgConnection, user: UserId) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM users WHERE id = $1 AND removing_since IS NULL FOR NO KEY UPDATE",
    )
    .bind(user.0)
    .fetch_optional(transaction)
    .await?;
    Ok(found.is_some())
}

/// Whether the person, whose row is held, may own one more. Those on their way out count until they are gone.
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
