//! Queries on the rows of workspaces. Access on behalf of a user goes through [`for_member`].

use std::time::Duration;

use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, PgPool, Row as _};

use crate::domain::{Role, Workspace, WorkspaceName};
use crate::ids::{UserId, WorkspaceId};

/// Minimum time between two updates of a member's `last_seen_at`, so that most page views write no
/// row.
const LAST_SEEN_RESOLUTION_SECONDS: i32 = 60;

impl FromRow<'_, PgRow> for Workspace {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let id: String = row.try_get("id")?;
        Ok(Self {
            id: id.parse().map_err(|error| sqlx::Error::ColumnDecode {
                index: "id".to_owned(),
                source: Box::new(error),
            })?,
            name: row.try_get("name")?,
            class_name: row.try_get("class_name")?,
            region: row.try_get("region")?,
            state: row.try_get("state")?,
            tenant_uid: row.try_get("tenant_uid")?,
            embedding_model: row.try_get("embedding_model")?,
            personal_of: row.try_get("personal_of")?,
            created_at: row.try_get::<SqlTimestamp, _>("created_at")?.to_jiff(),
            available_at: row
                .try_get::<Option<SqlTimestamp>, _>("available_at")?
                .map(SqlTimestamp::to_jiff),
        })
    }
}

/// The workspace and the user's role in it. Returns `None` if there is no such workspace, the user
/// is not a member, or it is being deleted; the caller cannot tell which.
pub async fn for_member(
    database: &PgPool,
    user: UserId,
    workspace: &WorkspaceId,
) -> sqlx::Result<Option<(Workspace, Role)>> {
    let row = sqlx::query(
        "SELECT w.id, w.name, w.class_name, w.region, w.state, w.tenant_uid, w.embedding_model, w.personal_of, m.role, w.created_at, w.available_at
         FROM members m JOIN workspaces w ON w.id = m.workspace_id
         WHERE m.workspace_id = $1 AND m.user_id = $2 AND w.state <> 'deleting'",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .fetch_optional(database)
    .await?;
    row.map(|row| Ok((Workspace::from_row(&row)?, row.try_get("role")?)))
        .transpose()
}

/// The user's workspaces, most recently visited first.
pub async fn of_user(database: &PgPool, user: UserId) -> sqlx::Result<Vec<(Workspace, Role)>> {
    let rows = sqlx::query(
        "SELECT w.id, w.name, w.class_name, w.region, w.state, w.tenant_uid, w.embedding_model, w.personal_of, m.role, w.created_at, w.available_at
         FROM members m JOIN workspaces w ON w.id = m.workspace_id
         WHERE m.user_id = $1 AND w.state <> 'deleting'
         ORDER BY m.last_seen_at DESC, w.id",
    )
    .bind(user.0)
    .fetch_all(database)
    .await?;
    rows.iter()
        .map(|row| Ok((Workspace::from_row(row)?, row.try_get("role")?)))
        .collect()
}

/// The workspaces that this user alone owns: they are deleted with the account.
pub async fn owned_alone(
    executor: impl PgExecutor<'_>,
    user: UserId,
) -> sqlx::Result<Vec<Workspace>> {
    sqlx::query_as(
        "SELECT id, name, class_name, region, state, tenant_uid, embedding_model, personal_of, created_at, available_at
         FROM workspaces w
         WHERE state <> 'deleting'
           AND EXISTS (SELECT 1 FROM members m WHERE m.workspace_id = w.id AND m.user_id = $1 AND m.role = 'owner')
           AND NOT EXISTS (SELECT 1 FROM members m JOIN users u ON u.id = m.user_id
                            WHERE m.workspace_id = w.id AND m.user_id <> $1 AND m.role = 'owner' AND u.deleting_since IS NULL)
         ORDER BY created_at, id",
    )
    .bind(user.0)
    .fetch_all(executor)
    .await
}

/// The workspace in any state, without an access check: for background work.
pub async fn find(
    database: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
) -> sqlx::Result<Option<Workspace>> {
    sqlx::query_as(
        "SELECT id, name, class_name, region, state, tenant_uid, embedding_model, personal_of, created_at, available_at
         FROM workspaces WHERE id = $1",
    )
    .bind(workspace.as_str())
    .fetch_optional(database)
    .await
}

/// Records the member's visit, which determines the order of workspaces in the switcher and where
/// the user lands after signing in.
pub async fn touch_last_seen(
    database: &PgPool,
    user: UserId,
    workspace: &WorkspaceId,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE members SET last_seen_at = now()
         WHERE workspace_id = $1 AND user_id = $2 AND last_seen_at < now() - make_interval(secs => $3)",
    )
    .bind(workspace.as_str())
    .bind(user.0)
    .bind(LAST_SEEN_RESOLUTION_SECONDS)
    .execute(database)
    .await?;
    Ok(())
}

/// Renames the workspace. [`super::reconcile::run`] renames its Tenant. Returns false if the
/// workspace does not exist or is being deleted.
pub async fn rename(
    database: &PgPool,
    workspace: &WorkspaceId,
    name: &WorkspaceName,
) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE workspaces SET name = $2 WHERE id = $1 AND state <> 'deleting'")
        .bind(workspace.as_str())
        .bind(name.as_str())
        .execute(database)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Records when the database first became available. Later calls have no effect.
pub async fn mark_available(database: &PgPool, workspace: &WorkspaceId) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE workspaces SET available_at = now() WHERE id = $1 AND available_at IS NULL",
    )
    .bind(workspace.as_str())
    .execute(database)
    .await?;
    Ok(())
}

/// Switches the workspace to another embedding model, if `before` is still its current model.
pub async fn serve_embedding_model(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    before: Option<&str>,
    model: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE workspaces SET embedding_model = $3, embedding_model_since = now()
         WHERE id = $1 AND embedding_model IS NOT DISTINCT FROM $2",
    )
    .bind(workspace.as_str())
    .bind(before)
    .bind(model)
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How much longer the previous model's vectors are kept, if they are kept for `kept` after the
/// switch.
pub async fn old_vectors_kept_for(
    executor: impl PgExecutor<'_>,
    workspace: &WorkspaceId,
    kept: Duration,
) -> sqlx::Result<Option<Duration>> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM embedding_model_since + make_interval(secs => $2) - now())::float8 FROM workspaces
         WHERE id = $1 AND embedding_model_since + make_interval(secs => $2) > now()",
    )
    .bind(workspace.as_str())
    .bind(kept.as_secs_f64())
    .fetch_optional(executor)
    .await?;
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

/// Workspaces whose Tenant has not been applied, followed by those whose Tenant has another display
/// name; oldest first.
pub async fn pending(database: &PgPool, limit: i64) -> sqlx::Result<Vec<Workspace>> {
    sqlx::query_as(
        "SELECT id, name, class_name, region, state, tenant_uid, embedding_model, personal_of, created_at, available_at
         FROM workspaces
         WHERE state = 'creating' OR (state = 'active' AND tenant_display_name IS DISTINCT FROM name)
         ORDER BY state, created_at, id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(database)
    .await
}
