//! Conversations with the documents: the page, questions, streamed answers.

mod events;
pub mod pages;
mod views;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use maud::Markup;
use serde::Deserialize;

use crate::ask::threads::{self, AskedQuestion, QuestionTarget};
use crate::ask::{MAX_ANSWERS_PER_WORKSPACE, AskError, InvalidQuestion, MAX_QUESTION_CHARS, Question};
use crate::domain::RateLimitClass;
use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::telemetry::Asking;
use crate::web::shared::error::AcceptedFormat;
use crate::web::shared::extract::{Form, Path, Query, WorkspaceAccess};
use crate::web::shared::pages::{PageContext, Notice};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::unavailable;
use crate::web::shared::{App, Problem};
use crate::workspaces::members;
use pages::{ChatPage, ChatPlace};

/// When to ask again while too many answers are being written.
const ANSWERS_RETRY_SECONDS: u64 = 10;

pub(super) fn routes() -> Vec<Route> {
    let member = Access::Member;
    vec![
        Route::get("/w/{workspace}/chat", member, begin),
        Route::post("/w/{workspace}/chat", member, ask).rate_limit_class(RateLimitClass::Questions),
        Route::get("/w/{workspace}/chat/{thread}", member, show),
        Route::post("/w/{workspace}/chat/{thread}/remove", member, remove),
        Route::get(
            "/w/{workspace}/chat/{thread}/messages/{message}/events",
            member,
            events::events,
        )
        .event_stream(),
        Route::post(
            "/w/{workspace}/chat/{thread}/messages/{message}/stop",
            member,
            stop,
        ),
    ]
}

/// The conversation in the path; the workspace stands before it and was checked.
#[derive(Deserialize)]
struct ThreadPath {
    thread: ThreadId,
}

/// The message in the path.
#[derive(Deserialize)]
struct MessagePath {
    thread: ThreadId,
    message: MessageId,
}

fn place(access: &WorkspaceAccess, now: Timestamp) -> ChatPlace<'_> {
    ChatPlace {
        workspace: &access.workspace.id,
        csrf: access.session.csrf.as_str(),
        now,
    }
}

/// What goes wrong with the tenant's database, as people read it.
async fn failed(app: &App, access: &WorkspaceAccess, error: sqlx::Error) -> Problem {
    problem(app.ask.failed(&access.workspace, error).await, access)
}

fn problem(error: AskError, access: &WorkspaceAccess) -> Problem {
    match error {
        AskError::Unavailable(reason) => unavailable::problem(&reason, &access.workspace.id),
        AskError::Database(error) => Problem::internal_error(&error),
        AskError::ThreadNotFound => Problem::not_found(),
        AskError::DocumentNotFound => no_such_document(),
        AskError::TooManyAnswers => Problem {
            retry_after_seconds: Some(ANSWERS_RETRY_SECONDS),
            ..Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "answers_under_way",
                format!("{MAX_ANSWERS_PER_WORKSPACE} answers are being written in this workspace"),
                "Wait until one of them is done, or stop one.",
            )
        },
    }
}

fn no_such_document() -> Problem {
    Problem::wrong_input("This document cannot be asked (any more)")
}

fn words(refused: InvalidQuestion) -> String {
    match refused {
        InvalidQuestion::Empty => "Type a question first.".to_owned(),
        InvalidQuestion::TooLong => {
            format!("A question has at most {MAX_QUESTION_CHARS} characters. Make it shorter.")
        }
    }
}

#[derive(Deserialize)]
struct Beginning {
    /// The document that the page before showed.
    document: Option<DocumentId>,
}

async fn begin(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    Query(beginning): Query<Beginning>,
) -> Result<Markup, Problem> {
    let view = ChatPage {
        chosen: beginning.document,
        ..page(&app, &access, None).await?
    };
    Ok(pages::page(&context, place(&access, context.now), &view))
}

