//! Completes a sign-in: the user's rows, their first workspace, and a new session.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::Config;
use crate::domain::WorkspaceName;
use crate::identity::return_to::ReturnTo;
use crate::identity::sign_up::{self, Admission, SignUpError};
use crate::identity::users::Claims;
use crate::identity::{Token, User, sessions, users};
use crate::ids::{UserId, WorkspaceId};
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::pages::Notice;
use crate::web::shared::{App, Problem};
use crate::workspaces::create::{CreateError, NewWorkspace, WorkspaceLimits, create_in};
use crate::workspaces::invitations::{self, InvitationError};
use crate::workspaces::members::MemberError;
use crate::workspaces::reconcile::ensure_tenant;

/// Why a sign-in was not completed. Nothing was written.
#[derive(Debug)]
pub(super) enum SignInError {
    /// The settings do not allow it.
    Refused(SignUpError),
    Problem(Problem),
}

impl From<SignUpError> for SignInError {
    fn from(error: SignUpError) -> Self {
        Self::Refused(error)
    }
}

impl From<Problem> for SignInError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<sqlx::Error> for SignInError {
    fn from(error: sqlx::Error) -> Self {
        Self::Problem(error.into())
    }
}

/// Signs the user in and redirects to `return_to`. One transaction covers the session and, for new
/// users, the rows of their personal workspace or the acceptance of their invitation. The session
/// that the browser had before ends, which prevents session fixation.
pub(super) async fn complete_sign_in(
    app: &App,
    headers: &HeaderMap,
    claims: &Claims,
    return_to: &ReturnTo,
) -> Result<Response, SignInError> {
    let public_url = &app.config.http.public_url;
    sign_up::check_email(
        &app.config.sign_in,
        claims.email.as_deref(),
        claims.email_verified,
    )?;
    let mut transaction = app.database.begin().await?;
    let signed_in = users::upsert_user(&mut transaction, claims).await?;
    if signed_in.is_being_deleted {
        return Err(account_being_deleted().into());
    }
    let mut target = return_to.as_str().to_owned();
    let workspace = if signed_in.is_new {
        match sign_up::admit(&app.config.sign_in, claims, return_to.invitation())? {
            Admission::Unconditional => {
                personal_workspace(&mut transaction, &app.config, &signed_in.user).await?
            }
            Admission::Invitation(token) => {
                let joined = join(&mut transaction, &app.config, signed_in.user.id, &token).await?;
                target = Notice::Joined.on(&format!("/w/{joined}/documents"));
                None
            }
        }
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
    Ok(([cookie], Redirect::to(&target)).into_response())
}

/// Inserts the rows of the user's first workspace. `None` if the settings do not allow it.
async fn personal_workspace(
    transaction: &mut sqlx::PgConnection,
    config: &Config,
    user: &User,
) -> Result<Option<WorkspaceId>, SignInError> {
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
        Err(CreateError::AccountDeleted) => Err(account_being_deleted().into()),
        Err(error @ CreateError::NoWorkspaceLeft { .. }) => {
            warn!(%error, "sign-up refused");
            Err(SignUpError::NoWorkspaceLeft.into())
        }
        Err(error @ (CreateError::InvalidChoice | CreateError::TooManyWorkspaces { .. })) => {
            warn!(%error, "the settings do not allow a personal workspace");
            Ok(None)
        }
    }
}

/// Adds the new user to the workspace of the invitation that allows the sign-up.
async fn join(
    transaction: &mut sqlx::PgConnection,
    config: &Config,
    user: UserId,
    token: &Token,
) -> Result<WorkspaceId, SignInError> {
    match invitations::accept_in(transaction, token, user, &config.quota).await {
        Ok(workspace) => Ok(workspace),
        Err(InvitationError::Members(MemberError::Database(error))) => Err(error.into()),
        Err(InvitationError::Members(MemberError::TooManyMembers { .. })) => {
            Err(SignUpError::WorkspaceFull.into())
        }
        Err(
            InvitationError::Invalid | InvitationError::TooManyOpen | InvitationError::Members(_),
        ) => Err(SignUpError::InvalidInvitation.into()),
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
