//! Executes a step, through the ports [`NeonApi`](crate::neon::NeonApi),
//! [`ClusterApi`](crate::cluster::ClusterApi) and [`Migrator`](crate::migrations::Migrator).
//!
//! Each step stores what it learned in the [`Reconciliation`], so the next plan needs no further
//! calls. A failed step leaves nothing behind that the next reconciliation would not find.

mod adopt;
mod backup;
mod claim;
mod compute;
mod connection_string;
mod create;
mod credentials;
mod finalizers;
mod migration;
mod operations;
mod project;
mod recover;
mod restore;
mod secret;

use crds::Reason;
use neon_client::ids::ProjectId;

use crate::accounts::Priority;
use crate::error::ReconcileError;
use crate::issue::{Component, Issue};
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::Step;
use crate::tenant::reconciliation::Reconciliation;

/// Executes the step. Steps that end the reconciliation have no effect here.
pub async fn apply(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    step: &Step,
) -> Result<(), ReconcileError> {
    match step {
        Step::AddClassFinalizer => finalizers::add_class_finalizer(rec).await,
        Step::AddFinalizer => finalizers::add_finalizer(rec).await,
        Step::RemoveFinalizer(reason) => finalizers::remove_finalizer(rec, *reason).await,
        Step::List { since } => {
            let account = rec.account()?;
            account
                .list_since(*since, Priority::User)
                .await
                .map_err(ReconcileError::from)
        }
        Step::Create { attempt } => create::create(rec, observed, *attempt).await,
        Step::RecoverCreated(project) => create::recover_created(rec, project).await,
        Step::Adopt(project) => adopt::adopt(rec, observed, project).await,
        Step::Reclaim(project) => adopt::reclaim(rec, observed, project).await,
        Step::FindNamed(project) => recover::find_named(rec, observed, project).await,
        Step::Claim { project, acquire } => claim::claim(rec, project, *acquire).await,
        Step::AnnotateProject(project) => annotate_project(rec, project).await,
        Step::DeleteDuplicate { project, named } => {
            project::delete_duplicate(rec, observed, project, *named).await
        }
        Step::VerifyMissing(project) => recover::verify_missing(rec, observed, project).await,
        Step::Inspect(project) => project::inspect(rec, observed, project).await,
        Step::Update { project, compute } => {
            project::update(rec, observed, project, compute.as_ref()).await
        }
        Step::WriteSecret(project) => secret::write_secret(rec, observed, project).await,
        Step::CheckSecret(project) => secret::check_secret(rec, project).await,
        Step::BackUp(project) => backup::back_up(rec, observed, project).await,
        Step::Restore(project) => restore::restore(rec, observed, project).await,
        Step::Migrate(project) => migration::migrate_database(rec, observed, project).await,
        Step::DeleteProject(project) => project::delete_project(rec, project).await,
        Step::Wait { .. } | Step::Suspended | Step::Stalled(_) | Step::UpToDate => Ok(()),
    }
}

/// Writes the project's id to the annotation, which backups without the status contain.
async fn annotate_project(
    rec: &mut Reconciliation<'_>,
    project: &ProjectId,
) -> Result<(), ReconcileError> {
    let written = rec
        .ctx
        .cluster
        .annotate_project(&rec.tenant, project.as_str())
        .await
        .map_err(|error| ReconcileError::cluster(Component::Project, error))?;
    rec.adopt_version(written);
    Ok(())
}

/// Name of a step in metrics and traces.
pub fn step_name(step: &Step) -> &'static str {
    match step {
        Step::AddClassFinalizer => "add_class_finalizer",
        Step::AddFinalizer => "add_finalizer",
        Step::RemoveFinalizer(_) => "remove_finalizer",
        Step::List { .. } => "list",
        Step::Wait { .. } => "wait",
        Step::Create { .. } => "create",
        Step::RecoverCreated(_) => "recover_created",
        Step::Adopt(_) => "adopt",
        Step::Reclaim(_) => "reclaim",
        Step::FindNamed(_) => "find_named",
        Step::Claim { .. } => "claim",
        Step::AnnotateProject(_) => "annotate_project",
        Step::DeleteDuplicate { .. } => "delete_duplicate",
        Step::VerifyMissing(_) => "verify_missing",
        Step::Inspect(_) => "inspect",
        Step::Update { .. } => "update",
        Step::WriteSecret(_) => "write_secret",
        Step::CheckSecret(_) => "check_secret",
        Step::BackUp(_) => "back_up",
        Step::Restore(_) => "restore",
        Step::Migrate(_) => "migrate",
        Step::DeleteProject(_) => "delete_project",
        Step::Suspended => "suspended",
        Step::Stalled(_) => "stalled",
        Step::UpToDate => "up_to_date",
    }
}

/// Whether the step reads or changes the Neon account.
pub fn calls_neon(step: &Step) -> bool {
    match step {
        Step::List { .. }
        | Step::Create { .. }
        | Step::RecoverCreated(_)
        | Step::Adopt(_)
        | Step::Reclaim(_)
        | Step::FindNamed(_)
        | Step::DeleteDuplicate { .. }
        | Step::VerifyMissing(_)
        | Step::Inspect(_)
        | Step::Update { .. }
        | Step::WriteSecret(_)
        | Step::CheckSecret(_)
        | Step::BackUp(_)
        | Step::Restore(_)
        | Step::DeleteProject(_) => true,
        Step::AddClassFinalizer
        | Step::AddFinalizer
        | Step::RemoveFinalizer(_)
        | Step::Wait { .. }
        | Step::Claim { .. }
        | Step::AnnotateProject(_)
        | Step::Migrate(_)
        | Step::Suspended
        | Step::Stalled(_)
        | Step::UpToDate => false,
    }
}

/// What the conditions report while a step runs, for steps that can take several seconds.
pub fn progress(step: &Step) -> Option<Issue> {
    let (component, reason, message) = match step {
        Step::List { .. } => (
            Component::Project,
            Reason::Waiting,
            "listing the account's projects",
        ),
        Step::Update { .. } => (
            Component::Project,
            Reason::UpdatingProject,
            "updating the project's settings in Neon",
        ),
        Step::VerifyMissing(_) => (
            Component::Project,
            Reason::RecoveringProject,
            "the account's listing does not contain the project; looking it up by id",
        ),
        Step::Migrate(_) => (
            Component::Schema,
            Reason::Migrating,
            "opening the database to apply migrations",
        ),
        Step::DeleteProject(_) => (Component::Project, Reason::Deleting, "deleting the project"),
        _ => return None,
    };
    Some(Issue::new(component, reason, message))
}
