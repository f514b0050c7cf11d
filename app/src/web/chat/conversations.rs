//! What users do with a conversation: rename it, delete it.

use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;

use super::{ThreadPath, database, database_problem};
use crate::ask::threads;
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
    match threads::delete(&database, thread).await {
        Ok(true) => {
            let path = format!("/w/{}/chat", access.workspace.id);
            Ok(Redirect::to(&Notice::ThreadDeleted.on(&path)))
        }
        Ok(false) => Err(Problem::not_found()),
        Err(error) => Err(database_problem(&app, &access, error).await),
    }
}
