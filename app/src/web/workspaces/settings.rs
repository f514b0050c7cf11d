//! Creating workspaces, the entry point of a workspace, and its settings.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::Markup;
use serde::Deserialize;
use service_kit::error_chain;
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
use crate::web::shared::pages::{Notice, PageContext, SelectOption, format};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::create::{self, CreateError, NewWorkspace, WorkspaceLimits};
use crate::workspaces::{reconcile, store};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/workspaces/new", Access::SignedIn, show_new),
        Route::post("/workspaces", Access::SignedIn, create)
            .rate_limit_class(RateLimitClass::Expensive),
        Route::get("/w/{workspace}", Access::Member, open),
        Route::get("/w/{workspace}/settings", Access::Member, settings),
        Route::post("/w/{workspace}/settings/name", Access::Owner, rename),
    ]
}

async fn show_new(State(app): State<App>, context: PageContext) -> Markup {
    let form = NewWorkspaceForm {
        request_id: Uuid::new_v4(),
        name: String::new(),
        region: String::new(),
        class: String::new(),
    };
    pages::new_workspace::page(&context, &new_workspace_view(&app, &form, None))
}

#[derive(Deserialize)]
struct NewWorkspaceForm {
    request_id: Uuid,
    name: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    class: String,
}

async fn create(
    State(app): State<App>,
    session: Session,
    context: PageContext,
    Form(form): Form<NewWorkspaceForm>,
) -> Result<Response, Problem> {
    let name: WorkspaceName = match form.name.parse() {
        Ok(name) => name,
        Err(error) => {
            let view = new_workspace_view(&app, &form, Some(format::format_error(&error)));
            return Ok(pages::new_workspace::page(&context, &view).into_response());
        }
    };
    let non_empty = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let new_workspace = NewWorkspace {
        request_id: form.request_id,
        name,
        class_name: non_empty(&form.class),
        region: non_empty(&form.region),
        is_personal: false,
    };
    let limits = WorkspaceLimits::from(&*app.config);
    match create::create(&app.database, &limits, session.user.id, &new_workspace).await {
        Ok(workspace) => {
            let applied =
                reconcile::ensure_tenant(&app.database, &app.tenants, &workspace.id).await;
            if let Err(error) = applied {
                // The rows exist, so the next reconciliation of workspaces applies the Tenant.
                warn!(
                    workspace.id = %workspace.id,
                    error = %error_chain(&error),
                    "failed to apply the tenant; the next reconciliation will retry"
                );
            }
            Ok(Redirect::to(&format!("/w/{}", workspace.id)).into_response())
        }
        Err(CreateError::TooManyWorkspaces { limit }) => {
            let error = format!(
                "You already own {limit} workspaces, which is the maximum. Delete one first, or leave one that has another owner."
            );
            let view = new_workspace_view(&app, &form, Some(error));
            Ok(pages::new_workspace::page(&context, &view).into_response())
        }
        Err(error @ CreateError::NoWorkspaceLeft { .. }) => {
            warn!(%error, "workspace not created");
            let error = "This site has reached its maximum number of workspaces, so no workspace was created. Try again later, or ask your administrator to raise the limit.".to_owned();
            let view = new_workspace_view(&app, &form, Some(error));
            Ok(pages::new_workspace::page(&context, &view).into_response())
        }
        Err(CreateError::InvalidChoice) => {
            let error = "This option is no longer available. Choose another one.".to_owned();
            let view = new_workspace_view(&app, &form, Some(error));
            Ok(pages::new_workspace::page(&context, &view).into_response())
        }
        Err(CreateError::AccountDeleted) => Err(Problem::not_found()),
        Err(CreateError::Database(error)) => Err(error.into()),
    }
}

fn new_workspace_view(
    app: &App,
    form: &NewWorkspaceForm,
    error: Option<String>,
) -> NewWorkspacePage {
    let tenants = &app.config.tenants;
    NewWorkspacePage {
        request_id: form.request_id.to_string(),
        name: form.name.clone(),
        regions: choices(&tenants.regions.0, &form.region),
        classes: choices(&tenants.classes.0, &form.class),
        error,
    }
}

fn choices(options: &[config::ClassOption], selected: &str) -> Vec<SelectOption> {
    let is_known = options.iter().any(|choice| choice.name == selected);
    options
        .iter()
        .enumerate()
        .map(|(index, choice)| SelectOption {
            value: choice.name.clone(),
            label: choice.display_name.clone(),
            note: None,
            chosen: if is_known {
                choice.name == selected
            } else {
                index == 0
            },
        })
        .collect()
}

/// Redirects to the documents, or to the provisioning page while the database is not available.
async fn open(State(app): State<App>, access: WorkspaceAccess) -> Result<Redirect, Problem> {
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
    pages::settings::page(&context, &settings_view(&app, &access))
}

/// The settings page without errors.
pub(super) fn settings_view(app: &App, access: &WorkspaceAccess) -> SettingsPage {
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
        name_error: None,
        delete_error: None,
    }
}

#[derive(Deserialize)]
struct RenameWorkspaceForm {
    name: String,
}

async fn rename(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    context: PageContext,
    Form(form): Form<RenameWorkspaceForm>,
) -> Result<Response, Problem> {
    let name: WorkspaceName = match form.name.parse() {
        Ok(name) => name,
        Err(error) => {
            let view = SettingsPage {
                name_error: Some(format::format_error(&error)),
                ..settings_view(&app, &access)
            };
            return Ok(pages::settings::page(&context, &view).into_response());
        }
    };
    if !store::rename(&app.database, &access.workspace.id, &name).await? {
        return Err(Problem::not_found());
    }
    let target = format!(
        "/w/{}/settings?{}={}",
        access.workspace.id,
        Notice::PARAMETER,
        Notice::Renamed.key()
    );
    Ok(Redirect::to(&target).into_response())
}
