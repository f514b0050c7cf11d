//! Taking a workspace or an account away, and the page that shows how far it is and in the end what went.

mod live;
mod receipt;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::{account, workspaces};
use crate::identity::{Session, Token};
use crate::ids::WorkspaceId;
use crate::pages::settings::SettingsPage;
use crate::pages::{self, Chrome};
use crate::web::extract::{Form, OwnerAccess};
use crate::web::limits::Budget;
use crate::web::router::{Access, Route};
use crate::web::{App, Problem, cookies};
use crate::workspaces::removal::{self, RemovalError, begin};

/// What has to be typed to remove an account.
const ACCOUNT_WORD: &str = pages::account::CONFIRM_WORD;
/// Where an account's removal is asked for.
const ACCOUNT_PATH: &str = "/account/remove";
/// What an account's receipt is of, to the session that asked: a session has one.
const ACCOUNT_SUBJECT: &str = "account";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/w/{workspace}/settings/remove",
            Access::Owner,
            remove_workspace,
        )
        .budget(Budget::Heavy)
        .leads_to_receipt(),
        Route::post(ACCOUNT_PATH, Access::SignedIn, remove_account)
            .budget(Budget::Heavy)
            .leads_to_receipt(),
        Route::get("/receipts/{token}", Access::Public, receipt::show),
        Route::get("/receipts/{token}/events", Access::Public, live::events).stream(),
    ]
}

#[derive(Deserialize)]
struct ConfirmForm {
    confirm: String,
}

async fn remove_workspace(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    chrome: Chrome,
    headers: HeaderMap,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, Problem> {
    if form.confirm.trim() != access.workspace.name.trim() {
        let view = SettingsPage {
            remove_trouble: Some(
                "That is not the workspace\u{2019}s name. Nothing was removed.".to_owned(),
            ),
            ..workspaces::settings_page(&app, &access)
        };
        return Ok(pages::settings::page(&chrome, &view).into_response());
    }
    let id = &access.workspace.id;
    let token = receipt_token(&app, &headers, id.as_str()).unwrap_or_else(Token::random);
    let begun = begin::workspace(&app.database, id, &token)
        .await
        .map_err(problem)?;
    if begun.is_none() && !is_receipt(&app, &token).await? {
        return Err(Problem::not_found());
    }
    app.pools.forget(id);
    Ok(to_receipt(&token))
}

async fn remove_account(
    State(app): State<App>,
    session: Session,
    chrome: Chrome,
    headers: HeaderMap,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, Problem> {
    if form.confirm.trim() != ACCOUNT_WORD {
        let trouble =
            format!("Type \u{201c}{ACCOUNT_WORD}\u{201d} to confirm. Nothing was removed.");
        let view = account::view(&app, &session, Some(trouble)).await?;
        return Ok(pages::account::page(&chrome, &view).into_response());
    }
    let token = receipt_token(&app, &headers, ACCOUNT_SUBJECT).unwrap_or_else(Token::random);
    let begun = begin::account(&app.database, session.user.id, &token)
        .await
        .map_err(problem)?;
    if begun.is_none() && !is_receipt(&app, &token).await? {
        return Err(Problem::not_found());
    }
    // All its sessions are over; the browser need not remember this one.
    let cookie = cookies::forget(cookies::Kind::Session, &app.config.http.public_url);
    Ok(([cookie], to_receipt(&token)).into_response())
}

/// A request for a removal, for when it comes too late: what it names is going already, so that nobody has any business with it any more.
/// Who asked for that, with the session whose cookie this request bears, is led to the receipt; to all others nothing is there.
pub(in crate::web) struct Late(Token);

impl Late {
    /// `None`: it bears no session's cookie, so it cannot be of somebody who asked before.
    pub(in crate::web) fn of(app: &App, request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let workspace = path.strip_prefix("/w/").and_then(|path| {
            let (id, _) = path.split_once('/')?;
            id.parse::<WorkspaceId>().ok()
        });
        let subject = match &workspace {
            Some(id) => id.as_str(),
            None if path == ACCOUNT_PATH => ACCOUNT_SUBJECT,
            None => return None,
        };
        receipt_token(app, request.headers(), subject).map(Self)
    }

    /// The receipt, if the request was refused because what it names is not there for its sender, and was asked for by them; else the
    /// refusal.
    pub(in crate::web) async fn receipt_or(self, app: &App, refusal: Problem) -> Response {
        let may_be_late = matches!(
            refusal.status,
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED
        );
        if may_be_late && is_receipt(app, &self.0).await.unwrap_or_default() {
            to_receipt(&self.0)
        } else {
            refusal.into_response()
        }
    }
}

/// Of the receipt that the session of this cookie, good or over, gets for what it removes.
fn receipt_token(app: &App, headers: &HeaderMap, subject: &str) -> Option<Token> {
    let session = cookies::token(headers, cookies::Kind::Session, &app.config.http.public_url)?;
    Some(session.receipt(subject))
}

async fn is_receipt(app: &App, token: &Token) -> Result<bool, Problem> {
    Ok(removal::by_token(&app.database, token).await?.is_some())
}

fn to_receipt(token: &Token) -> Response {
    Redirect::to(&format!("/receipts/{}", token.reveal())).into_response()
}

fn problem(error: RemovalError) -> Problem {
    match error {
        RemovalError::Database(error) => error.into(),
        error => Problem::defect(&error),
    }
}
