//! Links to the receipt of a deletion.
//!
//! The token of a receipt is derived from the session's token and the subject of the deletion, so a request that is sent twice, or
//! repeated after the session has ended, leads to the same receipt.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::{App, Problem, cookies};
use crate::identity::Token;
use crate::ids::WorkspaceId;
use crate::workspaces::deletion::{self, DeletionError};

/// The path of the form that deletes an account.
pub(in crate::web) const ACCOUNT_DELETION_PATH: &str = "/account/remove";
/// The subject of an account's receipt. A session has at most one.
pub(in crate::web) const ACCOUNT_SUBJECT: &str = "account";

/// A request for a removal, for when it comes too late: what it names is going already, so that nobody has any business with it any more.
/// Who asked for that, with the session whose cookie this request bears, is led to the receipt; to all others nothing is there.
pub(in crate::web) struct RepeatedDeletion(Token);

impl RepeatedDeletion {
    /// `None`: it bears no session's cookie, so it cannot be of somebody who asked before.
    pub(in crate::web) fn of(app: &App, request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let workspace = path.strip_prefix("/w/").and_then(|path| {
            let (id, _) = path.split_once('/')?;
            id.parse::<WorkspaceId>().ok()
        });
        let subject = match &workspace {
            Some(id) => id.as_str(),
            None if path == ACCOUNT_DELETION_PATH => ACCOUNT_SUBJECT,
            None => return None,
        };
        receipt_token(app, request.headers(), subject).map(Self)
    }

    /// The receipt, if the request was refused because what it names is not there for its sender, and was asked for by them; else the
    /// refusal.
    pub(in crate::web) async fn receipt_or_problem(self, app: &App, refusal: Problem) -> Response {
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
pub(in crate::web) fn receipt_token(
    app: &App,
    headers: &HeaderMap,
    subject: &str,
) -> Option<Token> {
    let session = cookies::read(headers, cookies::CookieKind::Session, &app.config.http.public_url)?;
    Some(session.receipt(subject))
}

pub(in crate::web) async fn is_receipt(app: &App, token: &Token) -> Result<bool, Problem> {
    Ok(deletion::by_token(&app.database, token).await?.is_some())
}

pub(in crate::web) fn to_receipt(token: &Token) -> Response {
    Redirect::to(&format!("/receipts/{}", token.reveal())).into_response()
}

pub(in crate::web) fn problem(error: DeletionError) -> Problem {
    match error {
        DeletionError::Database(error) => error.into(),
        error => Problem::internal_error(&error),
    }
}
