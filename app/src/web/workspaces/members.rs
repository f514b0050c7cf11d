//! The members of a workspace, and invitation links.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::Markup;
use serde::Deserialize;
use uuid::Uuid;

use super::pages;
use super::pages::members::{InvitationView, MemberView, MembersPage, NewInvitation};
use crate::domain::Role;
use crate::identity::Token;
use crate::ids::{InvitationId, UserId};
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::extract::{Form, OwnerAccess, Path, Query, WorkspaceAccess};
use crate::web::shared::pages::{Notice, PageContext, RoleView};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::invitations::{self, InvitationError, MAX_OPEN_INVITATIONS};
use crate::workspaces::members::{self, MemberError};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/w/{workspace}/members", Access::Member, show),
        Route::post("/w/{workspace}/members/invitations", Access::Owner, invite),
        Route::post(
            "/w/{workspace}/members/invitations/{invitation}/revoke",
            Access::Owner,
            revoke,
        ),
        Route::post(
            "/w/{workspace}/members/{user}/role",
            Access::Owner,
            change_role,
        ),
        Route::post(
            "/w/{workspace}/members/{user}/remove",
            Access::Owner,
            remove,
        ),
        Route::post("/w/{workspace}/members/leave", Access::Member, leave),
    ]
}

#[derive(Deserialize)]
struct MembersParams {
    /// The key of the form that created the invitation to show.
    invitation: Option<Uuid>,
}

async fn show(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Query(params): Query<MembersParams>,
) -> Result<Markup, Problem> {
    let token = params
        .invitation
        .filter(|_| access.role.is_owner())
        .and_then(|request| invitation_token(&app, &headers, request));
    let new_invitation = match token {
        Some(token) => new_invitation(&app, &access, &token).await?,
        None => None,
    };
    let view = MembersPage {
        new_invitation,
        ..view(&app, &access).await?
    };
    Ok(pages::members::page(&context, &view))
}

fn invitation_token(app: &App, headers: &HeaderMap, request: Uuid) -> Option<Token> {
    let session = cookies::read(headers, CookieKind::Session, &app.config.http.public_url)?;
    Some(session.invitation(request))
}

async fn new_invitation(
    app: &App,
    access: &WorkspaceAccess,
    token: &Token,
) -> Result<Option<NewInvitation>, Problem> {
    let found = invitations::find_open(&app.database, &access.workspace.id, token).await?;
    Ok(found.map(|invitation| NewInvitation {
        url: app
            .config
            .http
            .public_url
            .at(&format!("/invitations/{}", token.reveal())),
        role: RoleView::from(invitation.role),
        expires_at: invitation.expires_at,
    }))
}

async fn view(app: &App, access: &WorkspaceAccess) -> Result<MembersPage, Problem> {
    let workspace = &access.workspace.id;
    let owner = access.role.is_owner();
    let invitations = if owner {
        invitations::list_open(&app.database, workspace).await?
    } else {
        Vec::new()
    };
    Ok(MembersPage {
        workspace: workspace.clone(),
        members: members::list(&app.database, workspace)
            .await?
            .into_iter()
            .map(|member| MemberView {
                id: member.user,
                name: member.display_name,
                email: member.email,
                email_verified: member.email_verified,
                role: RoleView::from(member.role),
                joined_at: member.joined_at,
                you: member.user == access.user.id,
            })
            .collect(),
        invitations: invitations
            .into_iter()
            .map(|invitation| InvitationView {
                id: invitation.id,
                role: RoleView::from(invitation.role),
                created_by: invitation.created_by,
                created_at: invitation.created_at,
                expires_at: invitation.expires_at,
            })
            .collect(),
        request_id: Uuid::new_v4().to_string(),
        new_invitation: None,
        owner,
        error: None,
    })
}

#[derive(Deserialize)]
struct RoleForm {
    role: String,
}

impl RoleForm {
    fn role(&self) -> Result<Role, Problem> {
        self.role.parse().map_err(|_| Problem::malformed_request())
    }
}

#[derive(Deserialize)]
struct InviteForm {
    /// Missing in a page of an earlier version.
    #[serde(default = "Uuid::new_v4")]
    request_id: Uuid,
    #[serde(flatten)]
    role: RoleForm,
}

