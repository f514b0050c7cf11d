//! Looks up a project that the listing lacks, and recovers it if it was deleted.

use crds::annotations::{IGNORE_PROJECT, PROJECT_ID};
use crds::{Reason, Tenant};
use neon_client::ErrorKind;
use neon_client::ids::ProjectId;

use crate::cluster::ClusterError;
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::identity::ProjectMark;
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;
use crate::tenant::ownership::ownership_issue;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::StatusOutcome;

/// Reads a project that the listing lacks by its id, and recovers it if it was deleted.
pub(super) async fn verify_missing(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let account = rec.account()?;
    let neon = rec.neon()?;
    match neon.project(id).await {
        Ok(project) if project.deleted_at.is_none() => {
            account.record_write(&project)?;
            rec.state.project_found = true;
            return Ok(());
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(ReconcileError::neon(
                Component::Project,
                "read the project",
                error,
            ));
        }
    }
    check_tenant_exists(rec).await?;
    forget_connection(rec, observed).await?;
    match neon.recover_project(id).await {
        Ok(recovered) => {
            account.record_write(&recovered.project)?;
            rec.state.project_found = true;
            rec.state.project_recovered = true;
            rec.publish_event(&ControllerEvent::ProjectRecovered { project: id });
            Ok(())
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::PreconditionFailed
            ) =>
        {
            Err(ReconcileError::permanent(
                Component::Project,
                Reason::ProjectNotFound,
                format!(
                    "project {id} no longer exists in the account and Neon cannot recover it: to start with an empty \
                     database, delete this Tenant and apply it again"
                ),
            ))
        }
        Err(error) => Err(ReconcileError::neon(
            Component::Project,
            "recover the project",
            error,
        )),
    }
}

/// Makes sure that the Secret is written again once the project is recovered: its password may have
/// changed since the Secret was written, and the Tenant may have been restored from an old backup.
async fn forget_connection(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
) -> Result<(), ReconcileError> {
    if rec.status.connection.take().is_none() {
        return Ok(());
    }
    let recovering = Issue::new(
        Component::Project,
        Reason::RecoveringProject,
        "the project was deleted in Neon; recovering it",
    );
    rec.save_status(observed, &StatusOutcome::InProgress(recovering))
        .await
}

/// Looks up a project that the listing lacks and that the Tenant's annotation or its restored Secret
/// names, and recovers it if it was deleted.
pub(super) async fn find_named(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "look up the project that the Tenant names";
    let account = rec.account()?;
    let neon = rec.neon()?;
    let failed = |error| ReconcileError::neon(Component::Project, ACTION, error);
    match neon.project(id).await {
        Ok(project) if project.deleted_at.is_none() => {
            account.record_write(&project)?;
            return Ok(());
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let Some(deleted) = neon.recoverable_project(id).await.map_err(failed)? else {
        return Err(ReconcileError::permanent(
            Component::Project,
            Reason::ProjectNotFound,
            format!(
                "project {id}, which the annotation {PROJECT_ID} or the restored Secret names, does not exist in the \
                 account and Neon cannot recover it: correct the annotation, or annotate this Tenant with \
                 {IGNORE_PROJECT}={id} to start with an empty database"
            ),
        ));
    };
    if let Some(issue) = ownership_issue(observed, id, ProjectMark::parse(&deleted.name).as_ref()) {
        return Err(ReconcileError::permanent(
            issue.component,
            issue.reason,
            issue.message,
        ));
    }
    check_tenant_exists(rec).await?;
    let recovered = neon
        .recover_project(id)
        .await
        .map_err(|error| ReconcileError::neon(Component::Project, "recover the project", error))?;
    account.record_write(&recovered.project)?;
    rec.publish_event(&ControllerEvent::NamedProjectRecovered { project: id });
    Ok(())
}

/// Reads the Tenant from the API server. The cache may still show a Tenant whose deletion this
/// process has completed; its project must not be recovered.
async fn check_tenant_exists(rec: &Reconciliation<'_>) -> Result<(), ReconcileError> {
    let current = rec.ctx.cluster.tenant(&rec.key).await;
    let deleted = |current: &Tenant| {
        current.metadata.uid != rec.tenant.metadata.uid
            || current.metadata.deletion_timestamp.is_some()
    };
    let result = match current {
        Ok(current) if deleted(&current) => Err(ClusterError::Conflict { what: "get tenant" }),
        other => other.map(|_| ()),
    };
    result.map_err(|error| ReconcileError::cluster(Component::Project, error))
}
