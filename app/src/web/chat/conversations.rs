//! What users do with a conversation: rename it, delete it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use serde::Deserialize;

use super::{ThreadPath, database, database_problem};
use crate::ask::Thread;
use crate::ask::threads;
use crate::domain::Role;
use crate::web::shared::extract::{Form, Path, WorkspaceAccess};
use crate::web::shared::pages::Notice;
use crate::web::shared::{App, Problem};

#[derive(Deserialize)]
pub(super) struct RenameForm {
    #[serde(default)]
    title: String,
}

pub(super) async fn rename(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
    Form(form): Form<RenameForm>,
) -> Result<Redirect, Problem> {
    let database = database(&app, &access).await?;
    let rename = async {
        if threads::find(&database, thread).await?.is_none() {
            return Ok(None);
        }
        let Ok(title) = form.title.parse() else {
            return Ok(Some(false));
        };
        threads::rename(&database, thread, &title).await.map(Some)
    };
    match rename.await {
        Ok(Some(true)) => {
            let path = format!("/w/{}/chat/{thread}", access.workspace.id);
            Ok(Redirect::to(&Notice::Renamed.on(&path)))
        }
        Ok(Some(false)) => Err(Problem::invalid_input(format!(
            "Enter a title of 1 to {} characters",
            threads::MAX_TITLE_CHARS
        ))),
        Ok(None) => Err(Problem::not_found()),
        Err(error) => Err(database_problem(&app, &access, error).await),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    let database = database(&app, &access).await?;
    let delete = async {
        match threads::find(&database, thread).await? {
            Some(found) if !can_delete(&access, &found) => Ok(Deletion::NotAllowed),
            Some(_) if threads::delete(&database, thread).await? => Ok(Deletion::Deleted),
            Some(_) | None => Ok(Deletion::NotFound),
        }
    };
    match delete.await {
        Ok(Deletion::Deleted) => {
            let path = format!("/w/{}/chat", access.workspace.id);
            Ok(Redirect::to(&Notice::ThreadDeleted.on(&path)))
        }
        Ok(Deletion::NotFound) => Err(Problem::not_found()),
        Ok(Deletion::NotAllowed) => Err(not_the_author()),
        Err(error) => Err(database_problem(&app, &access, error).await),
    }
}

enum Deletion {
    Deleted,
    NotFound,
    NotAllowed,
}

/// Only the user who started a conversation and owners of the workspace can delete it.
pub(super) fn can_delete(access: &WorkspaceAccess, thread: &Thread) -> bool {
    access.role == Role::Owner || thread.created_by == access.user.id
}

fn not_the_author() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "not_the_author",
        "You can\u{2019}t delete this conversation",
        "Ask the person who started it, or an owner of the workspace.",
    )
}
