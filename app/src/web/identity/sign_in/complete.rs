//! Somebody has shown who they are: their rows, their first workspace, a session of their own.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::Config;
use crate::domain::WorkspaceName;
use crate::identity::return_to::ReturnTo;
use crate::identity::users::Claims;
use crate::identity::{User, sessions, users};
use crate::ids::WorkspaceId;
use crate::web::shared::{App, Problem, cookies};
use crate::workspaces::create::{CreateError, NewWorkspace, WorkspaceLimits, create_in};
use crate::workspaces::reconcile::ensure_tenant;

/// Signs them in, in one transaction with everything that a first time brings, and sends them on. The session that the browser had before
/// ends: nobody who knew its token learns the new one.
pub(super) async fn complete_sign_in(
    app: &App,
    headers: &HeaderMap,
    claims: &Claims,
    return_to: &ReturnTo,
) -> Result<Response, Problem> {
    let public_url = &app.config.http.public_url;
    let mut transaction = app.database.begin().await?;
    let arrival = users::upsert_user(&mut transaction, claims).await?;
    if arrival.is_being_deleted {
        return Err(leaving());
    }
    let workspace = if arrival.is_new {
        personal_workspace(&mut transaction, &app.config, &arrival.user).await?
    } else {
        None
    };
    if let Some(old) = cookies::read(headers, cookies::CookieKind::Session, public_url) {
        sessions::delete(&mut *transaction, &old).await?;
    }
    let browser = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let token = sessions::create(
        &mut *transaction,
        arrival.user.id,
        browser,
        app.config.sessions,
    )
    .await?;
    transaction.commit().await?;
    info!(user.id = %arrival.user.id, user.is_new = arrival.is_new, "Somebody signed in");
    if let Some(workspace) = workspace {
        apply_soon(app, workspace);
    }
    let cookie = cookies::set(cookies::CookieKind::Session, &token, public_url);
    Ok(([cookie], Redirect::to(return_to.as_str())).into_response())
}

/// The rows of their first workspace; `None` where none may be made.
async fn personal_workspace(
    transaction: &mut sqlx::PgConnection,
    config: &Config,
    user: &User,
) -> Result<Option<WorkspaceId>, Problem> {
    let wish = NewWorkspace {
        request_id: Uuid::new_v4(),
        name: WorkspaceName::personal(&user.display_name),
        class_name: None,
        region: None,
        is_personal: true,
    };
    match create_in(transaction, &WorkspaceLimits::from(config), user.id, &wish).await {
        Ok(workspace) => Ok(Some(workspace.id)),
        Err(CreateError::Database(error)) => Err(error.into()),
        Err(CreateError::AccountDeleted) => Err(leaving()),
        Err(error @ (CreateError::InvalidChoice | CreateError::TooManyWorkspaces { .. })) => {
            warn!(error = %error, "Nobody gets a first workspace with these settings");
            Ok(None)
        }
    }
}

/// Has the Tenant applied while the browser is on its way to the page that shows it come up. If that fails, or this process dies before, it
/// is done again by whoever looks for unfinished workspaces.
fn apply_soon(app: &App, workspace: WorkspaceId) {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = ensure_tenant(&app.database, &app.tenants, &workspace).await {
            warn!(workspace.id = %workspace, error = %service_kit::error_chain(&error), "The workspace has no Tenant yet");
        }
    });
}

fn leaving() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "account_leaving",
        "This account is being removed",
        "You asked for it to be removed, and that is under way. Once it is done, you can sign in and begin anew.",
    )
}
