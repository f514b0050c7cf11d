//! The one way from a request to a workspace: the id in the path, checked against the memberships of whoever is signed in.

use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tokio::time::Instant;

use crate::domain::{Role, Workspace};
use crate::identity::{Session, User, sessions};
use crate::ids::WorkspaceId;
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

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

impl WorkspaceAccess {
    /// The same, looked up anew, for streams that outlast a request's look: `None` once the session was ended or the membership is gone.
    pub async fn refreshed(&self, app: &App) -> sqlx::Result<Option<Self>> {
        if !sessions::is_active(&app.database, self.session.id).await? {
            return Ok(None);
        }
        let found = store::for_member(&app.database, self.user.id, &self.workspace.id).await?;
        Ok(found.map(|(workspace, role)| Self {
            workspace,
            role,
            ..self.clone()
        }))
    }
}

/// Somebody's access while a stream of events goes to them, looked up anew now and then.
#[derive(Debug)]
pub(in crate::web) struct PeriodicAccessCheck {
    checked_at: Instant,
}

impl PeriodicAccessCheck {
    /// So often at most: whoever was taken out, or signed out elsewhere, hears no more after this.
    const CHECK_INTERVAL: Duration = Duration::from_secs(10);

    /// From the look with which the request began.
    pub(in crate::web) fn new() -> Self {
        Self {
            checked_at: Instant::now(),
        }
    }

    /// Whether it still holds. Where that cannot be found out, it does not.
    pub(in crate::web) async fn still_allowed(&mut self, app: &App, access: &WorkspaceAccess) -> bool {
        if self.checked_at.elapsed() < Self::CHECK_INTERVAL {
            return true;
        }
        self.checked_at = Instant::now();
        matches!(access.refreshed(app).await, Ok(Some(_)))
    }
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
