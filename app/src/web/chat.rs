//! Conversations about documents: the page, questions and streamed answers.

mod answers;
mod conversations;
mod copied;
mod events;
pub mod pages;
mod questions;
mod views;

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use maud::Markup;
use serde::Deserialize;

use crate::ask::threads::{self, AnswerNotes};
use crate::ask::{AskError, MAX_ANSWERS_PER_WORKSPACE, MAX_SCOPE_DOCUMENTS, Message, Thread};
use crate::domain::RateLimitClass;
use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::tenants::{TenantDatabase, is_statement_timeout};
use crate::web::shared::extract::{Path, Query, WorkspaceAccess};
use crate::web::shared::pages::PageContext;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::unavailable;
use crate::web::shared::{App, Problem};
use crate::workspaces::members;
use pages::ChatPage;
use views::AnswerContext;

/// `Retry-After` while the workspace has too many pending answers.
const ANSWERS_RETRY_AFTER_SECONDS: u64 = 10;

pub(super) fn routes() -> Vec<Route> {
    let member = Access::Member;
    vec![
        Route::get("/w/{workspace}/chat", member, new_thread),
        Route::post("/w/{workspace}/chat", member, questions::ask)
            .rate_limit_class(RateLimitClass::Questions),
        Route::get("/w/{workspace}/chat/{thread}", member, show),
        Route::post(
            "/w/{workspace}/chat/{thread}/rename",
            member,
            conversations::rename,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/delete",
            member,
            conversations::delete,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/restore",
            member,
            conversations::restore,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/share",
            member,
            conversations::share,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/unshare",
            member,
            conversations::unshare,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/pin",
            member,
            conversations::pin,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/unpin",
            member,
            conversations::unpin,
        ),
        Route::get(
            "/w/{workspace}/chat/{thread}/messages/{message}/events",
            member,
            events::events,
        )
        .event_stream(),
        Route::post(
            "/w/{workspace}/chat/{thread}/messages/{message}/stop",
            member,
            answers::stop,
        ),
        Route::post(
            "/w/{workspace}/chat/{thread}/messages/{message}/regenerate",
            member,
            answers::regenerate,
        )
        .rate_limit_class(RateLimitClass::Questions),
        Route::post(
            "/w/{workspace}/chat/{thread}/messages/{message}/rating",
            member,
            answers::rate,
        ),
        Route::get(
            "/w/{workspace}/chat/{thread}/messages/{message}/text",
            member,
            answers::text,
        ),
    ]
}

#[derive(Deserialize)]
struct ThreadPath {
    thread: ThreadId,
}

#[derive(Deserialize)]
struct MessagePath {
    thread: ThreadId,
    message: MessageId,
}

async fn database(app: &App, access: &WorkspaceAccess) -> Result<TenantDatabase, Problem> {
    app.ask
        .database(&access.workspace)
        .await
        .map_err(|reason| unavailable::problem(&reason, &access.workspace.id))
}

/// The conversation, if the user sees it.
async fn visible_thread(
    app: &App,
    access: &WorkspaceAccess,
    database: &TenantDatabase,
    thread: ThreadId,
) -> Result<Thread, Problem> {
    match threads::find(database, thread, access.user.id).await {
        Ok(Some(thread)) => Ok(thread),
        Ok(None) => Err(Problem::not_found()),
        Err(error) => Err(database_problem(app, access, error).await),
    }
}

/// Reports an error of the tenant's database to the connection pool and explains it to the user.
async fn database_problem(app: &App, access: &WorkspaceAccess, error: sqlx::Error) -> Problem {
    problem(app.ask.report_error(&access.workspace, error).await, access)
}

fn problem(error: AskError, access: &WorkspaceAccess) -> Problem {
    match error {
        AskError::Unavailable(reason) => unavailable::problem(&reason, &access.workspace.id),
        AskError::Database(error) => Problem::internal_error(&error),
        AskError::ThreadNotFound => Problem::not_found(),
        AskError::DocumentNotFound => document_not_available(),
        AskError::TooManyDocuments => Problem::invalid_input(format!(
            "Choose at most {MAX_SCOPE_DOCUMENTS} documents, or all of them"
        )),
        AskError::NotMigrated => not_migrated(
            "Your question wasn\u{2019}t sent, because it can\u{2019}t be limited to several documents yet.",
        ),
        AskError::TooManyAnswers => Problem {
            retry_after_seconds: Some(ANSWERS_RETRY_AFTER_SECONDS),
            ..Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_pending_answers",
                format!(
                    "This workspace already has {MAX_ANSWERS_PER_WORKSPACE} answers in progress"
                ),
                "Your question wasn\u{2019}t sent. Wait until an answer is complete, or stop one.",
            )
        },
    }
}

