//! The list as it changes: rows as fragments, over one stream a page.
//!
//! The stream ends by itself after some minutes and when the person is no member any more; browsers connect again, and whoever may still
//! look gets the whole list first.

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use maud::Markup;
use tokio::time::{Instant, timeout_at};

use super::pages::{self, EVENT_DOCUMENT, EVENT_LIST};
use super::{list_view, place, views};
use crate::documents;
use crate::events::{Notification, EventKind};
use crate::ids::DocumentId;
use crate::web::shared::App;
use crate::web::shared::Problem;
use crate::web::shared::extract::{PeriodicAccessCheck, WorkspaceAccess};

/// After so long the browser has to ask anew, with its session looked at again.
const STREAM_LIMIT: Duration = Duration::from_mins(10);
/// Keeps proxies from taking the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Signals = Pin<Box<dyn Stream<Item = Notification> + Send>>;

struct Watch {
    app: App,
    access: WorkspaceAccess,
    signals: Signals,
    /// Documents whose rows the page has.
    shown: HashSet<DocumentId>,
    ends_at: Instant,
    access_check: PeriodicAccessCheck,
    is_first: bool,
}

pub(super) async fn events(
    State(app): State<App>,
    access: WorkspaceAccess,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // First the ears, then the eyes: what happens between is heard.
    let signals: Signals = Box::pin(app.events.subscribe(&access.workspace.id));
    let now = Instant::now();
    let watch = Watch {
        app,
        access,
        signals,
        shown: HashSet::new(),
        ends_at: now + STREAM_LIMIT,
        access_check: PeriodicAccessCheck::new(),
        is_first: true,
    };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Watch {
    /// The next thing to tell; `None` ends the stream, and so does trouble: the browser comes back.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_first) {
            return self.list().await.ok();
        }
        loop {
            let signal = timeout_at(self.ends_at, self.signals.next()).await.ok()??;
            if !self.access_check.still_allowed(&self.app, &self.access).await {
                return None;
            }
            let event = match signal {
                Notification::Resync => Some(self.list().await.ok()?),
                Notification::Event(event) => match event.kind {
                    EventKind::Document(document) => Some(self.document(document).await.ok()?),
                    EventKind::Workspace => None,
                },
            };
            if let Some(event) = event {
                return Some(event);
            }
        }
    }

    async fn document(&mut self, id: DocumentId) -> Result<Event, Problem> {
        let row = documents::find(&self.app.database, &self.access.workspace.id, id).await?;
        match row {
            Some(row) if self.shown.contains(&id) => {
                let here = place(&self.access, Timestamp::now());
                let row = pages::row_update(here, &views::document(&row));
                Ok(event(EVENT_DOCUMENT, row))
            }
            // One that came or went changes the list.
            _ => self.list().await,
        }
    }

    async fn list(&mut self) -> Result<Event, Problem> {
        let view = list_view(&self.app, &self.access).await?;
        self.shown = view.documents.iter().map(|document| document.id).collect();
        let here = place(&self.access, Timestamp::now());
        Ok(event(EVENT_LIST, pages::list_update(here, &view)))
    }
}

fn event(name: &str, fragment: Markup) -> Event {
    // An event's data is lines; HTML knows no difference between a line's end and a space.
    Event::default()
        .event(name)
        .data(fragment.into_string().replace(['\r', '\n'], " "))
}
