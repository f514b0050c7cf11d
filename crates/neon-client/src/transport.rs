//! Sends one HTTP request and reads the response or determines how the attempt failed. There are no
//! retries at this level or below: the HTTP client never repeats a request and follows no
//! redirects.

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
    NotAfter, Route,
    model::ErrorBody,
    retry::{AttemptError, MAX_RETRY_AFTER},
};

/// Maximum size of a response body. A page of 400 projects is about 1 MB.
const MAX_RESPONSE_BYTES: usize = 32 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) authorization: HeaderValue,
    pub(crate) route: Route,
    pub(crate) url: Url,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// Adds the query parameters that have a value.
    pub(crate) fn query<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) {
        let mut present = parameters
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .peekable();
        // Otherwise the URL would end with `?`.
        if present.peek().is_some() {
            self.url.query_pairs_mut().extend_pairs(present);
        }
    }
}

/// A failed attempt with its cause, if another library reported one.
pub(crate) struct FailedAttempt {
    pub(crate) error: AttemptError,
    pub(crate) cause: Option<reqwest::Error>,
}

impl From<AttemptError> for FailedAttempt {
    fn from(error: AttemptError) -> Self {
        Self { error, cause: None }
    }
}

/// A complete response with a success status.
pub(crate) struct SuccessResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Sends the request once. Nothing is written after `not_after`. Waits for the response until
/// `deadline`.
pub(crate) async fn send(
    http: &reqwest::Client,
    request: &Request,
    request_id: Uuid,
    not_after: Option<NotAfter>,
    deadline: Instant,
) -> Result<SuccessResponse, FailedAttempt> {
    let progress = Arc::new(BodyProgress::default());
    let mut builder = http
        .request(request.route.method(), request.url.clone())
        .header(header::AUTHORIZATION, request.authorization.clone())
        .header("x-request-id", request_id.to_string());
    if let Some(bytes) = &request.body {
        let body = TrackedBody {
            bytes: Some(bytes.clone()),
            not_after,
            progress: Arc::clone(&progress),
        };
        builder = builder
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .body(reqwest::Body::wrap(body));
    } else if not_after.is_some_and(|not_after| not_after.has_passed()) {
        return Err(AttemptError::NotAfterPassed.into());
    }
    let failed = |cause: Option<reqwest::Error>| {
        let error = progress.attempt_error(request.body.is_some(), cause.as_ref());
        FailedAttempt {
            error,
            cause: cause.map(reqwest::Error::without_url),
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
        Ok(Ok((status, _, Some(body)))) if status.is_success() => {
            Ok(SuccessResponse { status, body })
        }
        Ok(Ok((status, _, None))) if status.is_success() => {
            Err(AttemptError::InvalidResponse { status }.into())
        }
        Ok(Ok((status, headers, body))) => {
            let body = serde_json::from_slice::<ErrorBody>(&body.unwrap_or_default()).ok();
            let retry_after = retry_after(&headers, Timestamp::now());
            Err(AttemptError::ErrorResponse {
                status,
                retry_after,
                body,
            }
            .into())
        }
    }
}

/// Returns the complete body, or `None` if it exceeds the limit.
async fn read(response: &mut reqwest::Response) -> Result<Option<Bytes>, reqwest::Error> {
    // The declared length avoids reading a body that is too large. Without it, the bytes are
    // counted.
    if response
        .content_length()
        .is_some_and(|bytes| bytes > MAX_RESPONSE_BYTES as u64)
    {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// Value of the `Retry-After` header: seconds or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let requested = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(requested.min(MAX_RETRY_AFTER))
}

/// Progress of sending the request body.
#[derive(Debug, Default)]
struct BodyProgress {
    /// The body was passed to a connection. From here on, it is unknown how much of it arrived.
    handed_over: AtomicBool,
    /// A connection requested the body after `not_after`.
    not_after_passed: AtomicBool,
}

impl BodyProgress {
    fn attempt_error(&self, has_body: bool, error: Option<&reqwest::Error>) -> AttemptError {
        if self.not_after_passed.load(Ordering::Acquire) {
            return AttemptError::NotAfterPassed;
        }
        // If the body was never requested, no request was complete. For a request without a body,
        // only the error shows this.
        let handed_over = if has_body {
            self.handed_over.load(Ordering::Acquire)
        } else {
            !error.is_some_and(reqwest::Error::is_connect)
        };
        match error {
            _ if !handed_over => AttemptError::NotWritten,
            None => AttemptError::TimedOut,
            Some(error) if error.is_timeout() => AttemptError::TimedOut,
            Some(_) => AttemptError::ConnectionLost,
        }
    }
}

/// A request body that records whether it was requested, and fails if that happens after
/// `not_after`. A request without its body is incomplete, and no server acts on it.
struct TrackedBody {
    bytes: Option<Bytes>,
    not_after: Option<NotAfter>,
    progress: Arc<BodyProgress>,
}

/// The connection was ready only after `not_after`.
#[derive(Debug, thiserror::Error)]
#[error("the connection was not ready before `not_after`")]
struct NotAfterPassed;

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = NotAfterPassed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotAfterPassed>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        if self
            .not_after
            .is_some_and(|not_after| not_after.has_passed())
        {
            self.progress
                .not_after_passed
                .store(true, Ordering::Release);
            return Poll::Ready(Some(Err(NotAfterPassed)));
        }
        self.progress.handed_over.store(true, Ordering::Release);
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

    fn requested(value: &str) -> Option<Duration> {
        let headers =
            HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
        retry_after(&headers, "2026-02-03T04:05:00Z".parse().unwrap())
    }

    #[tokio::test]
    async fn a_request_whose_not_after_passes_while_connecting_is_never_complete() {
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
        let request = Request {
            authorization: HeaderValue::from_static("Bearer napi"),
            route: Route::CreateProject,
            url,
            body: Some(Bytes::from_static(b"the-body")),
        };
        let now = Instant::now();
        let monotonic = now.checked_sub(Duration::from_millis(1)).unwrap();
        let late = Some(NotAfter::new(monotonic, Timestamp::MAX));
        let http = http_client::builder().no_proxy().build().unwrap();
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
        assert_eq!(failed.error, AttemptError::NotAfterPassed);
        drop(http);
        let received = server.await.unwrap();
        assert!(!received.contains("the-body"), "{received}");
    }

    proptest! {
        #[test]
        fn query_parameters_round_trip(given in prop::collection::vec((".{1,9}", prop::option::of(any::<String>())), 0..6)) {
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
        fn parsing_retry_after_never_panics_and_is_bounded(value in "[ -~]{0,40}") {
            prop_assert!(requested(&value).is_none_or(|pause| pause <= MAX_RETRY_AFTER));
        }
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_or_a_date_and_bounded() {
        assert_eq!(requested("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            requested("Tue, 03 Feb 2026 04:05:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            requested("Tue, 03 Feb 2026 04:04:30 GMT"),
            Some(Duration::ZERO),
            "a date in the past"
        );
        assert_eq!(requested("999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(requested("soon"), None);
        assert_eq!(requested("-1"), None);
    }
}
