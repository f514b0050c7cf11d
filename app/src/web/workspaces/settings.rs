//! New workspaces, where a workspace begins, and its settings.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::Markup;
use serde::Deserialize;
use tracing::warn;
use uuid::Uuid;

use super::pages;
use super::pages::new_workspace::NewWorkspacePage;
use super::pages::settings::SettingsPage;
use crate::config;
use crate::domain::RateLimitClass;
use crate::domain::WorkspaceName;
use crate::identity::Session;
use crate::tenants::TenantName;
use crate::web::shared::extract::{Form, OwnerAccess, WorkspaceAccess};
use crate::web::shared::pages::{Choice as FormChoice, PageContext, Notice, format};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::create::{self, CreateError, NewWorkspace, WorkspaceLimits};
use crate::workspaces::{reconcile, store};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/workspaces/new", Access::SignedIn, new),
        Route::post("/workspaces", Access::SignedIn, make)
            .rate_limit_class(RateLimitClass::Expensive),
        Route::get("/w/{workspace}", Access::Member, begin),
        Route::get("/w/{workspace}/settings", Access::Member, settings),
        Route::post("/w/{workspace}/settings/name", Access::Owner, rename),
    ]
}

async fn new(State(app): State<App>, context: PageContext) -> Markup {
    let form = MakeForm {
        request_id: Uuid::new_v4(),
        name: String::new(),
        region: String::new(),
        class: String::new(),
    };
    pages::new_workspace::page(&context, &new_page(&app, &form, None))
}

#[derive(Deserialize)]
struct MakeForm {
    request_id: Uuid,
    name: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    class: String,
}

async fn make(
    State(app): State<App>,
    session: Session,
    context: PageContext,
    Form(form): Form<MakeForm>,
) -> Result<Response, Problem> {
    let name: WorkspaceName = match form.name.parse() {
        Ok(name) => name,
        Err(wrong) => {
            let view = new_page(&app, &form, Some(format::sentence(&wrong)));
            return Ok(pages::new_workspace::page(&context, &view).into_response());
        }
    };
    let chosen = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let wish = NewWorkspace {
        request_id: form.request_id,
        name,
        class_name: chosen(&form.class),
        region: chosen(&form.region),
        is_personal: false,
    };
    let offer = WorkspaceLimits::from(&*app.config);
    match create::create(&app.database, &offer, session.user.id, &wish).await {
        Ok(made) => {
            let applied = reconcile::ensure_tenant(&app.database, &app.tenants, &made.id).await;
            if let Err(error) = applied {
                // The rows are there: whoever looks for unfinished workspaces takes it up.
                warn!(
                    workspace.id = %made.id,
                    error = &error as &dyn std::error::Error,
                    "The workspace has no Tenant yet"
                );
            }
            Ok(Redirect::to(&format!("/w/{}", made.id)).into_response())
        }
        Err(CreateError::TooManyWorkspaces { limit }) => {
            let trouble = format!(
                "You own {limit} workspaces, and that is as many as one person may own. Remove one first, or leave one that has another owner."
            );
            let view = new_page(&app, &form, Some(trouble));
            Ok(pages::new_workspace::page(&context, &view).into_response())
        }
        Err(CreateError::InvalidChoice) => {
            let trouble = "That choice is not offered any more. Choose again.".to_owned();
            let view = new_page(&app, &form, Some(trouble));
            Ok(pages::new_workspace::page(&context, &view).into_response())
        }
        Err(CreateError::AccountDeleted) => Err(Problem::not_found()),
        Err(CreateError::Database(error)) => Err(error.into()),
    }
}

fn new_page(app: &App, form: &MakeForm, trouble: Option<String>) -> NewWorkspacePage {
    let tenants = &app.config.tenants;
    NewWorkspacePage {
        request_id: form.request_id.to_string(),
        name: form.name.clone(),
        regions: choices(&tenants.regions, &form.region),
        classes: choices(&tenants.classes, &form.class),
        trouble,
    }
}

fn choices(offered: &[config::Choice], chosen: &str) -> Vec<FormChoice> {
    let is_offered = offered.iter().any(|choice| choice.name == chosen);
    offered
        .iter()
        .enumerate()
        .map(|(at, choice)| FormChoice {
            value: choice.name.clone(),
            label: choice.display_name.clone(),
            note: None,
            chosen: if is_offered {
                choice.name == chosen
            } else {
                at == 0
            },
        })
        .collect()
}

/// Documents, or how far the database is.
async fn begin(State(app): State<App>, access: WorkspaceAccess) -> Result<Redirect, Problem> {
    let workspace = &access.workspace;
    store::touch_last_seen(&app.database, access.user.id, &workspace.id).await?;
    let is_available = app.tenants.available(workspace).is_ok();
    let page = if is_available {
        "documents"
    } else {
        "provisioning"
    };
    Ok(Redirect::to(&format!("/w/{}/{page}", workspace.id)))
}

async fn settings(State(app): State<App>, access: WorkspaceAccess, context: PageContext) -> Markup {
    pages::settings::page(&context, &settings_page(&app, &access))
}

/// What the settings page shows, with nothing gone wrong.
pub(super) fn settings_page(app: &App, access: &WorkspaceAccess) -> SettingsPage {
    let workspace = &access.workspace;
    let name = TenantName::of(&workspace.id);
    let view = app
        .tenants
        .view(&name)
        .filter(|view| view.belongs_to(&workspace.id, workspace.tenant_uid.as_deref()));
    let region = view
        .as_ref()
        .and_then(|view| view.project.as_deref())
        .map(|project| project.region.to_string());
    SettingsPage {
        workspace: workspace.id.clone(),
        name: workspace.name.clone(),
        created_at: workspace.created_at,
        region: region.or_else(|| workspace.region.clone()),
        class_name: workspace.class_name.clone(),
        tenant: name.to_string(),
        schema: view.as_ref().and_then(|view| view.schema_version),
        ready_ms: view
            .as_ref()
            .and_then(|view| view.timings.ready_ms)
            .map(i64::unsigned_abs),
        embedding_model: workspace.embedding_model.clone(),
        owner: access.role.is_owner(),
        name_trouble: None,
        remove_trouble: None,
    }
}

#[derive(Deserialize)]
struct NameForm {
    name: String,
}

async fn rename(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    context: PageContext,
    Form(form): Form<NameForm>,
) -> Result<Response, Problem> {
    let name: WorkspaceName = match form.name.parse() {
        Ok(name) => name,
        Err(wrong) => {
            let view = SettingsPage {
                name_trouble: Some(format::sentence(&wrong)),
                ..settings_page(&app, &access)
            };
            return Ok(pages::settings::page(&context, &view).into_response());
        }
    };
    if !store::rename(&app.database, &access.workspace.id, &name).await? {
        return Err(Problem::not_found());
    }
    let back = format!(
        "/w/{}/settings?{}={}",
        access.workspace.id,
        Notice::PARAMETER,
        Notice::Renamed.key()
    );
    Ok(Redirect::to(&back).into_response())
}
