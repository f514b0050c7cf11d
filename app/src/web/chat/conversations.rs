//! What users do with a conversation: rename it, share it, pin it, delete it.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use serde::Deserialize;

use super::pages::DeletedThread;
use super::{ThreadPath, database, database_problem, not_migrated, visible_thread};
use crate::ask::threads::{self, Deletion, PurgeConversations};
use crate::ask::{Thread, Visibility};
use crate::domain::Role;
use crate::ids::ThreadId;
use crate::jobs::{self, QueueError};
use crate::tenants::lacks_migration;
use crate::web::shared::extract::{Form, Path, WorkspaceAccess};
use crate::web::shared::pages::Notice;
use crate::web::shared::{App, Problem};

#[derive(Deserialize)]
pub(super) struct RenameForm {
    #[serde(default)]
    title: String,
}

fn url(access: &WorkspaceAccess, thread: ThreadId) -> String {
    format!("/w/{}/chat/{thread}", access.workspace.id)
}

pub(super) async fn rename(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
    Form(form): Form<RenameForm>,
) -> Result<Redirect, Problem> {
    let database = database(&app, &access).await?;
    visible_thread(&app, &access, &database, thread).await?;
    let Ok(title) = form.title.parse() else {
        return Err(Problem::invalid_input(format!(
            "Enter a title of 1 to {} characters",
            threads::MAX_TITLE_CHARS
        )));
    };
    match threads::rename(&database, thread, &title).await {
        Ok(true) => Ok(Redirect::to(&Notice::Renamed.on(&url(&access, thread)))),
        Ok(false) => Err(Problem::not_found()),
        Err(error) => Err(database_problem(&app, &access, error).await),
    }
}

pub(super) async fn share(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    set_shared(&app, &access, thread, true).await
}

pub(super) async fn unshare(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    set_shared(&app, &access, thread, false).await
}

async fn set_shared(
    app: &App,
    access: &WorkspaceAccess,
    thread: ThreadId,
    is_shared: bool,
) -> Result<Redirect, Problem> {
    let database = database(app, access).await?;
    let found = visible_thread(app, access, &database, thread).await?;
    if found.created_by != access.user.id {
        return Err(not_the_author(
            "You can\u{2019}t change who can see this conversation",
            "Ask the person who started it.",
        ));
    }
    let notice = if is_shared {
        Notice::ThreadShared
    } else {
        Notice::ThreadMadePrivate
    };
    match threads::share(&database, thread, access.user.id, is_shared).await {
        Ok(true) => Ok(Redirect::to(&notice.on(&url(access, thread)))),
        Ok(false) => Err(Problem::not_found()),
        Err(error) if lacks_migration(&error) => Err(not_migrated("Nothing was changed.")),
        Err(error) => Err(database_problem(app, access, error).await),
    }
}

pub(super) async fn pin(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    set_pinned(&app, &access, thread, true).await
}

pub(super) async fn unpin(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    set_pinned(&app, &access, thread, false).await
}

async fn set_pinned(
    app: &App,
    access: &WorkspaceAccess,
    thread: ThreadId,
    is_pinned: bool,
) -> Result<Redirect, Problem> {
    let database = database(app, access).await?;
    visible_thread(app, access, &database, thread).await?;
    match threads::pin(&database, thread, access.user.id, is_pinned).await {
        Ok(()) => Ok(Redirect::to(&url(access, thread))),
        Err(error) if lacks_migration(&error) => Err(not_migrated("Nothing was changed.")),
        Err(error) => Err(database_problem(app, access, error).await),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    let database = database(&app, &access).await?;
    let found = visible_thread(&app, &access, &database, thread).await?;
    if !can_delete(&access, &found) {
        return Err(not_the_author(
            "You can\u{2019}t delete this conversation",
            "Ask the person who started it, or an owner of the workspace.",
        ));
    }
    // The job exists before the deletion, so that the deletion becomes final even if this process
    // ends in between. After the deletion, it is replaced by one that runs sooner.
    purge_after(&app, &access, PurgeConversations::MAX_DELAY)
        .await
        .map_err(|error| Problem::internal_error(&error))?;
    let deletion = match threads::delete(&database, thread, access.user.id).await {
        Ok(deletion) => deletion,
        Err(error) => return Err(database_problem(&app, &access, error).await),
    };
    let chat = format!("/w/{}/chat", access.workspace.id);
    match deletion {
        Deletion::CanBeUndone => {
            if let Err(error) = purge_after(&app, &access, PurgeConversations::DELAY).await {
                tracing::warn!(
                    error = %service_kit::error_chain(&error),
                    "failed to move up the job that deletes conversations; it runs later"
                );
            }
            Ok(Redirect::to(&format!("{chat}?deleted={thread}")))
        }
        Deletion::Final => Ok(Redirect::to(&Notice::ThreadDeleted.on(&chat))),
        Deletion::NotFound => Err(Problem::not_found()),
    }
}

async fn purge_after(
    app: &App,
    access: &WorkspaceAccess,
    delay: Duration,
) -> Result<(), QueueError> {
    let workspace = access.workspace.id.clone();
    jobs::add_after(&app.database, &PurgeConversations { workspace }, delay).await
}

/// The deleted conversation, if the user can restore it.
pub(super) async fn deleted(
    app: &App,
    access: &WorkspaceAccess,
    thread: ThreadId,
) -> Result<Option<DeletedThread>, Problem> {
    let database = database(app, access).await?;
    match threads::find_deleted(&database, thread, access.user.id).await {
        Ok(found) => Ok(found
            .filter(|found| can_delete(access, found))
            .map(|found| DeletedThread {
                id: found.id,
                title: found.title,
            })),
        Err(error) => Err(database_problem(app, access, error).await),
    }
}

pub(super) async fn restore(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    let database = database(&app, &access).await?;
    if deleted(&app, &access, thread).await?.is_none() {
        return Err(Problem::not_found());
    }
    match threads::restore(&database, thread).await {
        Ok(true) => Ok(Redirect::to(
            &Notice::ThreadRestored.on(&url(&access, thread)),
        )),
        Ok(false) => Err(Problem::not_found()),
        Err(error) => Err(database_problem(&app, &access, error).await),
    }
}

/// Only the user who started a conversation and, if they see it, owners of the workspace can delete
/// it.
pub(super) fn can_delete(access: &WorkspaceAccess, thread: &Thread) -> bool {
    let is_own = thread.created_by == access.user.id;
    is_own || access.role == Role::Owner && thread.visibility != Visibility::Private
}

fn not_the_author(title: &'static str, hint: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "not_the_author", title, hint)
}
