//! The finalizers, and how a Tenant goes.

use crds::{Reason, finalizers};
use neon_client::ErrorKind;
use neon_client::ids::ProjectId;

use crate::cluster::ClusterError;
use crate::error::ReconcileError;
use crate::tenant::plan::ReleaseReason;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::Component;

/// Marks the class as in use. The class's own passes do it too; this spares the first Tenant of a class the wait.
pub(super) async fn add_class_finalizer(rec: &mut Reconciliation<'_>) -> Result<(), ReconcileError> {
    let Some(class) = rec.class.clone() else {
        return Ok(());
    };
    let mut list = class.metadata.finalizers.clone().unwrap_or_default();
    list.push(finalizers::IN_USE.to_owned());
    let written = rec.ctx.cluster.set_class_finalizers(&class, &list).await;
    written.map_err(|error| ReconcileError::cluster(Component::Project, &error))?;
    rec.state.class_has_finalizer = true;
    Ok(())
}

pub(super) async fn add_finalizer(rec: &mut Reconciliation<'_>) -> Result<(), ReconcileError> {
    let mut list = rec.tenant.metadata.finalizers.clone().unwrap_or_default();
    list.push(finalizers::PROJECT.to_owned());
    let written = rec.ctx.cluster.set_finalizers(&rec.tenant, &list).await;
    rec.adopt_version(written.map_err(|error| ReconcileError::cluster(Component::Project, &error))?);
    Ok(())
}

pub(super) async fn remove_finalizer(rec: &mut Reconciliation<'_>, reason: ReleaseReason) -> Result<(), ReconcileError> {
    let project = rec
        .status
        .project
        .as_ref()
        .map(|project| project.id.clone());
    match (reason, project) {
        (ReleaseReason::Retained, Some(id)) => {
            rec.say(
                Reason::ProjectRetained,
                &format!("project {id} stays in Neon, by deletionPolicy Retain"),
            );
        }
        (ReleaseReason::Orphaned, id) => {
            let id = id.unwrap_or_else(|| "of an unanswered request, if there is one,".to_owned());
            let note =
                format!("let go on request: project {id} stays in Neon and belongs to nobody");
            rec.ctx
                .events
                .warning(rec.reference(), Reason::ProjectOrphaned, &note);
            tracing::warn!(tenant.namespace = %rec.key.namespace, tenant.name = %rec.key.name, "Tenant was {note}");
        }
        (ReleaseReason::Deleted | ReleaseReason::Retained, _) => {}
    }
    let mut list = rec.tenant.metadata.finalizers.clone().unwrap_or_default();
    list.retain(|one| one != finalizers::PROJECT);
    match rec.ctx.cluster.set_finalizers(&rec.tenant, &list).await {
        Ok(written) => {
            rec.adopt_version(written);
            Ok(())
        }
        Err(ClusterError::NotFound { .. }) => Ok(()),
        Err(error) => Err(ReconcileError::cluster(Component::Project, &error)),
    }
}

pub(super) async fn delete_project(rec: &mut Reconciliation<'_>, id: &ProjectId) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    match account.client().projects().delete(id).send().await {
        Ok(_) => {
            rec.say(
                Reason::ProjectDeleted,
                &format!("deleted project {id}; Neon can recover it for 7 days"),
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(ReconcileError::neon(Component::Project, "deleting the project", &error)),
    }
    account.record_deletion(id);
    rec.state.deleted = Some(id.clone());
    Ok(())
}
