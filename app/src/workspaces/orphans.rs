//! Tenants that outlived their workspace.
//!
//! A Tenant is applied while its workspace's row is held, so there is none without a row; but a process may die with its request on the
//! way, and the request land after the workspace was taken away. Such a Tenant, and only such a one, is deleted: its label names a
//! workspace whose removal was finished. One whose workspace was never heard of may mean that the main database was put back to an
//! older state: it is counted and left alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgPool;
use tracing::{info, warn};

use crate::tenants::{ClusterError, TenantView, Tenants};

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Tenants of workspaces that were removed: now deleted.
    pub deleted: usize,
    /// Tenants of workspaces that nothing is known of.
    pub unknown: usize,
}

/// Why the look was not finished. The next one begins anew.
#[derive(Debug, thiserror::Error)]
pub enum OrphansError {
    /// The main database did not answer.
    #[error("the workspaces could not be looked up")]
    Database(#[from] sqlx::Error),
    /// The cluster did not delete a Tenant.
    #[error("a Tenant without a workspace could not be deleted")]
    Cluster(#[from] ClusterError),
}

/// Looks at all Tenants that are known.
pub async fn look(database: &PgPool, tenants: &Tenants) -> Result<Orphans, OrphansError> {
    let mut by_workspace: HashMap<String, Arc<TenantView>> = HashMap::new();
    for view in tenants.all() {
        if let Some(workspace) = view.workspace.as_ref().filter(|_| !view.is_deleting) {
            by_workspace.insert(workspace.to_string(), view);
        }
    }
    let ids: Vec<String> = by_workspace.keys().cloned().collect();
    let missing: Vec<String> = sqlx::query_scalar(
        "SELECT asked FROM unnest($1::text[]) AS asked
         WHERE NOT EXISTS (SELECT 1 FROM workspaces w WHERE w.id = asked)",
    )
    .bind(&ids)
    .fetch_all(database)
    .await?;
    let removed: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT subject FROM removals
         WHERE kind = 'workspace' AND finished_at IS NOT NULL AND subject = ANY($1)",
    )
    .bind(&missing)
    .fetch_all(database)
    .await?;
    let removed: HashSet<String> = removed.into_iter().collect();
    let mut orphans = Orphans::default();
    for id in &missing {
        let Some(view) = by_workspace.get(id) else {
            continue;
        };
        if !removed.contains(id) {
            orphans.unknown += 1;
            continue;
        }
        tenants.delete(&view.name, &view.uid).await?;
        info!(tenant.name = %view.name, "A Tenant whose workspace was removed is deleted");
        orphans.deleted += 1;
    }
    if orphans.unknown > 0 {
        warn!(
            tenants = orphans.unknown,
            "There are Tenants with our label whose workspaces nothing is known of; they are left alone"
        );
    }
    Ok(orphans)
}
