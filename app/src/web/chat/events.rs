//! The event stream of an answer that is being written.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use maud::Markup;

use super::pages::{self, EVENT_DONE, EVENT_STATUS, EVENT_TEXT};
use super::views::{self, AnswerContext};
use super::{MessagePath, answer_context, answers, database, visible_thread};
use crate::ask::threads::{self, AnswerNotes};
use crate::ask::{AnswerProgress, AnswerUpdate, Message};
use crate::ids::{DocumentId, MessageId, ThreadId};
use crate::web::shared::extract::{Path, PeriodicAccessCheck, WorkspaceAccess};
use crate::web::shared::pages::FormContext;
use crate::web::shared::{App, Problem};

/// Keeps proxies from closing the connection while the model produces no output.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

struct AnswerEvents {
    app: App,
    access: WorkspaceAccess,
    thread: ThreadId,
    /// The documents that the conversation is limited to; empty for all.
    scope: Vec<DocumentId>,
    updates: Pin<Box<dyn Stream<Item = AnswerUpdate> + Send>>,
    last_progress: Option<AnswerProgress>,
    sent_text: SentText,
    access_check: PeriodicAccessCheck,
}

pub(super) async fn events(
    State(app): State<App>,
    access: WorkspaceAccess,
    Path(path): Path<MessagePath>,
) -> Result<Response, Problem> {
    let database = database(&app, &access).await?;
    let found = async {
        answers::find(&app, &access, &database, &path).await?;
        visible_thread(&app, &access, &database, path.thread).await
    };
    let thread = match found.await {
        Ok(thread) => thread,
        // After an error, htmx would connect again and again.
        Err(problem) if problem.status == StatusCode::NOT_FOUND => {
            let end = event(EVENT_DONE, pages::unavailable_answer());
            return Ok(respond(stream::once(std::future::ready(end))));
        }
        Err(problem) => return Err(problem),
    };
    // The stream may last for minutes. Return the connection to the pool.
    drop(database);
    let updates = app.ask.follow(&access.workspace, path.thread, path.message);
    let state = AnswerEvents {
        updates: Box::pin(updates),
        app,
        access,
        thread: path.thread,
        scope: views::ids(&thread.documents),
        last_progress: None,
        sent_text: SentText::default(),
        access_check: PeriodicAccessCheck::new(),
    };
    let events = stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((event, state))
    });
    Ok(respond(events))
}

fn respond(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    Sse::new(events.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL))
        .into_response()
}

impl AnswerEvents {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let update = self.updates.next().await?;
            if !self.is_still_allowed().await {
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
                    let view = views::answer(*message, &AnswerContext::default());
                    let html = pages::answer_text(self.form_context(), &view);
                    if let Some(change) = self.sent_text.change(data(html)) {
                        return Some(Event::default().event(EVENT_TEXT).data(change));
                    }
                }
                AnswerUpdate::Ended(message) => return Some(self.ended(*message).await),
            }
        }
    }

    /// Checks access to the workspace and to the conversation from time to time.
    async fn is_still_allowed(&mut self) -> bool {
        let is_due = self.access_check.is_due();
        let is_member = self.access_check.still_allowed(&self.app, &self.access);
        is_member.await && (!is_due || self.sees_thread().await)
    }

    /// Whether the user sees the conversation. A failed lookup counts as no.
    async fn sees_thread(&mut self) -> bool {
        let Ok(database) = self.app.ask.database(&self.access.workspace).await else {
            return false;
        };
        let found = threads::find(&database, self.thread, self.access.user.id).await;
        matches!(found, Ok(Some(_)))
    }

    async fn ended(&mut self, message: Message) -> Event {
        let messages = std::slice::from_ref(&message);
        let notes = notes(&self.app, &self.access, self.thread).await;
        let context = answer_context(&self.app, &self.access, &self.scope, messages, notes).await;
        let context = context.unwrap_or_else(|error| {
            // The answer matters more; reloading the page shows the notes.
            tracing::warn!(%error, "failed to read the page reports of the cited documents");
            AnswerContext::default()
        });
        let view = views::answer(message, &context);
        event(
            EVENT_DONE,
            pages::answer(self.form_context(), self.thread, &view),
        )
    }

    fn form_context(&self) -> FormContext<'_> {
        self.access.form_context(Timestamp::now())
    }
}

/// Without them, the answer cannot be rated until the page is reloaded.
async fn notes(
    app: &App,
    access: &WorkspaceAccess,
    thread: ThreadId,
) -> Option<HashMap<MessageId, AnswerNotes>> {
    let database = app.ask.database(&access.workspace).await.ok()?;
    let notes = threads::notes(&database, thread, access.user.id).await;
    notes.unwrap_or_else(|error| {
        tracing::warn!(error = %service_kit::error_chain(&error), "failed to read the notes of an answer");
        None
    })
}

/// The HTML of the answer's text that the client has.
#[derive(Debug, Default)]
struct SentText(String);

impl SentText {
    /// The data of the event that turns the client's HTML into this one: how many UTF-16 code units
    /// of it stay, a colon, and what follows them. `None` if nothing changed.
    fn change(&mut self, html: String) -> Option<String> {
        let same: usize = self
            .0
            .chars()
            .zip(html.chars())
            .take_while(|(before, now)| before == now)
            .map(|(character, _)| character.len_utf8())
            .sum();
        if same == html.len() && same == self.0.len() {
            return None;
        }
        let (kept, added) = html.split_at(same);
        let change = format!("{}:{added}", kept.encode_utf16().count());
        self.0 = html;
        Some(change)
    }
}

fn event(name: &str, fragment: Markup) -> Event {
    Event::default().event(name).data(data(fragment))
}

/// Newlines are significant in the text, and the SSE encoding preserves them. A carriage return
/// would end a line.
fn data(fragment: Markup) -> String {
    fragment.into_string().replace('\r', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the client does with an event.
    fn applied(client: &str, change: &str) -> String {
        let (kept, added) = change.split_once(':').expect("a colon");
        let kept: usize = kept.parse().expect("a number");
        let kept: Vec<u16> = client.encode_utf16().take(kept).collect();
        String::from_utf16(&kept).expect("whole characters") + added
    }

    proptest! {
        #[test]
        fn the_client_has_the_same_html_after_every_event(texts in prop::collection::vec("(<p>|</p>|:|\\PC){0,20}", 1..8)) {
            let (mut sent, mut client) = (SentText::default(), String::new());
            for text in texts {
                if let Some(change) = sent.change(text.clone()) {
                    client = applied(&client, &change);
                }
                prop_assert_eq!(&client, &text);
            }
        }
    }

    #[test]
    fn only_the_end_of_a_growing_text_is_sent() {
        let mut sent = SentText::default();
        assert_eq!(
            sent.change("<p>One</p>".into()),
            Some("0:<p>One</p>".into())
        );
        assert_eq!(sent.change("<p>One</p>".into()), None);
        assert_eq!(
            sent.change("<p>One two</p>".into()),
            Some("6: two</p>".into())
        );
    }
}