async fn show(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Markup, Problem> {
    let view = page(&app, &access, Some(thread)).await?;
    Ok(pages::page(&context, place(&access, context.now), &view))
}

/// All that the page shows, from the tenant's database and the members' names.
async fn page(
    app: &App,
    access: &WorkspaceAccess,
    open: Option<ThreadId>,
) -> Result<ChatPage, Problem> {
    let database = app
        .ask
        .database(&access.workspace)
        .await
        .map_err(|reason| unavailable::problem(&reason, &access.workspace.id))?;
    let read = async {
        let thread = match open {
            Some(thread) => match threads::find(&database, thread).await? {
                Some(thread) => {
                    let messages = threads::messages(&database, thread.id).await?;
                    Some((thread, messages))
                }
                None => return Ok(None),
            },
            None => None,
        };
        let threads = threads::list(&database).await?;
        let documents = threads::documents(&database).await?;
        Ok(Some((thread, threads, documents)))
    };
    let (thread, threads, documents) = match read.await {
        Ok(Some(found)) => found,
        Ok(None) => return Err(Problem::not_found()),
        Err(error) => return Err(failed(app, access, error).await),
    };
    let members = members::list(&app.database, &access.workspace.id).await?;
    Ok(ChatPage {
        threads: threads.into_iter().map(views::link).collect(),
        thread: thread.map(|(thread, messages)| views::thread(thread, messages, &members)),
        documents: documents.into_iter().map(views::choice).collect(),
        chosen: None,
        extracts_only: app.ask.is_extractive(),
        draft: String::new(),
        trouble: None,
    })
}

#[derive(Deserialize)]
struct QuestionForm {
    #[serde(default)]
    question: String,
    /// Empty: all documents.
    #[serde(default)]
    document: String,
    /// Empty: a new conversation.
    #[serde(default)]
    thread: String,
}

impl QuestionForm {
    fn place(&self) -> Result<Place, Problem> {
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match (optional(&self.thread), optional(&self.document)) {
            (Some(thread), _) => thread
                .parse()
                .map(QuestionTarget::Thread)
                .map_err(|_| Problem::not_found()),
            (None, Some(document)) => document
                .parse()
                .map(|document| QuestionTarget::NewThread(Some(document)))
                .map_err(|_| no_such_document()),
            (None, None) => Ok(QuestionTarget::NewThread(None)),
        }
    }
}

async fn ask(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Form(form): Form<QuestionForm>,
) -> Result<Response, Problem> {
    let asked_in = form.place()?;
    let is_fragment = AcceptedFormat::from_headers(&headers) == AcceptedFormat::Fragment;
    let question: Question = match form.question.parse() {
        Ok(question) => question,
        Err(refused) => {
            app.metrics.answers.question(Asking::Invalid);
            if is_fragment {
                return Err(Problem::wrong_input(words(refused)));
            }
            return ask_better(&app, &access, &context, asked_in, form, refused).await;
        }
    };
    let asked = write_down(&app, &access, &question, asked_in).await?;
    // The page that follows opens the answer's stream, which takes the answer up if this could not.
    if let Err(error) = app.ask.start_answer(&access.workspace, asked.answer.id).await {
        tracing::debug!(%error, "An answer is left to be begun by its stream");
    }
    if !is_fragment || matches!(asked_in, QuestionTarget::NewThread(_)) {
        let path = format!("/w/{}/chat/{}", access.workspace.id, asked.thread);
        return Ok(Redirect::to(&path).into_response());
    }
    let by = Some(access.user.display_name.clone());
    Ok(pages::exchange(
        place(&access, context.now),
        asked.thread,
        &views::question(&asked.question, by),
        &views::answer(asked.answer, question.as_str().to_owned()),
    )
    .into_response())
}

async fn write_down(
    app: &App,
    access: &WorkspaceAccess,
    question: &Question,
    asked_in: Place,
) -> Result<AskedQuestion, Problem> {
    let model = app.models.answerer().map(llm::Answerer::name);
    let asking = async {
        let database = app.ask.database(&access.workspace).await?;
        threads::ask(&database, access.user.id, question, asked_in, model).await
    };
    let asked = asking.await;
    app.metrics.answers.question(match &asked {
        Ok(_) => Asking::Asked,
        Err(AskError::Unavailable(_) | AskError::Database(_)) => Asking::Unavailable,
        Err(AskError::ThreadNotFound | AskError::DocumentNotFound) => Asking::Invalid,
        Err(AskError::TooManyAnswers) => Asking::TooMany,
    });
    match asked {
        Ok(asked) => Ok(asked),
        Err(AskError::Database(error)) => Err(failed(app, access, error).await),
        Err(error) => Err(problem(error, access)),
    }
}

/// The page again, with what was typed and what is wrong with it.
async fn ask_better(
    app: &App,
    access: &WorkspaceAccess,
    context: &PageContext,
    asked_in: Place,
    form: QuestionForm,
    refused: InvalidQuestion,
) -> Result<Response, Problem> {
    let (open, chosen) = match asked_in {
        QuestionTarget::Thread(thread) => (Some(thread), None),
        QuestionTarget::NewThread(document) => (None, document),
    };
    let view = ChatPage {
        chosen,
        draft: form.question,
        trouble: Some(words(refused)),
        ..page(app, access, open).await?
    };
    let markup = pages::page(context, place(access, context.now), &view);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, markup).into_response())
}

async fn remove(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(ThreadPath { thread }): Path<ThreadPath>,
) -> Result<Redirect, Problem> {
    let database = app
        .ask
        .database(&access.workspace)
        .await
        .map_err(|reason| unavailable::problem(&reason, &access.workspace.id))?;
    match threads::delete(&database, thread).await {
        Ok(true) => {
            let (parameter, key) = (Notice::PARAMETER, Notice::ThreadRemoved.key());
            let path = format!("/w/{}/chat?{parameter}={key}", access.workspace.id);
            Ok(Redirect::to(&path))
        }
        Ok(false) => Err(Problem::not_found()),
        Err(error) => Err(failed(&app, &access, error).await),
    }
}

async fn stop(
    State(app): State<App>,
    access: WorkspaceAccess,
    headers: HeaderMap,
    Path(path): Path<MessagePath>,
) -> Result<Response, Problem> {
    let database = app
        .ask
        .database(&access.workspace)
        .await
        .map_err(|reason| unavailable::problem(&reason, &access.workspace.id))?;
    let stopped = async {
        match threads::message(&database, path.thread, path.message).await? {
            Some(message) => app
                .ask
                .end(&access.workspace, &database, &message)
                .await
                .map(Some),
            None => Ok(None),
        }
    };
    match stopped.await {
        // One that had ended by itself just before is as good.
        Ok(Some(_)) => {}
        Ok(None) => return Err(Problem::not_found()),
        Err(error) => return Err(failed(&app, &access, error).await),
    }
    if AcceptedFormat::from_headers(&headers) == AcceptedFormat::Fragment {
        // The stream of the answer brings what is left to say.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let path = format!("/w/{}/chat/{}", access.workspace.id, path.thread);
    Ok(Redirect::to(&path).into_response())
}
