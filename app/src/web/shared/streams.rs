//! Streams of events: a bounded number for each subscriber, and an end when the process stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::Problem;
use crate::ids::{DeletionId, UserId};

/// Streams of one subscriber that are open at once. Browsers open one or two a tab.
pub const MAX_STREAMS_PER_SUBSCRIBER: usize = 40;
/// When somebody with too many of them may try again.
const RETRY_AFTER_SECONDS: u64 = 10;

/// Who has how many streams open; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<HashMap<Subscriber, usize>>>);

/// Whose streams are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::web) enum Subscriber {
    /// Whoever is signed in.
    User(UserId),
    /// Whoever has the link to this removal's receipt: they need not be signed in, and most are not any more.
    Receipt(DeletionId),
}

/// A permit among a subscriber's streams, given back when it is dropped.
#[derive(Debug)]
pub(in crate::web) struct StreamPermit {
    subscriber: Subscriber,
    streams: Streams,
}

impl Streams {
    /// Takes a permit, if there is one left.
    pub(in crate::web) fn acquire(&self, subscriber: Subscriber) -> Result<StreamPermit, Problem> {
        let mut open = self.lock();
        let count = open.entry(subscriber).or_default();
        if *count >= MAX_STREAMS_PER_SUBSCRIBER {
            return Err(Problem::too_many(RETRY_AFTER_SECONDS));
        }
        *count += 1;
        drop(open);
        Ok(StreamPermit {
            subscriber,
            streams: self.clone(),
        })
    }

    /// How many streams are open.
    pub fn open(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subscriber, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.subscriber) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.subscriber);
            }
        }
    }
}

/// The answer, which ends when the process is asked to stop, and keeps its permit until it ends.
pub(in crate::web) fn end_on_shutdown(
    response: Response,
    stop: &CancellationToken,
    permit: Option<StreamPermit>,
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
                let _held = &permit;
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
        let (streams, user) = (Streams::default(), Subscriber::User(UserId::random()));
        let permits: Vec<StreamPermit> = (0..MAX_STREAMS_PER_SUBSCRIBER)
            .map(|_| streams.acquire(user).expect("a permit"))
            .collect();
        assert!(streams.acquire(user).is_err());
        let receipt = Subscriber::Receipt(DeletionId::random());
        assert!(streams.acquire(receipt).is_ok());
        drop(permits);
        assert!(streams.acquire(user).is_ok());
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
        let permit = streams
            .acquire(Subscriber::User(UserId::random()))
            .expect("a permit");
        let answer = end_on_shutdown(endless("text/event-stream"), &stop, Some(permit));
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
        let answer = end_on_shutdown(endless("application/zip"), &stop, None);
        let mut body = answer.into_body().into_data_stream();
        assert!(matches!(body.next().await, Some(Ok(_))));
        stop.cancel();
        assert!(matches!(body.next().await, Some(Err(_))));
    }
}
