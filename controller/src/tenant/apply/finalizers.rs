//! Adds and removes the finalizers.

use crds::finalizers;

use super::claim::release;
use crate::cluster::ClusterError;
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::issue::Component;
use crate::tenant::plan::ReleaseReason;
use crate::tenant::reconciliation::Reconciliation;

/// Adds the `in-use` finalizer to the class. The class's own reconciliation does the same; this
/// spares the first Tenant of a class the wait for it.
pub(super) async fn add_class_finalizer(
    rec: &mut Reconciliation<'_>,
) -> Result<(), ReconcileError> {
    let Some(class) = rec.class.clone() else {
        return Ok(());
    };
    let mut list = class.metadata.finalizers.clone().unwrap_or_default();
    list.push(finalizers::IN_USE.to_owned());
    rec.ctx
        .cluster
        .set_class_finalizers(&class, &list)
        .await
        .map_err(|error| ReconcileError::cluster(Component::Project, error))?;
    rec.state.class_has_finalizer = true;
    Ok(())
}

pub(super) async fn add_finalizer(rec: &mut Reconciliation<'_>) -> Result<(), ReconcileError> {
    let mut list = rec.tenant.metadata.finalizers.clone().unwrap_or_default();
    list.push(finalizers::PROJECT.to_owned());
    let written = rec
        .ctx
        .cluster
        .set_finalizers(&rec.tenant, &list)
        .await
        .map_err(|error| ReconcileError::cluster(Component::Project, error))?;
    rec.adopt_version(written);
    Ok(())
}

pub(super) async fn remove_finalizer(
    rec: &mut Reconciliation<'_>,
    reason: ReleaseReason,
) -> Result<(), ReconcileError> {
    release(rec).await;
    report_remaining_project(rec, reason);
    let mut list = rec.tenant.metadata.finalizers.clone().unwrap_or_default();
    list.retain(|finalizer| finalizer != finalizers::PROJECT);
    match rec.ctx.cluster.set_finalizers(&rec.tenant, &list).await {
        Ok(written) => {
            rec.adopt_version(written);
            Ok(())
        }
        Err(ClusterError::NotFound { .. }) => Ok(()),
        Err(error) => Err(ReconcileError::cluster(Component::Project, error)),
    }
}

fn report_remaining_project(rec: &Reconciliation<'_>, reason: ReleaseReason) {
    let project = rec
        .status
        .project
        .as_ref()
        .map(|project| project.id.as_str());
    match (reason, project) {
        (ReleaseReason::Retained, Some(project)) => {
            rec.publish_event(&ControllerEvent::ProjectRetained { project });
        }
        (ReleaseReason::NotOwned, Some(project)) => {
            rec.publish_event(&ControllerEvent::ForeignProjectKept { project });
        }
        (ReleaseReason::Orphaned, project) => {
            rec.publish_event(&ControllerEvent::ProjectOrphaned { project });
        }
        (ReleaseReason::Deleted | ReleaseReason::Retained | ReleaseReason::NotOwned, _) => {}
    }
}
