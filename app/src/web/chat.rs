//! Conversations about documents: the page, questions and streamed answers.

mod answers;
mod conversations;
mod copied;
mod events;
pub mod pages;
mod views;

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Deserialize;

use crate::ask::threads::{self, AnswerNotes, AskedQuestion, QuestionTarget};
use crate::ask::{
    AskError, InvalidQuestion, MAX_ANSWERS_PER_WORKSPACE, MAX_QUESTION_CHARS, Message, Question,
};
use crate::domain::RateLimitClass;
use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::telemetry::QuestionOutcome;
use crate::tenants::TenantDatabase;
use crate::web::shared::error::AcceptedFormat;
use crate::web::shared::extract::{Form, Path, Query, WorkspaceAccess};
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
        Route::post("/w/{workspace}/chat", member, ask).rate_limit_class(RateLimitClass::Questions),
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

fn message(error: InvalidQuestion) -> String {
    match error {
        InvalidQuestion::Empty => "Enter a question.".to_owned(),
        InvalidQuestion::TooLong => {
            format!("Shorten your question to at most {MAX_QUESTION_CHARS} characters.")
        }
    }
}

#[derive(Deserialize)]
struct NewThreadParams {
    /// Preselects a document.
    document: Option<DocumentId>,
    /// Lists only conversations that contain this text.
    #[serde(default)]
    q: String,
}

async fn new_thread(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    Query(params): Query<NewThreadParams>,
) -> Result<Markup, Problem> {
    let view = ChatPage {
        chosen: params.document,
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
            Some(thread) => match threads::find(&database, thread).await? {
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
            "" => threads::list(&database).await?,
            search => threads::search(&database, search).await?,
        };
        let documents = threads::documents(&database).await?;
        Ok(Some((thread, threads, documents)))
    };
    let (thread, threads, documents) = match read.await {
        Ok(Some(found)) => found,
        Ok(None) => return Err(Problem::not_found()),
        Err(error) => return Err(database_problem(app, access, error).await),
    };
    let members = members::list(&app.database, &access.workspace.id).await?;
    let context = match &thread {
        Some((thread, messages, notes)) => {
            let scope = thread.document.as_ref().map(|(document, _)| *document);
            answer_context(app, access, scope, messages, notes.clone()).await?
        }
        None => AnswerContext::default(),
    };
    Ok(ChatPage {
        threads: threads.into_iter().map(views::link).collect(),
        search: search.to_owned(),
        thread: thread.map(|(thread, messages, _)| {
            let can_delete = conversations::can_delete(access, &thread);
            views::thread(thread, messages, &members, &context, can_delete)
        }),
        pending_documents: crate::documents::count_pending(&app.database, &access.workspace.id)
            .await?,
        documents: documents.into_iter().map(views::choice).collect(),
        chosen: None,
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
    scope: Option<DocumentId>,
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
        scope,
        documents: crate::documents::pages(&app.database, workspace, &cited).await?,
        notes,
        reader: Some(access.user.id),
        members,
    })
}

#[derive(Deserialize)]
struct QuestionForm {
    #[serde(default)]
    question: String,
    /// Empty for all documents. Without it, a conversation stays about the same ones.
    #[serde(default)]
    document: Option<String>,
    /// Empty for a new conversation.
    #[serde(default)]
    thread: String,
}

impl QuestionForm {
    fn target(&self) -> Result<QuestionTarget, Problem> {
        let document = match self.document.as_deref() {
            None | Some("") => None,
            Some(document) => Some(document.parse().map_err(|_| document_not_available())?),
        };
        if self.thread.is_empty() {
            return Ok(QuestionTarget::NewThread(document));
        }
        let thread = self.thread.parse().map_err(|_| Problem::not_found())?;
        Ok(match self.document {
            None => QuestionTarget::Thread(thread),
            Some(_) => QuestionTarget::ThreadAbout(thread, document),
        })
    }
}

async fn ask(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Form(form): Form<QuestionForm>,
) -> Result<Response, Problem> {
    let target = form.target()?;
    let is_fragment = AcceptedFormat::from_headers(&headers) == AcceptedFormat::Fragment;
    let question: Question = match form.question.parse() {
        Ok(question) => question,
        Err(error) => {
            app.metrics.answers.question(QuestionOutcome::Invalid);
            if is_fragment {
                return Err(Problem::invalid_input(message(error)));
            }
            return invalid_question(&app, &access, &context, target, form, error).await;
        }
    };
    let asked = insert_question(&app, &access, &question, target).await?;
    // If this fails, the event stream that the page opens starts the answer.
    if let Err(error) = app
        .ask
        .start_answer(&access.workspace, asked.answer.id)
        .await
    {
        tracing::debug!(%error, "answer not started; its event stream will start it");
    }
    if !is_fragment || matches!(target, QuestionTarget::NewThread(_)) {
        let path = format!("/w/{}/chat/{}", access.workspace.id, asked.thread);
        return Ok(Redirect::to(&path).into_response());
    }
    let asked_by = Some(access.user.display_name.clone());
    let database = database(&app, &access).await?;
    let thread = match threads::find(&database, asked.thread).await {
        Ok(thread) => thread.ok_or_else(Problem::not_found)?,
        Err(error) => return Err(database_problem(&app, &access, error).await),
    };
    Ok(pages::exchange(
        access.form_context(context.now),
        asked.thread,
        &views::scope(thread.document),
        &views::question(&asked.question, asked_by),
        &views::answer(asked.answer, &AnswerContext::default()),
    )
    .into_response())
}

async fn insert_question(
    app: &App,
    access: &WorkspaceAccess,
    question: &Question,
    target: QuestionTarget,
) -> Result<AskedQuestion, Problem> {
    let model = app.models.chat_model().map(llm::ChatModel::name);
    let insert = async {
        let database = app.ask.database(&access.workspace).await?;
        threads::ask(&database, access.user.id, question, target, model).await
    };
    let asked = insert.await;
    app.metrics.answers.question(match &asked {
        Ok(_) => QuestionOutcome::Accepted,
        Err(AskError::Unavailable(_) | AskError::Database(_)) => QuestionOutcome::Unavailable,
        Err(AskError::ThreadNotFound | AskError::DocumentNotFound) => QuestionOutcome::Invalid,
        Err(AskError::TooManyAnswers) => QuestionOutcome::TooMany,
    });
    match asked {
        Ok(asked) => Ok(asked),
        Err(AskError::Database(error)) => Err(database_problem(app, access, error).await),
        Err(error) => Err(problem(error, access)),
    }
}

/// The page with the rejected question and the error.
async fn invalid_question(
    app: &App,
    access: &WorkspaceAccess,
    context: &PageContext,
    target: QuestionTarget,
    form: QuestionForm,
    error: InvalidQuestion,
) -> Result<Response, Problem> {
    let (open, chosen) = match target {
        QuestionTarget::Thread(thread) | QuestionTarget::ThreadAbout(thread, _) => {
            (Some(thread), None)
        }
        QuestionTarget::NewThread(document) => (None, document),
    };
    let view = ChatPage {
        chosen,
        draft: form.question,
        error: Some(message(error)),
        ..page(app, access, open, "").await?
    };
    let markup = pages::page(context, access.form_context(context.now), &view);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, markup).into_response())
}
