//! Completes a sign-in: the user's rows, their first workspace, and a new session.

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
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::{App, Problem};
use crate::workspaces::create::{CreateError, NewWorkspace, WorkspaceLimits, create_in};
use crate::workspaces::reconcile::ensure_tenant;

/// Signs the user in and redirects to `return_to`. One transaction covers the session and, for new
/// users, the rows of their personal workspace. The session that the browser had before ends, which
/// prevents session fixation.
pub(super) async fn complete_sign_in(
    app: &App,
    headers: &HeaderMap,
    claims: &Claims,
    return_to: &ReturnTo,
) -> Result<Response, Problem> {
    let public_url = &app.config.http.public_url;
    let mut transaction = app.database.begin().await?;
    let signed_in = users::upsert_user(&mut transaction, claims).await?;
    if signed_in.is_being_deleted {
        return Err(account_being_deleted());
    }
    let workspace = if signed_in.is_new {
        personal_workspace(&mut transaction, &app.config, &signed_in.user).await?
    } else {
        None
    };
    if let Some(old) = cookies::read(headers, CookieKind::Session, public_url) {
        sessions::delete(&mut *transaction, &old).await?;
    }
    let browser = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let token = sessions::create(
        &mut *transaction,
        signed_in.user.id,
        browser,
        app.config.sign_in.session_lifetimes(),
    )
    .await?;
    transaction.commit().await?;
    info!(user.id = %signed_in.user.id, user.is_new = signed_in.is_new, "user signed in");
    if let Some(workspace) = workspace {
        spawn_tenant_creation(app, workspace);
    }
    let cookie = cookies::set(CookieKind::Session, &token, public_url);
    Ok(([cookie], Redirect::to(return_to.as_str())).into_response())
}

/// Inserts the rows of the user's first workspace. `None` if the settings do not allow it.
async fn personal_workspace(
    transaction: &mut sqlx::PgConnection,
    config: &Config,
    user: &User,
) -> Result<Option<WorkspaceId>, Problem> {
    let new_workspace = NewWorkspace {
        request_id: Uuid::new_v4(),
        name: WorkspaceName::personal(&user.display_name),
        class_name: None,
        region: None,
        is_personal: true,
    };
    match create_in(
        transaction,
        &WorkspaceLimits::from(config),
        user.id,
        &new_workspace,
    )
    .await
    {
        Ok(workspace) => Ok(Some(workspace.id)),
        Err(CreateError::Database(error)) => Err(error.into()),
        Err(CreateError::AccountDeleted) => Err(account_being_deleted()),
        Err(error @ (CreateError::InvalidChoice | CreateError::TooManyWorkspaces { .. })) => {
            warn!(%error, "the settings do not allow a personal workspace");
            Ok(None)
        }
    }
}

/// Applies the Tenant while the browser follows the redirect. If this fails, or the process stops,
/// the next reconciliation of workspaces applies it.
fn spawn_tenant_creation(app: &App, workspace: WorkspaceId) {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = ensure_tenant(&app.database, &app.tenants, &workspace).await {
            warn!(workspace.id = %workspace, error = %service_kit::error_chain(&error), "failed to apply the tenant; the next reconciliation will retry");
        }
    });
}

fn account_being_deleted() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "account_being_deleted",
        "This account is being deleted",
        "You requested its deletion, which is still in progress. When it is complete, you can sign in again to create a new account.",
    )
}
