//! The account page and signing out.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Deserialize;

use super::pages;
use super::pages::account::{AccountPage, IdentityView, SessionView};
use crate::identity::{Session, sessions, users};
use crate::ids::SessionId;
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::extract::{Path, link};
use crate::web::shared::pages::{Notice, PageContext};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/account", Access::SignedIn, show),
        Route::post(
            "/account/sessions/{session}/end",
            Access::SignedIn,
            end_session,
        ),
        Route::post("/sign-out", Access::SignedIn, sign_out),
        Route::post(
            "/sign-out/everywhere",
            Access::SignedIn,
            sign_out_everywhere,
        ),
    ]
}

async fn show(
    State(app): State<App>,
    session: Session,
    context: PageContext,
) -> Result<Markup, Problem> {
    let view = view(&app, &session, None).await?;
    Ok(pages::account::page(&context, &view))
}

/// `delete_error` is the error of a failed attempt to delete the account.
pub(super) async fn view(
    app: &App,
    session: &Session,
    delete_error: Option<String>,
) -> Result<AccountPage, Problem> {
    let user = &session.user;
    let profile = users::profile(&app.database, user.id).await?;
    let mut sessions = sessions::of_user(
        &app.database,
        user.id,
        app.config.sign_in.session_lifetimes(),
    )
    .await?;
    sessions.sort_by_key(|row| row.id != session.id);
    let owned_alone = store::owned_alone(&app.database, user.id).await?;
    Ok(AccountPage {
        name: user.display_name.clone(),
        email: user.email.clone(),
        email_verified: user.email_verified,
        identities: profile
            .identities
            .into_iter()
            .map(|(issuer, subject)| IdentityView { issuer, subject })
            .collect(),
        created_at: profile.created_at,
        sessions: sessions
            .into_iter()
            .map(|row| SessionView {
                id: row.id,
                browser: row.user_agent,
                created_at: row.created_at,
                last_seen_at: row.last_seen_at,
                current: row.id == session.id,
            })
            .collect(),
        owned_alone: owned_alone
            .iter()
            .map(|workspace| link(workspace, crate::domain::Role::Owner))
            .collect(),
        delete_error,
    })
}

#[derive(Deserialize)]
struct SessionPath {
    session: SessionId,
}

async fn end_session(
    State(app): State<App>,
    current: Session,
    Path(SessionPath { session }): Path<SessionPath>,
) -> Result<Redirect, Problem> {
    if sessions::revoke(&app.database, current.user.id, session).await? {
        let (parameter, key) = (Notice::PARAMETER, Notice::SessionEnded.key());
        Ok(Redirect::to(&format!("/account?{parameter}={key}")))
    } else {
        Err(Problem::not_found())
    }
}

async fn sign_out(State(app): State<App>, session: Session) -> Result<Response, Problem> {
    sessions::revoke(&app.database, session.user.id, session.id).await?;
    Ok(signed_out(&app))
}

async fn sign_out_everywhere(
    State(app): State<App>,
    session: Session,
) -> Result<Response, Problem> {
    sessions::revoke_all(&app.database, session.user.id).await?;
    Ok(signed_out(&app))
}

/// Redirects to the front page and removes the session cookie.
fn signed_out(app: &App) -> Response {
    let cookie = cookies::clear(CookieKind::Session, &app.config.http.public_url);
    ([cookie], Redirect::to("/")).into_response()
}
