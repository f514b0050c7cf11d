//! Deletes a workspace.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::pages;
use super::pages::settings::SettingsPage;
use super::settings;
use crate::domain::RateLimitClass;
use crate::identity::Token;
use crate::web::shared::extract::{Form, OwnerAccess};
use crate::web::shared::pages::PageContext;
use crate::web::shared::receipts::{is_receipt, problem, receipt_token, to_receipt};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::deletion::request;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/w/{workspace}/settings/delete",
            Access::Owner,
            delete_workspace,
        )
        .rate_limit_class(RateLimitClass::Expensive)
        .redirects_to_receipt(),
    ]
}

#[derive(Deserialize)]
struct DeleteWorkspaceForm {
    confirm: String,
}

async fn delete_workspace(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    context: PageContext,
    headers: HeaderMap,
    Form(form): Form<DeleteWorkspaceForm>,
) -> Result<Response, Problem> {
    if form.confirm.trim() != access.workspace.name.trim() {
        let view = SettingsPage {
            delete_error: Some(
                "This isn\u{2019}t the name of the workspace. Nothing was deleted.".to_owned(),
            ),
            ..settings::settings_view(&app, &access)
        };
        return Ok(pages::settings::page(&context, &view).into_response());
    }
    let id = &access.workspace.id;
    let token = receipt_token(&app, &headers, id.as_str()).unwrap_or_else(Token::random);
    let deletion = request::workspace(&app.database, id, &token)
        .await
        .map_err(problem)?;
    if deletion.is_none() && !is_receipt(&app, &token).await? {
        return Err(Problem::not_found());
    }
    app.pools.close(id);
    Ok(to_receipt(&token))
}