fn document_not_available() -> Problem {
    Problem::invalid_input(
        "You can\u{2019}t ask about this document. It may have been deleted or not be ready yet",
    )
}

fn search_timed_out() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "search_timeout",
        "The search took too long",
        "Your conversations are unchanged. Try again in a moment.",
    )
}

/// `what`: what has not been done.
fn not_migrated(what: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_migrated",
        "Your database is being updated",
        format!("{what} Try again in a few minutes."),
    )
}

#[derive(Deserialize)]
struct NewThreadParams {
    /// Preselects a document.
    document: Option<DocumentId>,
    /// Lists only conversations that contain this text.
    #[serde(default)]
    q: String,
    /// A conversation that was just deleted, to offer to restore it.
    deleted: Option<ThreadId>,
}

async fn new_thread(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    Query(params): Query<NewThreadParams>,
) -> Result<Markup, Problem> {
    let deleted = match params.deleted {
        Some(thread) => conversations::deleted(&app, &access, thread).await?,
        None => None,
    };
    let view = ChatPage {
        chosen: params.document.into_iter().collect(),
        deleted,
        ..page(&app, &access, None, &params.q).await?
    };
    Ok(pages::page(
        &context,
        access.form_context(context.now),
        &view,
    ))
}

async fn show(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Markup, Problem> {
    let view = page(&app, &access, Some(thread), "").await?;
    Ok(pages::page(
        &context,
        access.form_context(context.now),
        &view,
    ))
}

/// Loads the view from the tenant's database and the names of the members.
async fn page(
    app: &App,
    access: &WorkspaceAccess,
    open: Option<ThreadId>,
    search: &str,
) -> Result<ChatPage, Problem> {
    let search = search.replace('\0', " ");
    let search = search.trim();
    let database = database(app, access).await?;
    let read = async {
        let thread = match open {
            Some(thread) => match threads::find(&database, thread, access.user.id).await? {
                Some(thread) => {
                    let messages = threads::messages(&database, thread.id).await?;
                    let notes = threads::notes(&database, thread.id, access.user.id).await?;
                    Some((thread, messages, notes))
                }
                None => return Ok(None),
            },
            None => None,
        };
        let threads = match search {
            "" => threads::list(&database, access.user.id).await?,
            search => threads::search(&database, access.user.id, search).await?,
        };
        let documents = threads::documents(&database).await?;
        Ok(Some((thread, threads, documents)))
    };
    let (thread, threads, documents) = match read.await {
        Ok(Some(found)) => found,
        Ok(None) => return Err(Problem::not_found()),
        Err(error) if is_statement_timeout(&error) => return Err(search_timed_out()),
        Err(error) => return Err(database_problem(app, access, error).await),
    };
    let members = members::list(&app.database, &access.workspace.id).await?;
    let context = match &thread {
        Some((thread, messages, notes)) => {
            let scope = views::ids(&thread.documents);
            answer_context(app, access, &scope, messages, notes.clone()).await?
        }
        None => AnswerContext::default(),
    };
    Ok(ChatPage {
        threads: threads
            .into_iter()
            .map(|thread| views::link(thread, access.user.id, &members))
            .collect(),
        search: search.to_owned(),
        thread: thread.map(|(thread, messages, _)| {
            let can_delete = conversations::can_delete(access, &thread);
            views::thread(
                thread,
                messages,
                access.user.id,
                &members,
                &context,
                can_delete,
            )
        }),
        pending_documents: crate::documents::count_pending(&app.database, &access.workspace.id)
            .await?,
        documents: documents.into_iter().map(views::choice).collect(),
        chosen: Vec::new(),
        deleted: None,
        excerpts_only: app.ask.is_extractive(),
        draft: String::new(),
        error: None,
    })
}

/// Reads which pages of the answers' documents could not be read, how pages are labeled, and who
/// stopped answers.
async fn answer_context(
    app: &App,
    access: &WorkspaceAccess,
    scope: &[DocumentId],
    messages: &[Message],
    notes: Option<HashMap<MessageId, AnswerNotes>>,
) -> sqlx::Result<AnswerContext> {
    let workspace = &access.workspace.id;
    let mut cited: Vec<DocumentId> = messages
        .iter()
        .flat_map(|message| &message.citations)
        .map(|citation| citation.document)
        .collect();
    cited.sort_unstable_by_key(|document| document.0);
    cited.dedup();
    let is_stopped = |notes: &AnswerNotes| notes.stopped_by.is_some();
    let members = if notes.iter().flat_map(HashMap::values).any(is_stopped) {
        members::list(&app.database, workspace).await?
    } else {
        Vec::new()
    };
    Ok(AnswerContext {
        scope: scope.to_vec(),
        documents: crate::documents::pages(&app.database, workspace, &cited).await?,
        notes,
        reader: Some(access.user.id),
        members,
    })
}
