//! Streams of events: a bounded number for each listener, and an end when the process stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::Problem;
use crate::ids::{DeletionId, UserId};

/// Streams of one listener that are open at once. Browsers open one or two a tab.
pub const STREAMS_PER_LISTENER_MAX: usize = 40;
/// When somebody with too many of them may try again.
const RETRY_AFTER_S: u64 = 10;

/// Who has how many streams open; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<HashMap<Listener, usize>>>);

/// Whose streams are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::web) enum Listener {
    /// Whoever is signed in.
    User(UserId),
    /// Whoever has the link to this removal's receipt: they need not be signed in, and most are not any more.
    Receipt(DeletionId),
}

/// A place among a listener's streams, given back when it is dropped.
#[derive(Debug)]
pub(in crate::web) struct Place {
    listener: Listener,
    streams: Streams,
}

impl Streams {
    /// Takes a place, if there is one left.
    pub(in crate::web) fn enter(&self, listener: Listener) -> Result<Place, Problem> {
        let mut open = self.lock();
        let count = open.entry(listener).or_default();
        if *count >= STREAMS_PER_LISTENER_MAX {
            return Err(Problem::too_many(RETRY_AFTER_S));
        }
        *count += 1;
        drop(open);
        Ok(Place {
            listener,
            streams: self.clone(),
        })
    }

    /// How many streams are open.
    pub fn open(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Listener, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.listener) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.listener);
            }
        }
    }
}

/// The answer, which ends when the process is asked to stop, and keeps its place until it ends.
pub(in crate::web) fn ending(
    response: Response,
    stop: &CancellationToken,
    place: Option<Place>,
) -> Response {
    if !response.status().is_success() {
        return response;
    }
    // Events may end anywhere. An archive may not: cut off, it has to be seen to be.
    let may_end = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/event-stream");
    let stop = stop.clone();
    response.map(|body| {
        let cut_off = stream::once(std::future::ready(stop.clone())).filter_map(move |stop| {
            let error = || axum::Error::new(std::io::Error::other("the process stops"));
            std::future::ready((!may_end && stop.is_cancelled()).then(|| Err(error())))
        });
        let until_stop = body
            .into_data_stream()
            .take_until(stop.cancelled_owned())
            .chain(cut_off)
            .map(move |chunk| {
                let _held = &place;
                chunk
            });
        Body::from_stream(until_stop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_so_many_streams_and_gets_places_back() {
        let (streams, user) = (Streams::default(), Listener::User(UserId::random()));
        let places: Vec<Place> = (0..STREAMS_PER_LISTENER_MAX)
            .map(|_| streams.enter(user).expect("a place"))
            .collect();
        assert!(streams.enter(user).is_err());
        let receipt = Listener::Receipt(DeletionId::random());
        assert!(streams.enter(receipt).is_ok());
        drop(places);
        assert!(streams.enter(user).is_ok());
        assert_eq!(streams.open(), 0, "nobody is remembered for nothing");
    }

    fn endless(kind: &'static str) -> Response {
        let chunks = stream::iter(["data: 1\n\n"])
            .chain(stream::pending())
            .map(Ok::<_, std::convert::Infallible>);
        let mut answer = Response::new(Body::from_stream(chunks));
        let kind = axum::http::HeaderValue::from_static(kind);
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }

    #[tokio::test]
    async fn events_end_when_the_process_is_asked_to_stop() {
        let (streams, stop) = (Streams::default(), CancellationToken::new());
        let place = streams
            .enter(Listener::User(UserId::random()))
            .expect("a place");
        let answer = ending(endless("text/event-stream"), &stop, Some(place));
        let mut body = answer.into_body().into_data_stream();
        assert!(body.next().await.is_some());
        assert_eq!(streams.open(), 1);
        stop.cancel();
        assert!(body.next().await.is_none());
        drop(body);
        assert_eq!(streams.open(), 0);
    }

    #[tokio::test]
    async fn an_archive_that_is_cut_off_does_not_look_complete() {
        let stop = CancellationToken::new();
        let answer = ending(endless("application/zip"), &stop, None);
        let mut body = answer.into_body().into_data_stream();
        assert!(matches!(body.next().await, Some(Ok(_))));
        stop.cancel();
        assert!(matches!(body.next().await, Some(Err(_))));
    }
}
