//! Builds the [`PageContext`] of a request from its session and its workspace.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum_extra::extract::cookie::CookieJar;
use jiff::Timestamp;

use super::WorkspaceAccess;
use crate::domain::{Role, Workspace};
use crate::identity::{Session, sessions};
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::pages::{Notice, PageContext, PersonView, Theme, WorkspaceLink};
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

/// For signed-in users, the context lists their workspaces and the workspace in the path. For
/// others, it has no CSRF token: pages with a form for them take it from
/// [`super::AnonymousSession`].
impl FromRequestParts<App> for PageContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session =
            <Session as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        let viewer = Viewer {
            theme: theme(&parts.headers),
            session,
            access: parts.extensions.get::<WorkspaceAccess>().cloned(),
        };
        let notice = parts.uri.query().and_then(|query| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == Notice::PARAMETER)
                .and_then(|(_, key)| Notice::parse(&key))
        });
        let context = viewer.page_context(app).await?;
        Ok(Self { notice, ..context })
    }
}

/// The user who sent the request, as far as it is known.
#[derive(Clone, Debug)]
pub(in crate::web) struct Viewer {
    pub(in crate::web) theme: Theme,
    pub(in crate::web) session: Option<Session>,
    pub(in crate::web) access: Option<WorkspaceAccess>,
}

impl Viewer {
    /// From the cookies alone, for error pages outside the routes. Errors of the lookup count as
    /// not signed in.
    pub(in crate::web) async fn from_cookies(app: &App, headers: &HeaderMap) -> Self {
        let public_url = &app.config.http.public_url;
        let token = cookies::read(headers, CookieKind::Session, public_url);
        let session = match token {
            Some(token) => sessions::find(&app.database, &token, &app.config.sign_in)
                .await
                .unwrap_or_default(),
            None => None,
        };
        Self {
            theme: theme(headers),
            session,
            access: None,
        }
    }

    pub(in crate::web) async fn page_context(self, app: &App) -> Result<PageContext, Problem> {
        let Some(session) = self.session else {
            return Ok(PageContext::anonymous(
                self.theme,
                String::new(),
                Timestamp::now(),
            ));
        };
        let workspaces = store::of_user(&app.database, session.user.id).await?;
        Ok(PageContext {
            theme: self.theme,
            csrf: session.csrf.as_str().to_owned(),
            now: Timestamp::now(),
            user: Some(PersonView {
                name: session.user.display_name,
                email: session.user.email,
            }),
            workspace: self
                .access
                .map(|access| link(&access.workspace, access.role)),
            workspaces: workspaces
                .iter()
                .map(|(workspace, role)| link(workspace, *role))
                .collect(),
            notice: None,
        })
    }
}

/// The theme in the cookie that the page's script sets.
pub(in crate::web) fn theme(headers: &HeaderMap) -> Theme {
    CookieJar::from_headers(headers)
        .get(Theme::COOKIE)
        .map_or_else(Theme::default, |cookie| Theme::parse(cookie.value()))
}

/// The workspace as an entry of the workspace switcher.
pub(in crate::web) fn link(workspace: &Workspace, role: Role) -> WorkspaceLink {
    WorkspaceLink {
        id: workspace.id.clone(),
        name: workspace.name.clone(),
        role: role.into(),
    }
}
