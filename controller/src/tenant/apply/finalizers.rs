//! The finalizers, and how a Tenant goes.

use crds::{Reason, finalizers};
use neon_client::ErrorKind;
use neon_client::ids::ProjectId;

use crate::cluster::ClusterError;
use crate::error::Failure;
use crate::tenant::plan::Farewell;
use crate::tenant::reconciliation::Pass;
use crate::tenant::status::Area;

/// Marks the class as in use. The class's own passes do it too; this spares the first Tenant of a class the wait.
pub(super) async fn guard_class(pass: &mut Pass<'_>) -> Result<(), Failure> {
    let Some(class) = pass.class.clone() else {
        return Ok(());
    };
    let mut list = class.metadata.finalizers.clone().unwrap_or_default();
    list.push(finalizers::IN_USE.to_owned());
    let written = pass.ctx.cluster.set_class_finalizers(&class, &list).await;
    written.map_err(|error| Failure::cluster(Area::Project, &error))?;
    pass.hand.class_guarded = true;
    Ok(())
}

pub(super) async fn add_finalizer(pass: &mut Pass<'_>) -> Result<(), Failure> {
    let mut list = pass.tenant.metadata.finalizers.clone().unwrap_or_default();
    list.push(finalizers::PROJECT.to_owned());
    let written = pass.ctx.cluster.set_finalizers(&pass.tenant, &list).await;
    pass.adopt_version(written.map_err(|error| Failure::cluster(Area::Project, &error))?);
    Ok(())
}

pub(super) async fn let_go(pass: &mut Pass<'_>, farewell: Farewell) -> Result<(), Failure> {
    let project = pass
        .status
        .project
        .as_ref()
        .map(|project| project.id.clone());
    match (farewell, project) {
        (Farewell::Retained, Some(id)) => {
            pass.say(
                Reason::ProjectRetained,
                &format!("project {id} stays in Neon, by deletionPolicy Retain"),
            );
        }
        (Farewell::Abandoned, id) => {
            let id = id.unwrap_or_else(|| "of an unanswered request, if there is one,".to_owned());
            let note =
                format!("let go on request: project {id} stays in Neon and belongs to nobody");
            pass.ctx
                .events
                .warning(pass.reference(), Reason::ProjectOrphaned, &note);
            tracing::warn!(tenant.namespace = %pass.key.namespace, tenant.name = %pass.key.name, "Tenant was {note}");
        }
        (Farewell::Gone | Farewell::Retained, _) => {}
    }
    let mut list = pass.tenant.metadata.finalizers.clone().unwrap_or_default();
    list.retain(|one| one != finalizers::PROJECT);
    match pass.ctx.cluster.set_finalizers(&pass.tenant, &list).await {
        Ok(written) => {
            pass.adopt_version(written);
            Ok(())
        }
        Err(ClusterError::NotFound { .. }) => Ok(()),
        Err(error) => Err(Failure::cluster(Area::Project, &error)),
    }
}

pub(super) async fn delete_project(pass: &mut Pass<'_>, id: &ProjectId) -> Result<(), Failure> {
    let account = pass.account()?;
    match account.neon().projects().delete(id).send().await {
        Ok(_) => {
            pass.say(
                Reason::ProjectDeleted,
                &format!("deleted project {id}; Neon can recover it for 7 days"),
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::neon(Area::Project, "deleting the project", &error)),
    }
    account.deleted(id);
    pass.hand.deleted = Some(id.clone());
    Ok(())
}
