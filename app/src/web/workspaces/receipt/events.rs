//! A removal as it goes on: its panel, over one stream a page, until it is finished.
//!
//! Whoever has the link may listen, as they may look; so many at once, since most of them are nobody that could be counted by.

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

/// The row is looked at after so long also without news, which may have been missed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A stream ends after so long; the browser asks again by itself.
const STREAM_LASTS: Duration = Duration::from_mins(10);

struct Watch {
    app: App,
    path: ReceiptPath,
    news: Pin<Box<dyn Stream<Item = ()> + Send>>,
    /// The panel as it was told last; what is the same is not told again.
    told: Option<String>,
    ends_at: Instant,
    _permit: StreamPermit,
}

pub(super) async fn events(
    State(app): State<App>,
    Path(path): Path<ReceiptPath>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (removal, _) = find(&app, path.clone()).await?;
    let watch = Watch {
        _permit: app.streams.acquire(Subscriber::Receipt(removal))?,
        // First the ears, then the eyes: what happens between is heard.
        news: Box::pin(app.events.subscribe_to_removal(removal)),
        app,
        path,
        told: None,
        ends_at: Instant::now() + STREAM_LASTS,
    };
    let events = stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        let (event, is_last) = watch.next().await?;
        Some((Ok(event), (!is_last).then_some(watch)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl Watch {
    /// The next thing to tell, and whether it is the last. `None` ends the stream, and so does trouble: the browser comes back.
    async fn next(&mut self) -> Option<(Event, bool)> {
        loop {
            if self.told.is_some() {
                if Instant::now() >= self.ends_at {
                    return None;
                }
                let until = self.ends_at.min(Instant::now() + LOOK_AGAIN);
                let _ = timeout_at(until, self.news.next()).await;
            }
            let (_, view) = find(&self.app, self.path.clone()).await.ok()?;
            let html = panel(&view).into_string();
            if self.told.as_deref() == Some(html.as_str()) {
                continue;
            }
            let is_last = view.finished_at.is_some();
            let name = if is_last { EVENT_ENDED } else { EVENT_CHANGED };
            // An event's data is lines; HTML knows no difference between a line's end and a space.
            let data = html.replace(['\r', '\n'], " ");
            self.told = Some(html);
            return Some((Event::default().event(name).data(data), is_last));
        }
    }
}
