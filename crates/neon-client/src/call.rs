//! One call: a turn in the quota, a request, and again where that is safe, until an answer, the deadline, or an error that stands.

use std::{fmt, time::Duration};

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;
use uuid::Uuid;

use crate::{
    Error, ErrorKind, Neon, Outcome, Permit, Route,
    error::DecodeError,
    retry::{self, Again, Failure},
    transport::{self, Failed, Request},
};

/// A call that is ready to be made.
#[must_use = "nothing is sent before `send` is awaited"]
pub struct Call<T> {
    neon: Neon,
    request: Request,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    limits: Limits,
}

/// What bounds a call.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) deadline: Option<Duration>,
    pub(crate) permit: Option<Permit>,
    pub(crate) not_after: Option<Instant>,
}

impl<T> Call<T> {
    /// A call whose answer `decode` reads.
    pub(crate) fn new(
        neon: Neon,
        request: Request,
        decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Self {
        Self {
            neon,
            request,
            decode,
            limits: Limits::default(),
        }
    }

    pub(crate) fn route(&self) -> Route {
        self.request.route
    }

    pub(crate) fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another deadline than the client's, from the first turn in the quota to the last answer.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = Some(deadline);
        self
    }

    /// Makes the call.
    pub async fn send(self) -> Result<T, Error> {
        let Self {
            neon,
            request,
            decode,
            limits,
        } = self;
        let begun = Instant::now();
        let route = request.route;
        let result = attempts(&neon, &request, decode, limits).await;
        let outcome = match &result {
            Ok(_) => Outcome::Success,
            Err(error) => Outcome::Failure(error.kind()),
        };
        neon.observer().call(route, outcome, begun.elapsed());
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

/// Reads an answer as what the wire calls it.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

/// Reads an answer that has a body only if there was something to be removed.
pub(crate) fn read_unless_gone<T: DeserializeOwned>(
    body: &[u8],
) -> Result<Option<T>, serde_json::Error> {
    if body.is_empty() {
        Ok(None)
    } else {
        read(body).map(Some)
    }
}

async fn attempts<T>(
    neon: &Neon,
    request: &Request,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    limits: Limits,
) -> Result<T, Error> {
    let Limits {
        deadline,
        permit,
        not_after,
    } = limits;
    let route = request.route;
    let mut permit = match permit.filter(|permit| permit.belongs_to(neon.quota(), route)) {
        Some(permit) => permit,
        None => first_turn(neon, request, not_after).await?,
    };
    let deadline = Instant::now() + deadline.unwrap_or(neon.call_deadline());
    let mut requests = 0;
    loop {
        if not_after.is_some_and(|not_after| Instant::now() > not_after) {
            return Err(Error::new(route, ErrorKind::NotSent));
        }
        let request_id = Uuid::new_v4();
        let begun = Instant::now();
        let granted_at = permit.spend();
        requests += 1;
        let end = once(
            neon,
            request,
            decode,
            request_id,
            not_after,
            attempt_deadline(begun, deadline, route.is_idempotent()),
        )
        .await;
        let elapsed = begun.elapsed();
        let (failed, again) = match end {
            Ok(answer) => {
                neon.observer().request(route, Outcome::Success, elapsed);
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        let error = failed.with_request(request_id, requests);
        neon.observer()
            .request(route, Outcome::Failure(error.kind()), elapsed);
        debug!(neon.route = %route, neon.request_id = %request_id, neon.outcome = %error.kind(), "A request to Neon failed");
        if let Again::NextTurn { pause } = again {
            let fraction = neon.quota().slow(granted_at, pause);
            neon.observer().slowed(route, fraction);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(pause) = retry::pause(again, requests, left, rand::random()) else {
            return Err(error);
        };
        sleep(pause).await;
        permit = match timeout_at(deadline, turn(neon, request)).await {
            Ok(permit) => permit,
            Err(_elapsed) => return Err(error),
        };
    }
}

/// An idempotent request may hang and be made again: it gets half of the time that is left. One that cannot be repeated gets all.
fn attempt_deadline(now: Instant, deadline: Instant, idempotent: bool) -> Instant {
    if idempotent {
        now + deadline.saturating_duration_since(now) / 2
    } else {
        deadline
    }
}

async fn once<T>(
    neon: &Neon,
    request: &Request,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
    request_id: Uuid,
    not_after: Option<Instant>,
    deadline: Instant,
) -> Result<T, (Error, Again)> {
    let route = request.route;
    let Failed { failure, cause } =
        match transport::send(neon.http(), request, request_id, not_after, deadline).await {
            Ok(answer) => match decode(&answer.body) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let (kind, again) = retry::judge(
                        route.is_idempotent(),
                        &Failure::Unreadable {
                            status: answer.status,
                        },
                    );
                    let error = Error::new(route, kind)
                        .with_status(answer.status)
                        .with_source(DecodeError::from(error));
                    return Err((error, again));
                }
            },
            Err(failed) => failed,
        };
    let (kind, again) = retry::judge(route.is_idempotent(), &failure);
    let mut error = Error::new(route, kind);
    match &failure {
        Failure::Answered { status, body, .. } => {
            error = error.with_answer(*status, &neon.without_secrets(body));
        }
        Failure::Unreadable { status } => error = error.with_status(*status),
        _ => {}
    }
    if let Some(cause) = cause {
        error = error.with_source(cause);
    }
    Err((error, again))
}

/// The first turn, for which a call waits longer than for an answer: a fleet that starts at once takes minutes to go through.
async fn first_turn(
    neon: &Neon,
    request: &Request,
    not_after: Option<Instant>,
) -> Result<Permit, Error> {
    let limit = Instant::now() + neon.queue_deadline();
    let limit = not_after.map_or(limit, |not_after| limit.min(not_after));
    timeout_at(limit, turn(neon, request))
        .await
        .map_err(|_elapsed| Error::new(request.route, ErrorKind::NotSent))
}

async fn turn(neon: &Neon, request: &Request) -> Permit {
    neon.turn(request.route).await
}