/// Redirects to the page with the link, so that reloading it creates no second invitation.
async fn invite(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    context: PageContext,
    headers: HeaderMap,
    Form(form): Form<InviteForm>,
) -> Result<Response, Problem> {
    let role = form.role.role()?;
    let (workspace, request) = (&access.workspace.id, form.request_id);
    let token = invitation_token(&app, &headers, request).ok_or_else(Problem::not_found)?;
    match invitations::create(&app.database, workspace, access.user.id, role, &token).await {
        Ok(_) => {
            let target = format!("/w/{workspace}/members?invitation={request}");
            Ok(Redirect::to(&target).into_response())
        }
        Err(InvitationError::TooManyOpen) => {
            let view = MembersPage {
                error: Some(format!(
                    "This workspace already has {MAX_OPEN_INVITATIONS} open invitations. Revoke one to \
                     create another."
                )),
                ..view(&app, &access).await?
            };
            Ok(pages::members::page(&context, &view).into_response())
        }
        Err(InvitationError::Invalid) => Err(Problem::not_found()),
        Err(InvitationError::Members(error)) => Err(problem(error)),
    }
}

#[derive(Deserialize)]
struct RevokePath {
    invitation: InvitationId,
}

async fn revoke(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    Path(path): Path<RevokePath>,
) -> Result<Redirect, Problem> {
    if invitations::revoke(&app.database, &access.workspace.id, path.invitation).await? {
        Ok(redirect_to_members(&access, Notice::InvitationRevoked))
    } else {
        Err(Problem::not_found())
    }
}

#[derive(Deserialize)]
struct MemberPath {
    user: UserId,
}

async fn change_role(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    Path(path): Path<MemberPath>,
    Form(form): Form<RoleForm>,
) -> Result<Redirect, Problem> {
    let role = form.role()?;
    let quota = &app.config.quota;
    members::change_role(&app.database, &access.workspace.id, path.user, role, quota)
        .await
        .map_err(problem)?;
    Ok(redirect_to_members(&access, Notice::RoleChanged))
}

async fn remove(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    Path(path): Path<MemberPath>,
) -> Result<Redirect, Problem> {
    members::remove(&app.database, &access.workspace.id, path.user)
        .await
        .map_err(problem)?;
    Ok(redirect_to_members(&access, Notice::MemberRemoved))
}

async fn leave(State(app): State<App>, access: WorkspaceAccess) -> Result<Redirect, Problem> {
    members::remove(&app.database, &access.workspace.id, access.user.id)
        .await
        .map_err(problem)?;
    let (parameter, key) = (Notice::PARAMETER, Notice::Left.key());
    Ok(Redirect::to(&format!("/account?{parameter}={key}")))
}

fn redirect_to_members(access: &WorkspaceAccess, notice: Notice) -> Redirect {
    Redirect::to(&format!(
        "/w/{}/members?{}={}",
        access.workspace.id,
        Notice::PARAMETER,
        notice.key()
    ))
}

pub(super) fn problem(error: MemberError) -> Problem {
    match error {
        MemberError::WorkspaceDeleted | MemberError::NotAMember => Problem::not_found(),
        MemberError::LastOwner => Problem::new(
            StatusCode::CONFLICT,
            "last_owner",
            "A workspace needs at least one owner",
            "Nothing was changed. Make another member an owner first, or delete the workspace.",
        ),
        MemberError::TooManyMembers { limit } => Problem::new(
            StatusCode::CONFLICT,
            "too_many_members",
            "This workspace has reached its limit of members",
            format!("It can have at most {limit} members. Ask an owner to remove one."),
        ),
        MemberError::TooManyWorkspaces { limit } => Problem::new(
            StatusCode::CONFLICT,
            "too_many_workspaces",
            "This member already owns the maximum number of workspaces",
            format!("Nothing was changed. A user can own at most {limit} workspaces."),
        ),
        MemberError::Database(error) => error.into(),
        error @ MemberError::Queue(_) => Problem::internal_error(&error),
    }
}
