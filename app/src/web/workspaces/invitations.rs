//! The page of an invitation link, and accepting it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::pages;
use super::pages::invitation::{InvitationPage, InvitationState};
use crate::identity::{Session, Token};
use crate::ids::WorkspaceId;
use crate::web::shared::extract::Path;
use crate::web::shared::pages::{Notice, PageContext, RoleView};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::invitations::{self, InvitationError};
use crate::workspaces::members::MemberError;
use crate::workspaces::store;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/invitations/{token}", Access::Public, show),
        Route::post("/invitations/{token}", Access::SignedIn, accept),
    ]
}

#[derive(Deserialize)]
struct InvitationPath {
    token: String,
}

async fn show(
    State(app): State<App>,
    session: Option<Session>,
    context: PageContext,
    Path(path): Path<InvitationPath>,
) -> Result<Response, Problem> {
    let state = match path.token.parse::<Token>() {
        Ok(token) => state(&app, session.as_ref(), &token).await?,
        Err(_) => InvitationState::Closed,
    };
    Ok(answer(&context, path.token, state))
}

async fn state(
    app: &App,
    session: Option<&Session>,
    token: &Token,
) -> Result<InvitationState, Problem> {
    let preview = match invitations::preview(&app.database, token).await {
        Ok(preview) => preview,
        Err(InvitationError::Members(MemberError::Database(error))) => return Err(error.into()),
        Err(_) => return closed(app, session, token).await,
    };
    if let Some(session) = session
        && let Some(member) = member_of(app, session, &preview.workspace.id, false).await?
    {
        return Ok(member);
    }
    Ok(InvitationState::Open {
        workspace: preview.workspace.name,
        invited_by: preview.created_by,
        role: RoleView::from(preview.role),
        expires_at: preview.expires_at,
    })
}

/// For the user who accepted the invitation, the link still leads to the workspace.
async fn closed(
    app: &App,
    session: Option<&Session>,
    token: &Token,
) -> Result<InvitationState, Problem> {
    let Some(session) = session else {
        return Ok(InvitationState::Closed);
    };
    let workspace = invitations::accepted_by(&app.database, token, session.user.id).await?;
    let member = match workspace {
        Some(workspace) => member_of(app, session, &workspace, true).await?,
        None => None,
    };
    Ok(member.unwrap_or(InvitationState::Closed))
}

async fn member_of(
    app: &App,
    session: &Session,
    workspace: &WorkspaceId,
    is_used: bool,
) -> Result<Option<InvitationState>, Problem> {
    let found = store::for_member(&app.database, session.user.id, workspace).await?;
    Ok(found.map(|(workspace, _)| InvitationState::AlreadyMember {
        workspace: workspace.id,
        name: workspace.name,
        is_used,
    }))
}

fn answer(context: &PageContext, token: String, state: InvitationState) -> Response {
    let status = if state == InvitationState::Closed {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    let page = pages::invitation::page(context, &InvitationPage { token, state });
    (status, page).into_response()
}

async fn accept(
    State(app): State<App>,
    session: Session,
    context: PageContext,
    Path(path): Path<InvitationPath>,
) -> Result<Response, Problem> {
    let Ok(token) = path.token.parse::<Token>() else {
        return Ok(answer(&context, path.token, InvitationState::Closed));
    };
    let quota = &app.config.quota;
    let accepted = invitations::accept(&app.database, &token, session.user.id, quota).await;
    match accepted {
        Ok(workspace) => {
            let target = Notice::Joined.on(&format!("/w/{workspace}/documents"));
            Ok(Redirect::to(&target).into_response())
        }
        Err(InvitationError::Invalid) => Ok(answer(&context, path.token, InvitationState::Closed)),
        // Returned only when an invitation is created.
        Err(error @ InvitationError::TooManyOpen) => Err(Problem::internal_error(&error)),
        // The invitation stays valid.
        Err(InvitationError::Members(MemberError::TooManyWorkspaces { limit })) => {
            Err(Problem::new(
                StatusCode::CONFLICT,
                "too_many_workspaces",
                "You already own the maximum number of workspaces",
                format!(
                    "You can own at most {limit} workspaces. Delete one and open this link again, or ask for \
                 an invitation as a member."
                ),
            ))
        }
        Err(InvitationError::Members(error)) => {
            Err(crate::web::workspaces::members::problem(error))
        }
    }
}
