//! Access to the workspace in the path, checked against the memberships of the signed-in user.
//! There is no other way from a request to a workspace.

use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::domain::{Role, Workspace};
use crate::identity::{Session, User, sessions};
use crate::ids::WorkspaceId;
use crate::web::shared::pages::FormContext;
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

/// The name of the path parameter.
pub(crate) const PARAMETER: &str = "workspace";

/// A member's access to a workspace. The extractor rejects requests without a session, and with 404
/// requests for workspaces that do not exist or of which the user is not a member.
#[derive(Clone, Debug)]
pub struct WorkspaceAccess {
    pub user: User,
    pub workspace: Workspace,
    pub role: Role,
    pub session: Session,
}

impl WorkspaceAccess {
    pub(in crate::web) fn form_context(&self, now: Timestamp) -> FormContext<'_> {
        FormContext {
            workspace: &self.workspace.id,
            csrf: self.session.csrf.as_str(),
            now,
        }
    }

    /// Checks session and membership again, for long-lived streams. `None` if either has ended.
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

/// Checks access repeatedly during an event stream.
#[derive(Debug)]
pub(in crate::web) struct PeriodicAccessCheck {
    checked_at: Instant,
}

impl PeriodicAccessCheck {
    /// Lower bound between two checks. A removed member receives events for at most this long.
    const CHECK_INTERVAL: Duration = Duration::from_secs(10);

    /// Starts with the check that the extractor made.
    pub(in crate::web) fn new() -> Self {
        Self {
            checked_at: Instant::now(),
        }
    }

    /// Whether the next call of [`Self::still_allowed`] checks access.
    pub(in crate::web) fn is_due(&self) -> bool {
        self.checked_at.elapsed() >= Self::CHECK_INTERVAL
    }

    /// Whether access is still allowed. A failed lookup counts as no.
    pub(in crate::web) async fn still_allowed(
        &mut self,
        app: &App,
        access: &WorkspaceAccess,
    ) -> bool {
        if !self.is_due() {
            return true;
        }
        self.checked_at = Instant::now();
        matches!(access.refreshed(app).await, Ok(Some(_)))
    }
}

/// An owner's access to a workspace.
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
