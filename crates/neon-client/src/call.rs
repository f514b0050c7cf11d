//! One API call: it acquires a quota permit, sends the request, and retries where that is safe
//! until it has a response, its timeout expires, or the error is final.

use std::{fmt, time::Duration};

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;
use uuid::Uuid;

use crate::{
    Error, ErrorKind, Neon, NotAfter, Outcome, Permit, Route,
    error::DecodeError,
    retry::{self, AttemptError, RetryDecision},
    transport::{self, FailedAttempt, Request},
};

/// A call that can be sent.
#[must_use = "no request is sent until `send` is awaited"]
pub struct Call<T> {
    neon: Neon,
    request: Request,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    options: CallOptions,
}

/// Per-call options.
#[derive(Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) permit: Option<Permit>,
    pub(crate) not_after: Option<NotAfter>,
}

impl<T> Call<T> {
    /// Creates a call whose response is decoded by `decode`.
    pub(crate) fn new(
        neon: Neon,
        request: Request,
        decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Self {
        Self {
            neon,
            request,
            decode,
            options: CallOptions::default(),
        }
    }

    pub(crate) fn route(&self) -> Route {
        self.request.route
    }

    pub(crate) fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Overrides the client's call timeout. The timeout covers all requests of the call and the
    /// pauses between them. It starts when the first permit has been acquired.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Makes the call.
    pub async fn send(self) -> Result<T, Error> {
        let Self {
            neon,
            request,
            decode,
            options,
        } = self;
        let started = Instant::now();
        let route = request.route;
        let result = send_with_retries(&neon, &request, decode, options).await;
        let outcome = match &result {
            Ok(_) => Outcome::Success,
            Err(error) => Outcome::Failure(error.kind()),
        };
        neon.observer().call(route, outcome, started.elapsed());
        result
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("route", &self.request.route)
            .field("path", &self.request.url.path())
            .finish_non_exhaustive()
    }
}

/// Decodes a JSON response body.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

/// Decodes a JSON response body that is empty if there was nothing to delete.
pub(crate) fn decode_optional<T: DeserializeOwned>(
    body: &[u8],
) -> Result<Option<T>, serde_json::Error> {
    if body.is_empty() {
        Ok(None)
    } else {
        decode(body).map(Some)
    }
}

async fn send_with_retries<T>(
    neon: &Neon,
    request: &Request,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    options: CallOptions,
) -> Result<T, Error> {
    let CallOptions {
        timeout,
        permit,
        not_after,
    } = options;
    let route = request.route;
    let mut permit = match permit.filter(|permit| permit.belongs_to(neon.quota(), route)) {
        Some(permit) => permit,
        None => acquire_initial_permit(neon, request, not_after).await?,
    };
    let deadline = Instant::now() + timeout.unwrap_or(neon.call_timeout());
    let mut requests = 0;
    loop {
        if not_after.is_some_and(|not_after| not_after.has_passed()) {
            return Err(Error::new(route, ErrorKind::NotSent));
        }
        let request_id = Uuid::new_v4();
        let started = Instant::now();
        let granted_at = permit.spend();
        requests += 1;
        let result = send_once(
            neon,
            request,
            decode,
            request_id,
            not_after,
            attempt_deadline(started, deadline, route.is_idempotent()),
        )
        .await;
        let elapsed = started.elapsed();
        let (error, decision) = match result {
            Ok(value) => {
                neon.observer().request(route, Outcome::Success, elapsed);
                return Ok(value);
            }
            Err(failure) => failure,
        };
        let error = error.with_request(request_id, requests);
        neon.observer()
            .request(route, Outcome::Failure(error.kind()), elapsed);
        debug!(neon.route = %route, neon.request_id = %request_id, neon.outcome = %error.kind(), "request to Neon failed");
        if let RetryDecision::WaitForQuota { pause } = decision {
            let fraction = neon.quota().throttle(granted_at, pause);
            neon.observer().throttled(route, fraction);
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        let Some(pause) = retry::pause(decision, requests, remaining, rand::random()) else {
            return Err(error);
        };
        sleep(pause).await;
        permit = match timeout_at(deadline, acquire_permit(neon, request)).await {
            Ok(permit) => permit,
            Err(_elapsed) => return Err(error),
        };
    }
}

/// An attempt of an idempotent request gets half of the remaining time, so that a request that
/// hangs can be retried. A request that is not retried gets all of it.
fn attempt_deadline(now: Instant, deadline: Instant, idempotent: bool) -> Instant {
    if idempotent {
        now + deadline.saturating_duration_since(now) / 2
    } else {
        deadline
    }
}

async fn send_once<T>(
    neon: &Neon,
    request: &Request,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    request_id: Uuid,
    not_after: Option<NotAfter>,
    deadline: Instant,
) -> Result<T, (Error, RetryDecision)> {
    let route = request.route;
    let FailedAttempt {
        error: attempt_error,
        cause,
    } = match transport::send(neon.http(), request, request_id, not_after, deadline).await {
        Ok(response) => match decode(&response.body) {
            Ok(value) => return Ok(value),
            Err(error) => {
                let (kind, decision) = retry::classify(
                    route.is_idempotent(),
                    &AttemptError::InvalidResponse {
                        status: response.status,
                    },
                );
                let error = Error::new(route, kind)
                    .with_status(response.status)
                    .with_source(DecodeError::from(error));
                return Err((error, decision));
            }
        },
        Err(failed) => failed,
    };
    let (kind, decision) = retry::classify(route.is_idempotent(), &attempt_error);
    let mut error = Error::new(route, kind);
    match &attempt_error {
        AttemptError::ErrorResponse { status, body, .. } => {
            let body = body.clone().unwrap_or_default();
            error = error.with_response(*status, &neon.redacted(&body));
        }
        AttemptError::InvalidResponse { status } => error = error.with_status(*status),
        _ => {}
    }
    if let Some(cause) = cause {
        error = error.with_source(cause);
    }
    Err((error, decision))
}

/// Acquires the permit for the first request. This may take much longer than the call itself,
/// because a large number of simultaneous calls takes minutes to pass through the quota.
async fn acquire_initial_permit(
    neon: &Neon,
    request: &Request,
    not_after: Option<NotAfter>,
) -> Result<Permit, Error> {
    let deadline = Instant::now() + neon.queue_timeout();
    let deadline = not_after.map_or(deadline, |not_after| deadline.min(not_after.monotonic()));
    timeout_at(deadline, acquire_permit(neon, request))
        .await
        .map_err(|_elapsed| Error::new(request.route, ErrorKind::NotSent))
}

async fn acquire_permit(neon: &Neon, request: &Request) -> Permit {
    neon.acquire_permit(request.route).await
}
