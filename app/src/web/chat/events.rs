//! The event stream of an answer that is being written.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use maud::Markup;

use super::pages::{self, EVENT_DONE, EVENT_STATUS, EVENT_TEXT};
use super::views::{self, AnswerContext};
use super::{MessagePath, answer_context, database_problem};
use crate::ask::{AnswerProgress, AnswerUpdate, Author, Message, threads};
use crate::ids::{DocumentId, ThreadId};
use crate::web::shared::extract::{Path, PeriodicAccessCheck, WorkspaceAccess};
use crate::web::shared::pages::FormContext;
use crate::web::shared::{App, Problem, unavailable};

/// Keeps proxies from closing the connection while the model produces no output.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

struct AnswerEvents {
    app: App,
    access: WorkspaceAccess,
    thread: ThreadId,
    question: String,
    /// The document that the conversation is limited to.
    scope: Option<DocumentId>,
    updates: Pin<Box<dyn Stream<Item = AnswerUpdate> + Send>>,
    last_progress: Option<AnswerProgress>,
    access_check: PeriodicAccessCheck,
}

pub(super) async fn events(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<MessagePath>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let database = app
        .ask
        .database(&access.workspace)
        .await
        .map_err(|reason| unavailable::problem(&reason, &access.workspace.id))?;
    let read = async {
        let message = threads::message(&database, path.thread, path.message).await?;
        let Some(answer) = message.filter(|message| message.author != Author::Person) else {
            return Ok(None);
        };
        let question = threads::question_of(&database, &answer).await?;
        let thread = threads::find(&database, path.thread).await?;
        Ok(question.zip(thread))
    };
    let (question, thread) = match read.await {
        Ok(Some(found)) => found,
        // A 404 keeps the browser from reconnecting.
        Ok(None) => return Err(Problem::not_found()),
        Err(error) => return Err(database_problem(&app, &access, error).await),
    };
    // The stream may last for minutes. Return the connection to the pool.
    drop(database);
    let updates = app.ask.follow(&access.workspace, path.thread, path.message);
    let state = AnswerEvents {
        updates: Box::pin(updates),
        app,
        access,
        thread: path.thread,
        question,
        scope: thread.document.map(|(document, _)| document),
        last_progress: None,
        access_check: PeriodicAccessCheck::new(),
    };
    let events = stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((Ok(event), state))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)))
}

impl AnswerEvents {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let update = self.updates.next().await?;
            if !self
                .access_check
                .still_allowed(&self.app, &self.access)
                .await
            {
                return None;
            }
            match update {
                AnswerUpdate::Progress(progress) if self.last_progress == Some(progress) => {}
                AnswerUpdate::Progress(progress) => {
                    self.last_progress = Some(progress);
                    let status = pages::answer_status(match progress {
                        AnswerProgress::Searching => pages::Progress::Searching,
                        AnswerProgress::Reading(passages) => pages::Progress::Reading { passages },
                        AnswerProgress::Writing => pages::Progress::Writing,
                    });
                    return Some(event(EVENT_STATUS, status));
                }
                AnswerUpdate::Text(message) => {
                    let view = views::answer(*message, String::new(), &AnswerContext::default());
                    let text = pages::answer_text(self.form_context(), &view);
                    return Some(event(EVENT_TEXT, text));
                }
                AnswerUpdate::Ended(message) => return Some(self.ended(*message).await),
            }
        }
    }

    async fn ended(&mut self, message: Message) -> Event {
        let messages = std::slice::from_ref(&message);
        let context = answer_context(&self.app, &self.access, self.scope, messages).await;
        let context = context.unwrap_or_else(|error| {
            // The answer matters more; reloading the page shows the notes.
            tracing::warn!(%error, "failed to read the page reports of the cited documents");
            AnswerContext::default()
        });
        let view = views::answer(message, self.question.clone(), &context);
        event(
            EVENT_DONE,
            pages::answer(self.form_context(), self.thread, &view),
        )
    }

    fn form_context(&self) -> FormContext<'_> {
        self.access.form_context(Timestamp::now())
    }
}

fn event(name: &str, fragment: Markup) -> Event {
    // Newlines are significant in the text, and the SSE encoding preserves them. A carriage return
    // would end a line.
    Event::default()
        .event(name)
        .data(fragment.into_string().replace('\r', " "))
}
