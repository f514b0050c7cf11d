//! Event streams: a limited number per subscriber, and an end when the process shuts down.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Problem;
use crate::ids::{DeletionId, UserId};

/// Upper bound of the open streams of one subscriber. Browsers open one or two per tab.
pub const MAX_STREAMS_PER_SUBSCRIBER: usize = 40;
/// `Retry-After` of a rejected stream.
const RETRY_AFTER_SECONDS: u64 = 10;

/// Counts the open streams of each subscriber. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<HashMap<Subscriber, usize>>>);

/// Whose streams count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::web) enum Subscriber {
    User(UserId),
    /// Readers of the receipt of a deletion, who need not be signed in.
    Receipt(DeletionId),
}

/// Permission to keep one stream open, released on drop.
#[derive(Debug)]
pub(in crate::web) struct StreamPermit {
    subscriber: Subscriber,
    streams: Streams,
}

impl Streams {
    /// Fails if the subscriber has reached [`MAX_STREAMS_PER_SUBSCRIBER`].
    pub(in crate::web) fn acquire(&self, subscriber: Subscriber) -> Result<StreamPermit, Problem> {
        let mut open = self.0.lock();
        let count = open.entry(subscriber).or_default();
        if *count >= MAX_STREAMS_PER_SUBSCRIBER {
            return Err(Problem::rate_limited(RETRY_AFTER_SECONDS));
        }
        *count += 1;
        drop(open);
        Ok(StreamPermit {
            subscriber,
            streams: self.clone(),
        })
    }

    /// The number of open streams.
    pub fn open(&self) -> usize {
        self.0.lock().values().sum()
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock();
        if let Some(count) = open.get_mut(&self.subscriber) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.subscriber);
            }
        }
    }
}

/// Ends the response when the process shuts down, and holds the permit until then.
pub(in crate::web) fn end_on_shutdown(
    response: Response,
    stop: &CancellationToken,
    permit: Option<StreamPermit>,
) -> Response {
    if !response.status().is_success() {
        return response;
    }
    // An event stream may end at any time. Any other body that is cut off must end in an error, so
    // that the client does not take it for complete.
    let may_end_early = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/event-stream");
    let stop = stop.clone();
    response.map(|body| {
        let cut_off = stream::once(std::future::ready(stop.clone())).filter_map(move |stop| {
            let error = || axum::Error::new(std::io::Error::other("the process is shutting down"));
            std::future::ready((!may_end_early && stop.is_cancelled()).then(|| Err(error())))
        });
        let until_stop = body
            .into_data_stream()
            .take_until(stop.cancelled_owned())
            .chain(cut_off)
            .map(move |chunk| {
                let _permit = &permit;
                chunk
            });
        Body::from_stream(until_stop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_has_a_limited_number_of_streams() {
        let (streams, user) = (Streams::default(), Subscriber::User(UserId::random()));
        let permits: Vec<StreamPermit> = (0..MAX_STREAMS_PER_SUBSCRIBER)
            .map(|_| streams.acquire(user).expect("a permit"))
            .collect();
        assert!(streams.acquire(user).is_err());
        let receipt = Subscriber::Receipt(DeletionId::random());
        assert!(streams.acquire(receipt).is_ok());
        drop(permits);
        assert!(streams.acquire(user).is_ok());
        assert_eq!(streams.open(), 0, "subscribers without streams are removed");
    }

    fn endless(kind: &'static str) -> Response {
        let chunks = stream::iter(["data: 1\n\n"])
            .chain(stream::pending())
            .map(Ok::<_, std::convert::Infallible>);
        let mut response = Response::new(Body::from_stream(chunks));
        let kind = axum::http::HeaderValue::from_static(kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    #[tokio::test]
    async fn event_streams_end_when_the_process_shuts_down() {
        let (streams, stop) = (Streams::default(), CancellationToken::new());
        let permit = streams
            .acquire(Subscriber::User(UserId::random()))
            .expect("a permit");
        let response = end_on_shutdown(endless("text/event-stream"), &stop, Some(permit));
        let mut body = response.into_body().into_data_stream();
        assert!(body.next().await.is_some());
        assert_eq!(streams.open(), 1);
        stop.cancel();
        assert!(body.next().await.is_none());
        drop(body);
        assert_eq!(streams.open(), 0);
    }

    #[tokio::test]
    async fn an_archive_that_is_cut_off_ends_in_an_error() {
        let stop = CancellationToken::new();
        let response = end_on_shutdown(endless("application/zip"), &stop, None);
        let mut body = response.into_body().into_data_stream();
        assert!(matches!(body.next().await, Some(Ok(_))));
        stop.cancel();
        assert!(matches!(body.next().await, Some(Err(_))));
    }
}
