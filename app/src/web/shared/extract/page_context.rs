//! What a page has around it, from whoever asks and where they are.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum_extra::extract::cookie::CookieJar;
use jiff::Timestamp;

use super::WorkspaceAccess;
use crate::domain::{Role, Workspace};
use crate::identity::{Session, sessions};
use crate::web::shared::pages::{PageContext, Notice, PersonView, Theme, WorkspaceLink};
use crate::web::shared::{App, Problem, cookies};
use crate::workspaces::store;

/// Of the signed-in: their workspaces, and the one that the path names. For others, the anonymous one, without a token: pages with a form
/// for visitors make theirs with [`super::AnonymousSession`].
impl FromRequestParts<App> for PageContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session =
            <Session as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        let around = Viewer {
            theme: theme(&parts.headers),
            session,
            access: parts.extensions.get::<WorkspaceAccess>().cloned(),
        };
        let notice = parts.uri.query().and_then(|query| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == Notice::PARAMETER)
                .and_then(|(_, key)| Notice::parse(&key))
        });
        let context = around.context(app).await?;
        Ok(Self { notice, ..context })
    }
}

/// What is known of whoever asks: enough to make a page's frame from.
#[derive(Clone, Debug)]
pub(in crate::web) struct Viewer {
    pub(in crate::web) theme: Theme,
    pub(in crate::web) session: Option<Session>,
    pub(in crate::web) access: Option<WorkspaceAccess>,
}

impl Viewer {
    /// By the cookies alone, for answers that no route's guard has looked at. What cannot be found out is left out.
    pub(in crate::web) async fn from_cookies(app: &App, headers: &HeaderMap) -> Self {
        let public_url = &app.config.http.public_url;
        let token = cookies::read(headers, cookies::CookieKind::Session, public_url);
        let session = match token {
            Some(token) => sessions::find(&app.database, &token, app.config.sessions)
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

    pub(in crate::web) async fn context(self, app: &App) -> Result<PageContext, Problem> {
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

/// As the cookie of the page's script has it.
pub(in crate::web) fn theme(headers: &HeaderMap) -> Theme {
    CookieJar::from_headers(headers)
        .get(Theme::COOKIE)
        .map_or_else(Theme::default, |cookie| Theme::parse(cookie.value()))
}

/// A workspace in the switch between them.
pub(in crate::web) fn link(workspace: &Workspace, role: Role) -> WorkspaceLink {
    WorkspaceLink {
        id: workspace.id.clone(),
        name: workspace.name.clone(),
        role: role.into(),
    }
}
