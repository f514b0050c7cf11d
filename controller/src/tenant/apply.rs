//! Doing one step. This folder and [`crate::accounts`] are the only places that call Neon.
//!
//! Each step leaves what it learned in the pass's hands, so that the next plan sees it without asking again. A step that
//! fails changed nothing that the next pass would not find.

mod connection_string;
mod create;
mod credentials;
mod finalizers;
mod migration;
mod project;

use crds::Reason;

use crate::error::ReconcileError;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::Step;
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::Component;

/// Does the step. Steps that end a pass (`Wait`, `Hold`, `Stall`, `Rest`) do nothing here.
pub async fn apply(rec: &mut Reconciliation<'_>, observed: &ObservedState, step: &Step) -> Result<(), ReconcileError> {
    match step {
        Step::AddClassFinalizer => finalizers::add_class_finalizer(rec).await,
        Step::AddFinalizer => finalizers::add_finalizer(rec).await,
        Step::RemoveFinalizer(reason) => finalizers::remove_finalizer(rec, *reason).await,
        Step::List { since } => {
            let account = rec.account()?;
            account
                .list_since(*since, account.client())
                .await
                .map_err(|error| {
                    ReconcileError::neon(Component::Project, "listing the account's projects", &error)
                })
        }
        Step::Create { attempt } => create::create(rec, observed, *attempt).await,
        Step::RecoverCreated(project) => create::recover_created(rec, project).await,
        Step::Adopt(project) => create::adopt(rec, project).await,
        Step::DeleteDuplicate(project) => project::delete_duplicate(rec, project).await,
        Step::VerifyMissing(project) => project::verify_missing(rec, project).await,
        Step::Inspect(project) => project::inspect(rec, observed, project).await,
        Step::Update { project, compute } => {
            project::update(rec, observed, project, compute.as_ref()).await
        }
        Step::WriteSecret(project) => credentials::write_secret(rec, observed, project).await,
        Step::Migrate(project) => migration::migrate(rec, observed, project).await,
        Step::DeleteProject(project) => finalizers::delete_project(rec, project).await,
        Step::Wait { .. } | Step::Suspended | Step::Stalled(_) | Step::UpToDate => Ok(()),
    }
}

/// The word of a step in metrics and traces.
pub fn name(step: &Step) -> &'static str {
    match step {
        Step::AddClassFinalizer => "guard_class",
        Step::AddFinalizer => "add_finalizer",
        Step::RemoveFinalizer(_) => "let_go",
        Step::List { .. } => "list",
        Step::Wait { .. } => "wait",
        Step::Create { .. } => "create",
        Step::RecoverCreated(_) => "take_up",
        Step::Adopt(_) => "adopt",
        Step::DeleteDuplicate(_) => "remove_twin",
        Step::VerifyMissing(_) => "confirm_gone",
        Step::Inspect(_) => "inspect",
        Step::Update { .. } => "update",
        Step::WriteSecret(_) => "write_secret",
        Step::Migrate(_) => "migrate",
        Step::DeleteProject(_) => "delete_project",
        Step::Suspended => "hold",
        Step::Stalled(_) => "stall",
        Step::UpToDate => "rest",
    }
}

/// What the conditions say while a step runs that takes long enough for people to ask.
pub fn progress(step: &Step) -> Option<(Component, Reason, &'static str)> {
    match step {
        Step::Update { .. } => Some((
            Component::Project,
            Reason::UpdatingProject,
            "settings are being changed in Neon",
        )),
        Step::VerifyMissing(_) => Some((
            Component::Project,
            Reason::RecoveringProject,
            "the listings lack the project; it is being looked for",
        )),
        Step::Migrate(_) => Some((
            Component::Schema,
            Reason::Migrating,
            "the schema is being brought up to date",
        )),
        Step::DeleteProject(_) => Some((
            Component::Project,
            Reason::Deleting,
            "the project is being deleted",
        )),
        _ => None,
    }
}
