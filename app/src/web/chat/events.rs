//! An answer while it is written.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use maud::Markup;

use super::pages::{self, EVENT_DONE, EVENT_STATUS, EVENT_TEXT};
use super::{MessagePath, failed, place, views};
use crate::ask::{Author, AnswerUpdate, Message, AnswerProgress, threads};
use crate::ids::ThreadId;
use crate::web::shared::extract::{Path, PeriodicAccessCheck, WorkspaceAccess};
use crate::web::shared::{App, Problem};

use crate::web::shared::unavailable;

/// Keeps proxies from taking the connection for dead while the model thinks.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Watch {
    app: App,
    access: WorkspaceAccess,
    thread: ThreadId,
    /// The question, for the answer's last form.
    asked: String,
    news: Pin<Box<dyn Stream<Item = AnswerUpdate> + Send>>,
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
        match message.filter(|message| message.author != Author::Person) {
            Some(answer) => threads::question_of(&database, &answer).await,
            None => Ok(None),
        }
    };
    let asked = match read.await {
        Ok(Some(asked)) => asked,
        // A browser asks for a stream again and again, but not after this.
        Ok(None) => return Err(Problem::not_found()),
        Err(error) => return Err(failed(&app, &access, error).await),
    };
    // Reading along may take minutes, and not every minute of them a connection.
    drop(database);
    let news = app.ask.follow(&access.workspace, path.thread, path.message);
    let watch = Watch {
        news: Box::pin(news),
        app,
        access,
        thread: path.thread,
        asked,
        last_progress: None,
        access_check: PeriodicAccessCheck::new(),
    };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let followed = self.news.next().await?;
            if !self.access_check.still_allowed(&self.app, &self.access).await {
                return None;
            }
            match followed {
                AnswerUpdate::Progress(progress) if self.last_progress == Some(progress) => {}
                AnswerUpdate::Progress(progress) => {
                    self.last_progress = Some(progress);
                    let words = pages::answer_status(match progress {
                        AnswerProgress::Searching => pages::AnswerProgress::Searching,
                        AnswerProgress::Reading(passages) => pages::AnswerProgress::Reading { passages },
                        AnswerProgress::Writing => pages::AnswerProgress::Writing,
                    });
                    return Some(event(EVENT_STATUS, words));
                }
                AnswerUpdate::Text(message) => {
                    let view = views::answer(*message, String::new());
                    let text = pages::answer_text(self.place(), &view);
                    return Some(event(EVENT_TEXT, text));
                }
                AnswerUpdate::Ended(message) => return Some(self.ended(*message)),
            }
        }
    }

    fn ended(&self, message: Message) -> Event {
        let view = views::answer(message, self.asked.clone());
        event(EVENT_DONE, pages::answer(self.place(), self.thread, &view))
    }

    fn place(&self) -> pages::ChatPlace<'_> {
        place(&self.access, Timestamp::now())
    }
}

fn event(name: &str, fragment: Markup) -> Event {
    // Lines may matter in a fragment and are kept as lines of the event; a carriage return would end one early.
    Event::default()
        .event(name)
        .data(fragment.into_string().replace('\r', " "))
}
