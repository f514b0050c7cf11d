//! What users do with an answer: stop it, start it again, rate it, copy its text.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::pages::{self, RatingView};
use super::views::{self, AnswerContext};
use super::{
    MessagePath, copied, database, database_problem, not_migrated, problem, visible_thread,
};
use crate::ask::threads;
use crate::ask::{AskError, Author, Message, MessageState, Rating};
use crate::tenants::{TenantDatabase, lacks_migration};
use crate::web::shared::error::AcceptedFormat;
use crate::web::shared::extract::{Form, Path, Query, WorkspaceAccess};
use crate::web::shared::pages::PageContext;
use crate::web::shared::{App, Problem};

/// The answer in the path, if the user sees its conversation.
pub(super) async fn find(
    app: &App,
    access: &WorkspaceAccess,
    database: &TenantDatabase,
    path: &MessagePath,
) -> Result<Message, Problem> {
    visible_thread(app, access, database, path.thread).await?;
    match threads::message(database, path.thread, path.message).await {
        Ok(Some(message)) if message.author != Author::Person => Ok(message),
        Ok(_) => Err(Problem::not_found()),
        Err(error) => Err(database_problem(app, access, error).await),
    }
}

/// Where forms return to if no script handles the response.
fn back(access: &WorkspaceAccess, path: &MessagePath) -> Response {
    let workspace = &access.workspace.id;
    let (thread, message) = (path.thread, path.message);
    Redirect::to(&format!("/w/{workspace}/chat/{thread}#message-{message}")).into_response()
}

fn is_fragment(headers: &HeaderMap) -> bool {
    AcceptedFormat::from_headers(headers) == AcceptedFormat::Fragment
}

pub(super) async fn stop(
    State(app): State<App>,
    access: WorkspaceAccess,
    headers: HeaderMap,
    Path(path): Path<MessagePath>,
) -> Result<Response, Problem> {
    let database = database(&app, &access).await?;
    let message = find(&app, &access, &database, &path).await?;
    let stopped = app
        .ask
        .stop(&access.workspace, &database, &message, access.user.id)
        .await;
    // An answer that has just completed needs no stop.
    if let Err(error) = stopped {
        return Err(database_problem(&app, &access, error).await);
    }
    if is_fragment(&headers) {
        // The event stream sends the final state of the answer.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(back(&access, &path))
}

pub(super) async fn regenerate(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Path(path): Path<MessagePath>,
) -> Result<Response, Problem> {
    let database = database(&app, &access).await?;
    // Also if the answer is being written already.
    find(&app, &access, &database, &path).await?;
    let model = app.models.chat_model().map(llm::ChatModel::name);
    let started = threads::regenerate(&database, path.thread, path.message, model).await;
    match started {
        Ok(_) => {}
        Err(AskError::Database(error)) => {
            return Err(database_problem(&app, &access, error).await);
        }
        Err(error) => return Err(problem(error, &access)),
    }
    // If this fails, the event stream that the page opens starts the answer.
    if let Err(error) = app.ask.start_answer(&access.workspace, path.message).await {
        tracing::debug!(%error, "answer not started; its event stream will start it");
    }
    if !is_fragment(&headers) {
        return Ok(back(&access, &path));
    }
    let answer = find(&app, &access, &database, &path).await?;
    let view = views::answer(answer, &AnswerContext::default());
    let form_context = access.form_context(context.now);
    Ok(pages::answer(form_context, path.thread, &view).into_response())
}

#[derive(Deserialize)]
pub(super) struct RatingForm {
    /// `good`, `bad`, or anything else for none.
    #[serde(default)]
    rating: String,
}

pub(super) async fn rate(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Path(path): Path<MessagePath>,
    Form(form): Form<RatingForm>,
) -> Result<Response, Problem> {
    let database = database(&app, &access).await?;
    visible_thread(&app, &access, &database, path.thread).await?;
    let rating: Option<Rating> = form.rating.parse().ok();
    let user = access.user.id;
    match threads::rate(&database, path.thread, path.message, user, rating).await {
        Ok(true) => {}
        Ok(false) => return Err(Problem::not_found()),
        Err(error) if lacks_migration(&error) => {
            return Err(not_migrated("Your rating wasn\u{2019}t saved."));
        }
        Err(error) => return Err(database_problem(&app, &access, error).await),
    }
    if !is_fragment(&headers) {
        return Ok(back(&access, &path));
    }
    let form_context = access.form_context(context.now);
    let rating = RatingView::from(rating);
    Ok(pages::rating_form(form_context, path.thread, path.message, rating).into_response())
}

#[derive(Deserialize)]
pub(super) struct CopyParams {
    /// `no` leaves the citations out.
    #[serde(default)]
    citations: String,
}

/// The answer as Markdown.
pub(super) async fn text(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<MessagePath>,
    Query(params): Query<CopyParams>,
) -> Result<Response, Problem> {
    let database = database(&app, &access).await?;
    let answer = find(&app, &access, &database, &path).await?;
    if answer.state == MessageState::Pending {
        return Err(Problem::not_found());
    }
    let text = copied::text(&answer, params.citations != "no");
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
