//! Links to the receipt of a deletion.
//!
//! The token of a receipt is derived from the session's token and the subject of the deletion. A
//! request that is sent twice, or repeated after the session has ended, therefore leads to the same
//! receipt.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::cookies::{self, CookieKind};
use super::{App, Problem};
use crate::identity::Token;
use crate::ids::WorkspaceId;
use crate::workspaces::deletion::{self, DeletionError};

/// The path of the form that deletes an account.
pub(in crate::web) const ACCOUNT_DELETION_PATH: &str = "/account/delete";
/// The subject of an account's receipt. A session has at most one.
pub(in crate::web) const ACCOUNT_SUBJECT: &str = "account";

/// A deletion request that may repeat an earlier one. While the subject is being deleted, it
/// is inaccessible, so the repeated request fails with 404 or 401. If its session cookie belongs to
/// the user who requested the deletion, it is redirected to the receipt instead.
pub(in crate::web) struct RepeatedDeletion(Token);

impl RepeatedDeletion {
    /// `None` if the request has no session cookie.
    pub(in crate::web) fn from_request(app: &App, request: &Request) -> Option<Self> {
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

    /// A redirect to the receipt, if the same session requested the deletion before. Otherwise the
    /// problem.
    pub(in crate::web) async fn receipt_or_problem(self, app: &App, problem: Problem) -> Response {
        let may_be_repeated = matches!(
            problem.status,
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED
        );
        if may_be_repeated && is_receipt(app, &self.0).await.unwrap_or_default() {
            to_receipt(&self.0)
        } else {
            problem.into_response()
        }
    }
}

/// The token of the receipt for this subject, from the session cookie. The session may have ended
/// already.
pub(in crate::web) fn receipt_token(
    app: &App,
    headers: &HeaderMap,
    subject: &str,
) -> Option<Token> {
    let session = cookies::read(headers, CookieKind::Session, &app.config.http.public_url)?;
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
