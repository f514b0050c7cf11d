//! The step from rows to a Tenant, and those who take it again where a process died before it was done.
//!
//! A workspace's row says what its Tenant is to be: there (`creating`), and called like it (`tenant_display_name` is what it was last called).
//! Whoever changes the row need do no more; rounds bring the cluster there, in whichever process.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::{Workspace, WorkspaceState};
use super::{store, orphans};
use crate::ids::WorkspaceId;
use crate::tenants::{AppliedTenant, ClusterError, RenameOutcome, TenantName, Tenants};

/// How often workspaces are looked for whose Tenant was not applied.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(20);
/// How often Tenants are looked for that outlived their workspace.
const ORPHAN_CHECK_INTERVAL: Duration = Duration::from_mins(5);
/// Workspaces of one round.
const MAX_WORKSPACES_PER_PASS: i64 = 200;
/// Workspaces of a round at once: fewer than the process may ([`crate::tenants::MAX_CONCURRENT_APPLIES`]), so that whoever makes one now has a place.
const CONCURRENT_APPLIES: usize = 2;

/// Why the Tenant is not there yet. Each is tried again by [`recover`].
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The cluster did not do it.
    #[error("the Tenant could not be applied")]
    Cluster(#[from] ClusterError),
    /// Others of this process are at it and take too long.
    #[error("too many Tenants are being applied")]
    Busy,
    /// The main database did not do it.
    #[error("what became of the Tenant could not be written down")]
    Database(#[from] sqlx::Error),
}

/// Applies the workspace's Tenant and writes its uid down, unless that was done. Returns the workspace as it is now, or `None` if it is
/// gone or another process is at it this moment.
///
/// Only so many do this at once, and who waits for a place holds nothing. The row is held meanwhile, for [`crate::tenants::CALL_DEADLINE`] twice at most: whoever takes the workspace away waits for the outcome, so that no Tenant comes
/// into being behind a removal's back. (A process may die with its request on the way: see [`super::orphans`].)
pub async fn ensure_tenant(
    database: &PgPool,
    tenants: &Tenants,
    workspace: &WorkspaceId,
) -> Result<Option<Workspace>, ApplyError> {
    let _permit = tenants.acquire_apply_permit().await.ok_or(ApplyError::Busy)?;
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
    let AppliedTenant { tenant, is_new } = match tenants.apply(&found).await {
        Ok(applied) => applied,
        Err(error) => {
            // At once, so that whoever comes next finds the row free.
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    // One that was there was applied by a process that died before this; the name may have changed since.
    sqlx::query("UPDATE workspaces SET tenant_uid = $2, state = 'active', tenant_display_name = $3 WHERE id = $1")
        .bind(workspace.as_str())
        .bind(&*tenant.uid)
        .bind(is_new.then_some(&found.name))
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

/// Gives the workspace's Tenant the name that the workspace has now, and writes down that it has it. Returns whether that is done.
///
/// Nothing is held while the API server is asked. The Tenant is looked at first and the row read after that: of two processes with two
/// names, the one with the older name finds the Tenant changed, and looks again. A process that dies in between leaves the row as one whose
/// Tenant is to be named.
pub async fn sync_display_name(
    database: &PgPool,
    tenants: &Tenants,
    workspace: &WorkspaceId,
) -> Result<bool, ApplyError> {
    let observed = tenants.observe(&TenantName::of(workspace)).await?;
    let found = store::find(database, workspace).await?;
    let Some(found) = found.filter(|found| found.state == WorkspaceState::Active) else {
        return Ok(false);
    };
    let renaming = match observed {
        Some(observed) => tenants.rename(&found, observed).await?,
        None => RenameOutcome::NotFound,
    };
    if renaming == RenameOutcome::Conflict {
        return Ok(false);
    }
    // Also of one that is not there: it is never made again, so it needs no name.
    sqlx::query("UPDATE workspaces SET tenant_display_name = $2 WHERE id = $1")
        .bind(workspace.as_str())
        .bind(&found.name)
        .execute(database)
        .await?;
    Ok(true)
}

/// Applies what was left unapplied, now and every `RECONCILE_INTERVAL`, and now and then looks for Tenants that outlived their workspace, until
/// `stop`.
pub async fn run(database: PgPool, tenants: Tenants, stop: CancellationToken) {
    let both = futures::future::join(
        reconcile_loop(&database, &tenants),
        orphan_loop(&database, &tenants),
    );
    stop.run_until_cancelled(both).await;
}

async fn reconcile_loop(database: &PgPool, tenants: &Tenants) {
    loop {
        reconcile_all(database, tenants).await;
        sleep(RECONCILE_INTERVAL).await;
    }
}

async fn orphan_loop(database: &PgPool, tenants: &Tenants) {
    tenants.wait_until_synced().await;
    loop {
        if let Err(error) = orphans::clean_up(database, tenants).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Tenants that outlived their workspace could not be looked for"
            );
        }
        sleep(ORPHAN_CHECK_INTERVAL).await;
    }
}

/// One look at what was left unapplied or unnamed. Returns how many Tenants were applied or named.
pub async fn reconcile_all(database: &PgPool, tenants: &Tenants) -> usize {
    let pending = match store::pending(database, MAX_WORKSPACES_PER_PASS).await {
        Ok(pending) => pending,
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Unfinished workspaces could not be looked for"
            );
            return 0;
        }
    };
    stream::iter(pending)
        .map(|workspace| async move {
            let id = &workspace.id;
            let done = if workspace.state == WorkspaceState::Creating {
                let ensured = ensure_tenant(database, tenants, id).await;
                ensured.map(|workspace| workspace.is_some())
            } else {
                sync_display_name(database, tenants, id).await
            };
            match done {
                Ok(done) => usize::from(done),
                Err(error) => {
                    warn!(
                        workspace.id = %id,
                        error = &error as &dyn std::error::Error,
                        "The workspace's Tenant is not as it should be yet"
                    );
                    0
                }
            }
        })
        .buffer_unordered(CONCURRENT_APPLIES)
        .fold(0, |sum, one| async move { sum + one })
        .await
}
