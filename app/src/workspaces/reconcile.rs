//! Brings each workspace's Tenant in line with the workspace's row.
//!
//! The row is the desired state: in state `creating` the Tenant has to be applied, and where
//! `tenant_display_name` differs from the name, the Tenant has to be renamed. Changing the
//! row is enough: every process periodically reconciles the pending rows, so work left
//! by a process that died is picked up.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use service_kit::error_chain;
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{orphans, store};
use crate::domain::{Workspace, WorkspaceState};
use crate::ids::WorkspaceId;
use crate::tenants::{AppliedTenant, ClusterError, RenameOutcome, TenantName, Tenants};

/// How often pending workspaces are reconciled.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(20);
/// How often orphaned Tenants are cleaned up.
const ORPHAN_CHECK_INTERVAL: Duration = Duration::from_mins(5);
/// Maximum number of workspaces per pass.
const MAX_WORKSPACES_PER_PASS: i64 = 200;
/// Concurrency of a pass. Lower than [`crate::tenants::MAX_CONCURRENT_APPLIES`], to leave permits
/// for workspaces that users create meanwhile.
const CONCURRENT_APPLIES: usize = 2;

/// Why a Tenant could not be reconciled. [`run`] retries.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("failed to apply the Tenant")]
    Cluster(#[from] ClusterError),
    /// No apply permit became free in time.
    #[error("too many Tenants are being applied")]
    Busy,
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
}

/// Applies the workspace's Tenant and records its UID, unless that has been done. Returns the
/// current workspace, or `None` if it does not exist or another process is applying its Tenant.
///
/// The number of concurrent calls is limited, and waiting for a permit holds no row. The
/// workspace's row is then locked for at most twice [`crate::tenants::CALL_TIMEOUT`]. A deletion
/// waits for this lock, so no Tenant is created behind its back. (The request of a process that
/// died may still arrive later: see [`super::orphans`].)
pub async fn ensure_tenant(
    database: &PgPool,
    tenants: &Tenants,
    workspace: &WorkspaceId,
) -> Result<Option<Workspace>, ApplyError> {
    let _permit = tenants
        .acquire_apply_permit()
        .await
        .ok_or(ApplyError::Busy)?;
    let mut transaction = database.begin().await?;
    let locked: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM workspaces WHERE id = $1 FOR UPDATE SKIP LOCKED")
            .bind(workspace.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    if locked.is_none() {
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
            // Release the row immediately.
            transaction.rollback().await?;
            return Err(error.into());
        }
    };
    // An existing Tenant was applied by a process that died; the workspace may have been renamed
    // since.
    sqlx::query("UPDATE workspaces SET tenant_uid = $2, state = 'active', tenant_display_name = $3 WHERE id = $1")
        .bind(workspace.as_str())
        .bind(&*tenant.uid)
        .bind(is_new.then_some(&found.name))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    info!(workspace.id = %workspace, tenant.name = %tenant.name, "applied the workspace's Tenant");
    Ok(Some(Workspace {
        tenant_uid: Some(tenant.uid.into()),
        state: WorkspaceState::Active,
        ..found
    }))
}

/// Sets the display name of the workspace's Tenant and records it. Returns whether the name is now
/// in effect.
///
/// Nothing is locked during the API calls. The Tenant is read before the row: of two processes with
/// different names, the one with the older name gets a conflict and retries. If a process dies in
/// between, the row remains pending.
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
    let outcome = match observed {
        Some(observed) => tenants.rename(&found, observed).await?,
        None => RenameOutcome::NotFound,
    };
    if outcome == RenameOutcome::Conflict {
        return Ok(false);
    }
    // Also recorded if the Tenant does not exist: it is never recreated, so it needs no name.
    sqlx::query("UPDATE workspaces SET tenant_display_name = $2 WHERE id = $1")
        .bind(workspace.as_str())
        .bind(&found.name)
        .execute(database)
        .await?;
    Ok(true)
}

/// Reconciles pending workspaces and cleans up orphaned Tenants, immediately and then periodically,
/// until `stop` is cancelled.
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
                error = %error_chain(&error),
                "failed to clean up orphaned Tenants"
            );
        }
        sleep(ORPHAN_CHECK_INTERVAL).await;
    }
}

/// One pass over the pending workspaces. Returns how many Tenants were applied or renamed.
pub async fn reconcile_all(database: &PgPool, tenants: &Tenants) -> usize {
    let pending = match store::pending(database, MAX_WORKSPACES_PER_PASS).await {
        Ok(pending) => pending,
        Err(error) => {
            warn!(
                error = %error_chain(&error),
                "failed to list pending workspaces"
            );
            return 0;
        }
    };
    stream::iter(pending)
        .map(|workspace| async move {
            let id = &workspace.id;
            let result = if workspace.state == WorkspaceState::Creating {
                let ensured = ensure_tenant(database, tenants, id).await;
                ensured.map(|workspace| workspace.is_some())
            } else {
                sync_display_name(database, tenants, id).await
            };
            match result {
                Ok(done) => usize::from(done),
                Err(error) => {
                    warn!(
                        workspace.id = %id,
                        error = %error_chain(&error),
                        "failed to reconcile the workspace's Tenant"
                    );
                    0
                }
            }
        })
        .buffer_unordered(CONCURRENT_APPLIES)
        .fold(0, |sum, one| async move { sum + one })
        .await
}
