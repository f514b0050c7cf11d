//! One HTTP request: it is written, and its answer read or its failure named. No retries here, and none below: neither the HTTP client
//! nor a redirect ever sends a request a second time.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use jiff::{Timestamp, fmt::rfc2822};
use tokio::time::{Instant, timeout_at};
use url::Url;
use uuid::Uuid;

use crate::{
    Route,
    model::ErrorBody,
    retry::{Failure, RETRY_AFTER_MAX},
};

/// The largest answer that is read: a page of 400 projects is about 1 MB.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) authorization: HeaderValue,
    pub(crate) route: Route,
    pub(crate) url: Url,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// Adds those of the query's parameters that have a value.
    pub(crate) fn query<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) {
        let mut given = parameters
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .peekable();
        // The URL would get a `?` with nothing behind it.
        if given.peek().is_some() {
            self.url.query_pairs_mut().extend_pairs(given);
        }
    }
}

/// A failure, with the cause where another library named one.
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) cause: Option<reqwest::Error>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            cause: None,
        }
    }
}

/// A complete answer of success.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Sends it once. No byte of it leaves after `not_after`; an answer is waited for until `deadline`.
pub(crate) async fn send(
    http: &reqwest::Client,
    request: &Request,
    request_id: Uuid,
    not_after: Option<Instant>,
    deadline: Instant,
) -> Result<Answer, Failed> {
    let written = Arc::new(Written::default());
    let mut builder = http
        .request(request.route.method(), request.url.clone())
        .header(header::AUTHORIZATION, request.authorization.clone())
        .header("x-request-id", request_id.to_string());
    if let Some(bytes) = &request.body {
        let body = WatchedBody {
            bytes: Some(bytes.clone()),
            not_after,
            written: Arc::clone(&written),
        };
        builder = builder
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .body(reqwest::Body::wrap(body));
    } else if not_after.is_some_and(|not_after| Instant::now() > not_after) {
        return Err(Failure::TooLate.into());
    }
    let failed = |error: Option<reqwest::Error>| {
        let failure = written.failure(request.body.is_some(), error.as_ref());
        Failed {
            failure,
            cause: error.map(reqwest::Error::without_url),
        }
    };
    let exchange = async {
        let mut response = builder.send().await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = read(&mut response).await?;
        Ok((status, headers, body))
    };
    match timeout_at(deadline, exchange).await {
        Err(_elapsed) => Err(failed(None)),
        Ok(Err(error)) => Err(failed(Some(error))),
        Ok(Ok((status, _, Some(body)))) if status.is_success() => Ok(Answer { status, body }),
        Ok(Ok((status, _, None))) if status.is_success() => {
            Err(Failure::Unreadable { status }.into())
        }
        Ok(Ok((status, headers, body))) => {
            let body =
                serde_json::from_slice::<ErrorBody>(&body.unwrap_or_default()).unwrap_or_default();
            let retry_after = retry_after(&headers, Timestamp::now());
            Err(Failure::Answered {
                status,
                retry_after,
                body,
            }
            .into())
        }
    }
}

/// The whole body, or `None` where it is larger than any answer should be.
async fn read(response: &mut reqwest::Response) -> Result<Option<Bytes>, reqwest::Error> {
    // What an answer says of its length spares reading it; what it does not say is counted.
    if response
        .content_length()
        .is_some_and(|bytes| bytes > ANSWER_BYTES_MAX as u64)
    {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// How long the answer asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

/// What became of the request's body.
#[derive(Debug, Default)]
struct Written {
    /// It was handed to a connection: from here on, nobody can tell how much of it arrived.
    begun: AtomicBool,
    /// A connection asked for it after its time.
    too_late: AtomicBool,
}

impl Written {
    fn failure(&self, has_body: bool, error: Option<&reqwest::Error>) -> Failure {
        if self.too_late.load(Ordering::Acquire) {
            return Failure::TooLate;
        }
        // A body that was never asked for says that no request was complete. Without a body there is only the error to tell.
        let written = if has_body {
            self.begun.load(Ordering::Acquire)
        } else {
            !error.is_some_and(reqwest::Error::is_connect)
        };
        match error {
            _ if !written => Failure::NotWritten,
            None => Failure::TimedOut,
            Some(error) if error.is_timeout() => Failure::TimedOut,
            Some(_) => Failure::Lost,
        }
    }
}

/// A body in one piece that knows whether it was asked for, and refuses when that comes too late. A request without its body is
/// incomplete, and no server acts on it.
struct WatchedBody {
    bytes: Option<Bytes>,
    not_after: Option<Instant>,
    written: Arc<Written>,
}

/// The connection was ready only after the request's time was over.
#[derive(Debug, thiserror::Error)]
#[error("the connection was ready only after the time to send was over")]
struct TooLate;

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        if self
            .not_after
            .is_some_and(|not_after| Instant::now() > not_after)
        {
            self.written.too_late.store(true, Ordering::Release);
            return Poll::Ready(Some(Err(TooLate)));
        }
        self.written.begun.store(true, Ordering::Release);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    fn asked(value: &str) -> Option<Duration> {
        let headers =
            HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
        retry_after(&headers, "2026-02-03T04:05:00Z".parse().unwrap())
    }

    #[tokio::test]
    async fn a_request_whose_time_ends_while_it_connects_is_never_complete() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/projects", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let server = tokio::spawn(async move {
            let mut received = Vec::new();
            listener
                .accept()
                .await
                .unwrap()
                .0
                .read_to_end(&mut received)
                .await
                .unwrap();
            String::from_utf8(received).unwrap()
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = Request {
            authorization: HeaderValue::from_static("Bearer napi"),
            route: Route::CreateProject,
            url,
            body: Some(Bytes::from_static(b"the-body")),
        };
        let now = Instant::now();
        let late = now.checked_sub(Duration::from_millis(1));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let failed = send(
            &http,
            &request,
            Uuid::nil(),
            late,
            now + Duration::from_secs(5),
        )
        .await
        .err()
        .unwrap();
        assert_eq!(failed.failure, Failure::TooLate);
        drop(http);
        let received = server.await.unwrap();
        assert!(!received.contains("the-body"), "{received}");
    }

    proptest! {
        #[test]
        fn every_query_is_read_as_it_was_given(given in prop::collection::vec((".{1,9}", prop::option::of(any::<String>())), 0..6)) {
            let url = "http://127.0.0.1:1/projects".parse().unwrap();
            let mut request = Request { authorization: HeaderValue::from_static("Bearer napi"), route: Route::ListProjects, url, body: None };
            request.query(given.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
            let read: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
            let with_value = |(name, value): &(String, Option<String>)| Some((name.clone(), value.clone()?));
            prop_assert_eq!(read, given.iter().filter_map(with_value).collect::<Vec<_>>());
            prop_assert_eq!(request.url.path(), "/projects");
            prop_assert!(request.url.fragment().is_none() && request.url.query() != Some(""));
        }

        #[test]
        fn what_a_retry_after_says_is_never_a_panic_and_never_too_long(value in "[ -~]{0,40}") {
            prop_assert!(asked(&value).is_none_or(|pause| pause <= RETRY_AFTER_MAX));
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_and_bounded() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            asked("Tue, 03 Feb 2026 04:05:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            asked("Tue, 03 Feb 2026 04:04:30 GMT"),
            Some(Duration::ZERO),
            "a date that has passed"
        );
        assert_eq!(asked("999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }
}
