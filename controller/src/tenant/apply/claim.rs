//! Claims a project that a Tenant adopts or takes back, so that no other Tenant gets it.
//!
//! The claim is created once and deleted with the Tenant. A claim whose Tenant no longer exists, for
//! example because its finalizer was removed by hand or because the cluster was rebuilt, passes to
//! the next Tenant that has a right to the project.

use neon_client::ids::ProjectId;
use service_kit::error_chain;
use tracing::warn;

use crate::cluster::{ClaimHolder, ClusterError, ProjectClaim};
use crate::error::ReconcileError;
use crate::issue::Component;
use crate::tenant::observed::ObservedClaim;
use crate::tenant::reconciliation::Reconciliation;

/// Reads which Tenant has claimed the project, and claims it if no Tenant has and `acquire` is set.
pub(super) async fn claim(
    rec: &mut Reconciliation<'_>,
    project: &ProjectId,
    acquire: bool,
) -> Result<(), ReconcileError> {
    let claim = read_or_acquire(rec, project, acquire)
        .await
        .map_err(|error| ReconcileError::cluster(Component::Project, error))?;
    rec.state.claim = Some(claim);
    Ok(())
}

async fn read_or_acquire(
    rec: &Reconciliation<'_>,
    project: &ProjectId,
    acquire: bool,
) -> Result<ObservedClaim, ClusterError> {
    let cluster = &rec.ctx.cluster;
    let own = ClaimHolder {
        tenant: rec.key.clone(),
        uid: rec.uid,
    };
    match cluster.claim(project).await? {
        Some(claim) if claim.holder == own => Ok(ObservedClaim::Own),
        Some(claim) if exists(rec, &claim).await? => {
            Ok(ObservedClaim::Other(claim.holder.tenant.to_string()))
        }
        _ if !acquire => Ok(ObservedClaim::Free),
        Some(claim) => {
            cluster.transfer_claim(&claim, &own).await?;
            Ok(ObservedClaim::Own)
        }
        None => match cluster.create_claim(project, &own).await {
            Ok(()) => Ok(ObservedClaim::Own),
            // Another Tenant was faster; the next reconciliation reads its claim.
            Err(ClusterError::Exists { what }) => Err(ClusterError::Conflict { what }),
            Err(error) => Err(error),
        },
    }
}

/// Whether the holder of a claim still exists. Asks the API server, because the cache may lag.
async fn exists(rec: &Reconciliation<'_>, claim: &ProjectClaim) -> Result<bool, ClusterError> {
    match rec.ctx.cluster.tenant(&claim.holder.tenant).await {
        Ok(tenant) => Ok(tenant.metadata.uid == Some(claim.holder.uid.to_string())),
        Err(ClusterError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes the claim of a Tenant that is about to be deleted. A claim that remains does no harm, so
/// an error does not keep the Tenant.
pub(super) async fn release(rec: &Reconciliation<'_>) {
    let adopts = rec.tenant.spec.adopt.as_ref();
    let reclaimed = rec
        .status
        .project
        .as_ref()
        .filter(|project| project.reclaimed);
    let project = adopts
        .map(|adopt| adopt.project_id.as_str())
        .or(reclaimed.map(|project| project.id.as_str()));
    let Some(project) = project.and_then(|id| id.parse::<ProjectId>().ok()) else {
        return;
    };
    let cluster = &rec.ctx.cluster;
    let deleted = async {
        match cluster.claim(&project).await? {
            Some(claim) if claim.holder.uid == rec.uid => cluster.delete_claim(&claim).await,
            _ => Ok(()),
        }
    };
    match deleted.await {
        Ok(()) | Err(ClusterError::NotFound { .. }) => {}
        Err(error) => warn!(
            project.id = %project,
            error = %error_chain(&error),
            "failed to delete the claim of a project"
        ),
    }
}
