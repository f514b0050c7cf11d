//! The one way from a request to a workspace: the id in the path, checked against the memberships of whoever is signed in.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::super::{App, Problem};
use crate::identity::{Session, User};
use crate::ids::WorkspaceId;
use crate::workspaces::{Role, Workspace, store};

/// The name that the workspace has in the paths of routes.
pub(crate) const PARAMETER: &str = "workspace";

/// A member at one of their workspaces. Not signed in, or no member (or no such workspace), ends the request.
#[derive(Clone, Debug)]
pub struct WorkspaceAccess {
    /// Who asks.
    pub user: User,
    /// Where.
    pub workspace: Workspace,
    /// What they may do there.
    pub role: Role,
    /// Their session.
    pub session: Session,
}

/// An owner at one of their workspaces.
#[derive(Clone, Debug)]
pub struct OwnerAccess(pub WorkspaceAccess);

impl FromRequestParts<App> for WorkspaceAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(found) = parts.extensions.get::<Self>() {
            return Ok(found.clone());
        }
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        let id = workspace_id(parts, app).await?;
        let (workspace, role) = store::for_member(&app.database, session.user.id, &id)
            .await?
            .ok_or_else(Problem::not_found)?;
        let access = Self {
            user: session.user.clone(),
            workspace,
            role,
            session,
        };
        parts.extensions.insert(access.clone());
        Ok(access)
    }
}

impl FromRequestParts<App> for OwnerAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let access = WorkspaceAccess::from_request_parts(parts, app).await?;
        if access.role.is_owner() {
            Ok(Self(access))
        } else {
            Err(Problem::owners_only())
        }
    }
}

async fn workspace_id(parts: &mut Parts, app: &App) -> Result<WorkspaceId, Problem> {
    let parameters = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Problem::not_found())?;
    parameters
        .iter()
        .find(|(name, _)| *name == PARAMETER)
        .and_then(|(_, id)| id.parse().ok())
        .ok_or_else(Problem::not_found)
}
