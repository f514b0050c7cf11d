//! The event stream of the document list, which sends changed rows as fragments.
//!
//! The stream ends after [`MAX_STREAM_DURATION`], or when the user's access ends. Browsers
//! reconnect, and users who still have access receive the whole list first.

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::FutureExt as _;
use futures::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use maud::Markup;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::pages::{self, EVENT_DOCUMENT, EVENT_LIST};
use super::{list_view, views};
use crate::documents;
use crate::events::{EventKind, Notification};
use crate::ids::DocumentId;
use crate::web::shared::App;
use crate::web::shared::Problem;
use crate::web::shared::extract::{PeriodicAccessCheck, WorkspaceAccess};

/// After this time the browser has to reconnect, which checks its session again.
const MAX_STREAM_DURATION: Duration = Duration::from_mins(10);
/// Between two transfers of the whole list. Changes in between are combined.
const MIN_LIST_INTERVAL: Duration = Duration::from_millis(500);
/// Keeps proxies from closing the idle connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

type Notifications = Pin<Box<dyn Stream<Item = Notification> + Send>>;

struct ListEvents {
    app: App,
    access: WorkspaceAccess,
    notifications: Notifications,
    /// Documents whose rows the page shows.
    shown: HashSet<DocumentId>,
    ends_at: Instant,
    access_check: PeriodicAccessCheck,
    /// When the whole list was last sent. `None` at the beginning.
    listed_at: Option<Instant>,
}

pub(super) async fn events(
    State(app): State<App>,
    access: WorkspaceAccess,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // Subscribe before reading the rows, so that no change in between is missed.
    let notifications: Notifications = Box::pin(app.events.subscribe(&access.workspace.id));
    let now = Instant::now();
    let state = ListEvents {
        app,
        access,
        notifications,
        shown: HashSet::new(),
        ends_at: now + MAX_STREAM_DURATION,
        access_check: PeriodicAccessCheck::new(),
        listed_at: None,
    };
    let events = stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((Ok(event), state))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL))
}

impl ListEvents {
    /// The next event. `None` ends the stream, including after an error: the browser reconnects.
    async fn next(&mut self) -> Option<Event> {
        if self.listed_at.is_none() {
            return self.list().await.ok();
        }
        loop {
            let notification = timeout_at(self.ends_at, self.notifications.next())
                .await
                .ok()??;
            if !self
                .access_check
                .still_allowed(&self.app, &self.access)
                .await
            {
                return None;
            }
            let event = match notification {
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
                let form_context = self.access.form_context(Timestamp::now());
                let row = pages::row_update(form_context, &views::document(&row));
                Ok(event(EVENT_DOCUMENT, row))
            }
            // A new or deleted document changes the list.
            _ => self.list().await,
        }
    }

    /// The whole list, which includes all changes up to now.
    async fn list(&mut self) -> Result<Event, Problem> {
        if let Some(listed_at) = self.listed_at {
            sleep_until(listed_at + MIN_LIST_INTERVAL).await;
        }
        while self.notifications.next().now_or_never().flatten().is_some() {}
        self.listed_at = Some(Instant::now());
        let view = list_view(&self.app, &self.access).await?;
        self.shown = view.documents.iter().map(|document| document.id).collect();
        let form_context = self.access.form_context(Timestamp::now());
        Ok(event(EVENT_LIST, pages::list_update(form_context, &view)))
    }
}

fn event(name: &str, fragment: Markup) -> Event {
    // SSE splits data at newlines. In HTML, a space is equivalent.
    Event::default()
        .event(name)
        .data(fragment.into_string().replace(['\r', '\n'], " "))
}
