//! Deletes an account.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::{account, pages};
use crate::domain::RateLimitClass;
use crate::identity::{Session, Token};
use crate::web::shared::cookies::{self, CookieKind};
use crate::web::shared::extract::Form;
use crate::web::shared::pages::PageContext;
use crate::web::shared::receipts::{
    ACCOUNT_DELETION_PATH, ACCOUNT_SUBJECT, is_receipt, problem, receipt_token, to_receipt,
};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::deletion::request::{self, AccountRequest};

const WORKSPACES_CHANGED: &str = "You\u{2019}ve become the only owner of another workspace. Check the list above, then confirm again. Nothing was deleted.";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(ACCOUNT_DELETION_PATH, Access::SignedIn, delete_account)
            .rate_limit_class(RateLimitClass::Expensive)
            .redirects_to_receipt(),
    ]
}

#[derive(Deserialize)]
struct DeleteAccountForm {
    confirm: String,
    /// Ids of the workspaces that the page lists, which are deleted with the account.
    #[serde(default)]
    workspaces: String,
}

async fn delete_account(
    State(app): State<App>,
    session: Session,
    context: PageContext,
    headers: HeaderMap,
    Form(form): Form<DeleteAccountForm>,
) -> Result<Response, Problem> {
    if form.confirm.trim() != pages::account::CONFIRM_WORD {
        let word = pages::account::CONFIRM_WORD;
        let error = format!("Type \u{201c}{word}\u{201d} to confirm. Nothing was deleted.");
        let view = account::view(&app, &session, Some(error)).await?;
        return Ok(pages::account::page(&context, &view).into_response());
    }
    let token = receipt_token(&app, &headers, ACCOUNT_SUBJECT).unwrap_or_else(Token::random);
    let confirmed = pages::account::parse_workspaces(&form.workspaces);
    let request = request::account(&app.database, session.user.id, &confirmed, &token)
        .await
        .map_err(problem)?;
    match request {
        AccountRequest::Accepted(_) => {}
        AccountRequest::NotFound if is_receipt(&app, &token).await? => {}
        AccountRequest::NotFound => return Err(Problem::not_found()),
        AccountRequest::WorkspacesChanged => {
            let view = account::view(&app, &session, Some(WORKSPACES_CHANGED.to_owned())).await?;
            return Ok(pages::account::page(&context, &view).into_response());
        }
    }
    // All sessions of the account have ended.
    let cookie = cookies::clear(CookieKind::Session, &app.config.http.public_url);
    Ok(([cookie], to_receipt(&token)).into_response())
}
