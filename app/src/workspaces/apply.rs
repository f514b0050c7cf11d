//! The step from rows to a Tenant, and those who take it again where a process died before it was done.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Workspace, WorkspaceState, store, strays};
use crate::ids::WorkspaceId;
use crate::tenants::{ClusterError, Tenants};

/// How often workspaces are looked for whose Tenant was not applied.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How often Tenants are looked for that outlived their workspace.
const STRAYS_EVERY: Duration = Duration::from_mins(5);
/// Workspaces of one round.
const ROUND_MAX: i64 = 200;
/// Workspaces of a round whose Tenants are applied at once.
const AT_ONCE: usize = 8;

/// Why the Tenant is not there yet. Each is tried again by [`recover`].
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The cluster did not do it.
    #[error("the Tenant could not be applied")]
    Cluster(#[from] ClusterError),
    /// The main database did not do it.
    #[error("the Tenant's uid could not be written down")]
    Database(#[from] sqlx::Error),
}

/// Applies the workspace's Tenant and writes its uid down, unless that was done. Returns the workspace as it is now, or `None` if it is
/// gone or another process is at it this moment.
///
/// The row is held meanwhile, for [`crate::tenants::CALL_DEADLINE`] twice at most: whoever takes the workspace away waits for the outcome, so that no Tenant comes
/// into being behind a removal's back. (A process may die with its request on the way: see [`super::strays`].)
pub async fn ensure_tenant(
    database: &PgPool,
    tenants: &Tenants,
    workspace: &WorkspaceId,
) -> Result<Option<Workspace>, ApplyError> {
    let mut transaction = database.begin().await?;
    let is_held: Option<bool> = sqlx::query_scalar(
        "SELECT state = 'creating' FROM workspaces WHERE id = $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(workspace.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    if is_held.is_none() {
        return Ok(None);
    }
    let Some(found) = store::find(&mut *transaction, workspace).await? else {
        return Ok(None);
    };
    if found.state != WorkspaceState::Creating {
        transaction.rollback().await?;
        return Ok(Some(found));
    }
    let tenant = match tenants.apply(&found).await {
        Ok(tenant) => tenant,
        Err(error) => {
            // At once, so that whoever comes next finds the row free.
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    sqlx::query("UPDATE workspaces SET tenant_uid = $2, state = 'active' WHERE id = $1")
        .bind(workspace.as_str())
        .bind(&*tenant.uid)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    info!(workspace.id = %workspace, tenant.name = %tenant.name, "The workspace has a Tenant");
    Ok(Some(Workspace {
        tenant_uid: Some(tenant.uid.into()),
        state: WorkspaceState::Active,
        ..found
    }))
}

/// Applies what was left unapplied, now and every `LOOK_EVERY`, and now and then looks for Tenants that outlived their workspace, until
/// `stop`.
pub async fn recover(database: PgPool, tenants: Tenants, stop: CancellationToken) {
    let both = futures::future::join(
        unfinished(&database, &tenants),
        outlived(&database, &tenants),
    );
    stop.run_until_cancelled(both).await;
}

async fn unfinished(database: &PgPool, tenants: &Tenants) {
    loop {
        round(database, tenants).await;
        sleep(LOOK_EVERY).await;
    }
}

async fn outlived(database: &PgPool, tenants: &Tenants) {
    tenants.filled().await;
    loop {
        if let Err(error) = strays::look(database, tenants).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Tenants that outlived their workspace could not be looked for"
            );
        }
        sleep(STRAYS_EVERY).await;
    }
}

/// One look at what was left unapplied. Returns how many Tenants were applied.
pub async fn round(database: &PgPool, tenants: &Tenants) -> usize {
    let unfinished = match store::creating(database, ROUND_MAX).await {
        Ok(unfinished) => unfinished,
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Unfinished workspaces could not be looked for"
            );
            return 0;
        }
    };
    stream::iter(unfinished)
        .map(|workspace| async move {
            match ensure_tenant(database, tenants, &workspace.id).await {
                Ok(Some(_)) => 1,
                Ok(None) => 0,
                Err(error) => {
                    warn!(
                        workspace.id = %workspace.id,
                        error = &error as &dyn std::error::Error,
                        "The workspace still has no Tenant"
                    );
                    0
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .fold(0, |sum, one| async move { sum + one })
        .await
}
