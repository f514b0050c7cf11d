//! Questions that users ask.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::pages::{self, ChatPage};
use super::views::{self, AnswerContext};
use super::{database, database_problem, document_not_available, page, problem, visible_thread};
use crate::ask::threads::{self, AskedQuestion, QuestionTarget};
use crate::ask::{AskError, InvalidQuestion, MAX_QUESTION_CHARS, Question};
use crate::ids::{DocumentId, ThreadId};
use crate::telemetry::QuestionOutcome;
use crate::web::shared::error::AcceptedFormat;
use crate::web::shared::extract::{Form, WorkspaceAccess};
use crate::web::shared::pages::PageContext;
use crate::web::shared::{App, Problem};

/// The fields of the question form.
#[derive(Debug, Default)]
struct QuestionForm {
    question: String,
    /// `None` for a new conversation.
    thread: Option<ThreadId>,
    /// The documents to search; empty for all. `None` keeps the documents of the conversation.
    documents: Option<Vec<DocumentId>>,
    /// The documents of the conversation when the page was rendered.
    shown: Option<HashSet<DocumentId>>,
}

impl QuestionForm {
    /// Each field `document` whose value is not empty adds one.
    fn from_fields(fields: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "question" => form.question = value,
                "thread" if !value.is_empty() => {
                    form.thread = Some(value.parse().map_err(|_| Problem::not_found())?);
                }
                "document" => {
                    let documents = form.documents.get_or_insert_default();
                    if !value.is_empty() {
                        documents.push(value.parse().map_err(|_| document_not_available())?);
                    }
                }
                "shown" => {
                    let shown = value.split_whitespace().map(str::parse);
                    form.shown = shown.collect::<Result<_, _>>().ok();
                }
                _ => {}
            }
        }
        Ok(form)
    }

    /// The selected documents, unless the user has not changed the selection. Another member may have
    /// done so since.
    fn changed_documents(&self) -> Option<&[DocumentId]> {
        let documents = self.documents.as_deref()?;
        let selected = documents.iter().copied().collect();
        (self.shown.as_ref() != Some(&selected)).then_some(documents)
    }

    fn target(&self) -> QuestionTarget<'_> {
        match (self.thread, self.changed_documents()) {
            (None, _) => QuestionTarget::NewThread(self.documents.as_deref().unwrap_or_default()),
            (Some(thread), None) => QuestionTarget::Thread(thread),
            (Some(thread), Some(documents)) => QuestionTarget::ThreadAbout(thread, documents),
        }
    }
}

pub(super) async fn ask(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let form = QuestionForm::from_fields(fields)?;
    let is_fragment = AcceptedFormat::from_headers(&headers) == AcceptedFormat::Fragment;
    let question: Question = match form.question.parse() {
        Ok(question) => question,
        Err(error) => {
            app.metrics.answers.question(QuestionOutcome::Invalid);
            if is_fragment {
                return Err(Problem::invalid_input(message(error)));
            }
            return invalid_question(&app, &access, &context, form, error).await;
        }
    };
    let asked = insert_question(&app, &access, &question, form.target()).await?;
    // If this fails, the event stream that the page opens starts the answer.
    if let Err(error) = app
        .ask
        .start_answer(&access.workspace, asked.answer.id)
        .await
    {
        tracing::debug!(%error, "answer not started; its event stream will start it");
    }
    if !is_fragment || form.thread.is_none() {
        let path = format!("/w/{}/chat/{}", access.workspace.id, asked.thread);
        return Ok(Redirect::to(&path).into_response());
    }
    let asked_by = Some(access.user.display_name.clone());
    let database = database(&app, &access).await?;
    let thread = visible_thread(&app, &access, &database, asked.thread).await?;
    let documents = match threads::documents(&database).await {
        Ok(documents) => documents.into_iter().map(views::choice).collect::<Vec<_>>(),
        Err(error) => return Err(database_problem(&app, &access, error).await),
    };
    Ok(pages::exchange(
        access.form_context(context.now),
        asked.thread,
        &views::scope(thread.documents),
        &documents,
        &views::question(&asked.question, asked_by),
        &views::answer(asked.answer, &AnswerContext::default()),
    )
    .into_response())
}

async fn insert_question(
    app: &App,
    access: &WorkspaceAccess,
    question: &Question,
    target: QuestionTarget<'_>,
) -> Result<AskedQuestion, Problem> {
    let model = app.models.chat_model().map(llm::ChatModel::name);
    let insert = async {
        let database = app.ask.database(&access.workspace).await?;
        threads::ask(&database, access.user.id, question, target, model).await
    };
    let asked = insert.await;
    app.metrics.answers.question(match &asked {
        Ok(_) => QuestionOutcome::Accepted,
        Err(AskError::Unavailable(_) | AskError::Database(_) | AskError::NotMigrated) => {
            QuestionOutcome::Unavailable
        }
        Err(AskError::ThreadNotFound | AskError::DocumentNotFound | AskError::TooManyDocuments) => {
            QuestionOutcome::Invalid
        }
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
    form: QuestionForm,
    error: InvalidQuestion,
) -> Result<Response, Problem> {
    let view = ChatPage {
        chosen: form.documents.unwrap_or_default(),
        draft: form.question,
        error: Some(message(error)),
        ..page(app, access, form.thread, "").await?
    };
    let markup = pages::page(context, access.form_context(context.now), &view);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, markup).into_response())
}

fn message(error: InvalidQuestion) -> String {
    match error {
        InvalidQuestion::Empty => "Enter a question.".to_owned(),
        InvalidQuestion::TooLong => {
            format!("Shorten your question to at most {MAX_QUESTION_CHARS} characters.")
        }
    }
}
