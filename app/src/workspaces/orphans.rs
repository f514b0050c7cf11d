//! Deletes Tenants that outlived their workspace.
//!
//! A Tenant is applied while its workspace's row is locked, so normally none exists without a row.
//! But a process may die during the request, which may then reach the API server after the
//! workspace was deleted. Only such a Tenant is deleted: its label names a workspace whose deletion
//! is recorded as finished. A Tenant whose workspace was never recorded may mean that the main
//! database was restored from an older backup; it is counted and left alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgPool;
use tracing::{info, warn};

use crate::tenants::{ClusterError, TenantView, Tenants};

/// Result of [`clean_up`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Tenants of deleted workspaces, now deleted.
    pub deleted: usize,
    /// Tenants whose workspace id is not recorded, left alone.
    pub unknown: usize,
}

/// Why a clean-up stopped. The next one starts over.
#[derive(Debug, thiserror::Error)]
pub enum OrphansError {
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
    #[error("failed to delete an orphaned Tenant")]
    Cluster(#[from] ClusterError),
}

/// Checks all cached Tenants.
pub async fn clean_up(database: &PgPool, tenants: &Tenants) -> Result<Orphans, OrphansError> {
    let mut by_workspace: HashMap<String, Arc<TenantView>> = HashMap::new();
    for view in tenants.all() {
        if let Some(workspace) = view.workspace.as_ref().filter(|_| !view.is_deleting) {
            by_workspace.insert(workspace.to_string(), view);
        }
    }
    let ids: Vec<String> = by_workspace.keys().cloned().collect();
    let missing: Vec<String> = sqlx::query_scalar(
        "SELECT label FROM unnest($1::text[]) AS label
         WHERE NOT EXISTS (SELECT 1 FROM workspaces w WHERE w.id = label)",
    )
    .bind(&ids)
    .fetch_all(database)
    .await?;
    let deleted: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT subject FROM deletions
         WHERE kind = 'workspace' AND finished_at IS NOT NULL AND subject = ANY($1)",
    )
    .bind(&missing)
    .fetch_all(database)
    .await?;
    let deleted: HashSet<String> = deleted.into_iter().collect();
    let mut orphans = Orphans::default();
    for id in &missing {
        let Some(view) = by_workspace.get(id) else {
            continue;
        };
        if !deleted.contains(id) {
            orphans.unknown += 1;
            continue;
        }
        tenants.delete(&view.name, &view.uid).await?;
        info!(tenant.name = %view.name, "deleted the Tenant of a deleted workspace");
        orphans.deleted += 1;
    }
    if orphans.unknown > 0 {
        warn!(
            tenants = orphans.unknown,
            "found Tenants of unknown workspaces, leaving them alone"
        );
    }
    Ok(orphans)
}
