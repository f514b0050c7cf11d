//! The event stream of a receipt, which sends the panel until the deletion is finished.
//!
//! Everyone with the link may read it. Streams are limited per receipt, because most readers have
//! no session.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::{ReceiptPath, find};
use crate::web::shared::extract::Path;
use crate::web::shared::streams::{StreamPermit, Subscriber};
use crate::web::shared::{App, Problem};
use crate::web::workspaces::pages::receipt::{EVENT_CHANGED, EVENT_ENDED, panel};

/// Without notifications, which may be lost, the row is read again after this time.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// After this time the browser has to reconnect.
const MAX_STREAM_DURATION: Duration = Duration::from_mins(10);

struct ReceiptEvents {
    app: App,
    path: ReceiptPath,
    notifications: Pin<Box<dyn Stream<Item = ()> + Send>>,
    /// The panel that was sent last. An unchanged panel is not sent again.
    last_sent: Option<String>,
    ends_at: Instant,
    _permit: StreamPermit,
}

pub(super) async fn events(
    State(app): State<App>,
    Path(path): Path<ReceiptPath>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (deletion, _) = find(&app, path.clone()).await?;
    let state = ReceiptEvents {
        _permit: app.streams.acquire(Subscriber::Receipt(deletion))?,
        // Subscribe before reading the row, so that no change in between is missed.
        notifications: Box::pin(app.events.subscribe_to_deletion(deletion)),
        app,
        path,
        last_sent: None,
        ends_at: Instant::now() + MAX_STREAM_DURATION,
    };
    let events = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let (event, is_last) = state.next().await?;
        Some((Ok(event), (!is_last).then_some(state)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl ReceiptEvents {
    /// The next event, and whether it is the last. `None` ends the stream, also after an error: the
    /// browser reconnects.
    async fn next(&mut self) -> Option<(Event, bool)> {
        loop {
            if self.last_sent.is_some() {
                if Instant::now() >= self.ends_at {
                    return None;
                }
                let until = self.ends_at.min(Instant::now() + POLL_INTERVAL);
                let _ = timeout_at(until, self.notifications.next()).await;
            }
            let (_, view) = find(&self.app, self.path.clone()).await.ok()?;
            let html = panel(&view).into_string();
            if self.last_sent.as_deref() == Some(html.as_str()) {
                continue;
            }
            let is_last = view.finished_at.is_some();
            let name = if is_last { EVENT_ENDED } else { EVENT_CHANGED };
            // SSE splits data at newlines. In HTML, a space is equivalent.
            let data = html.replace(['\r', '\n'], " ");
            self.last_sent = Some(html);
            return Some((Event::default().event(name).data(data), is_last));
        }
    }
}
