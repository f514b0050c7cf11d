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

use crate::error::Failure;
use crate::tenant::observed::Facts;
use crate::tenant::plan::Step;
use crate::tenant::reconciliation::Pass;
use crate::tenant::status::Area;

/// Does the step. Steps that end a pass (`Wait`, `Hold`, `Stall`, `Rest`) do nothing here.
pub async fn apply(pass: &mut Pass<'_>, facts: &Facts, step: &Step) -> Result<(), Failure> {
    match step {
        Step::GuardClass => finalizers::guard_class(pass).await,
        Step::AddFinalizer => finalizers::add_finalizer(pass).await,
        Step::LetGo(farewell) => finalizers::let_go(pass, *farewell).await,
        Step::List { since } => {
            let account = pass.account()?;
            account
                .list_since(*since, account.neon())
                .await
                .map_err(|error| {
                    Failure::neon(Area::Project, "listing the account's projects", &error)
                })
        }
        Step::Create { attempt } => create::create(pass, facts, *attempt).await,
        Step::TakeUp(project) => create::take_up(pass, project).await,
        Step::Adopt(project) => create::adopt(pass, project).await,
        Step::RemoveTwin(project) => project::remove_twin(pass, project).await,
        Step::ConfirmGone(project) => project::confirm_gone(pass, project).await,
        Step::Inspect(project) => project::inspect(pass, facts, project).await,
        Step::Update { project, compute } => {
            project::update(pass, facts, project, compute.as_ref()).await
        }
        Step::WriteSecret(project) => credentials::write_secret(pass, facts, project).await,
        Step::Migrate(project) => migration::migrate(pass, facts, project).await,
        Step::DeleteProject(project) => finalizers::delete_project(pass, project).await,
        Step::Wait { .. } | Step::Hold | Step::Stall(_) | Step::Rest => Ok(()),
    }
}

/// The word of a step in metrics and traces.
pub fn name(step: &Step) -> &'static str {
    match step {
        Step::GuardClass => "guard_class",
        Step::AddFinalizer => "add_finalizer",
        Step::LetGo(_) => "let_go",
        Step::List { .. } => "list",
        Step::Wait { .. } => "wait",
        Step::Create { .. } => "create",
        Step::TakeUp(_) => "take_up",
        Step::Adopt(_) => "adopt",
        Step::RemoveTwin(_) => "remove_twin",
        Step::ConfirmGone(_) => "confirm_gone",
        Step::Inspect(_) => "inspect",
        Step::Update { .. } => "update",
        Step::WriteSecret(_) => "write_secret",
        Step::Migrate(_) => "migrate",
        Step::DeleteProject(_) => "delete_project",
        Step::Hold => "hold",
        Step::Stall(_) => "stall",
        Step::Rest => "rest",
    }
}

/// What the conditions say while a step runs that takes long enough for people to ask.
pub fn progress(step: &Step) -> Option<(Area, Reason, &'static str)> {
    match step {
        Step::Update { .. } => Some((
            Area::Project,
            Reason::UpdatingProject,
            "settings are being changed in Neon",
        )),
        Step::ConfirmGone(_) => Some((
            Area::Project,
            Reason::RecoveringProject,
            "the listings lack the project; it is being looked for",
        )),
        Step::Migrate(_) => Some((
            Area::Schema,
            Reason::Migrating,
            "the schema is being brought up to date",
        )),
        Step::DeleteProject(_) => Some((
            Area::Project,
            Reason::Deleting,
            "the project is being deleted",
        )),
        _ => None,
    }
}
