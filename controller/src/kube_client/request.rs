//! A deadline and a count for every HTTP request to the Kubernetes API.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as HttpBody, Bytes};
use kube::client::Body;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Layer, Service};

use crate::telemetry::{Metrics, RequestOutcome};

/// The API server did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer to {verb} {resource} within {deadline:?}")]
pub(super) struct TimedOut {
    verb: &'static str,
    resource: String,
    deadline: Duration,
}

/// Wraps a client's service.
#[derive(Clone, Debug)]
pub(super) struct RequestLayer {
    deadline: Duration,
    metrics: Arc<Metrics>,
}

impl RequestLayer {
    pub(super) fn new(deadline: Duration, metrics: Arc<Metrics>) -> Self {
        Self { deadline, metrics }
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = Requests<S>;

    fn layer(&self, inner: S) -> Requests<S> {
        Requests {
            inner,
            settings: self.clone(),
        }
    }
}

/// The wrapped service.
#[derive(Clone, Debug)]
pub(super) struct Requests<S> {
    inner: S,
    settings: RequestLayer,
}

/// A whole body, or that of a watch as it comes.
type Answer<B> = Either<Full<Bytes>, B>;

impl<S, B> Service<Request<Body>> for Requests<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer<B>>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (verb, resource) = verb_and_resource(&request);
        let RequestLayer { deadline, metrics } = self.settings.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let until = Instant::now() + deadline;
            let whole = async {
                let response = answer.await.map_err(Into::into)?;
                let (head, body) = response.into_parts();
                let body = if verb == "watch" {
                    Either::Right(body)
                } else {
                    Either::Left(Full::new(
                        body.collect().await.map_err(Into::into)?.to_bytes(),
                    ))
                };
                Ok(Response::from_parts(head, body))
            };
            let result = timeout_at(until, whole).await.unwrap_or_else(|_| {
                let resource = resource.clone();
                Err(BoxError::from(TimedOut {
                    verb,
                    resource,
                    deadline,
                }))
            });
            metrics.record_kube_request(verb, &resource, outcome(&result));
            result
        })
    }
}

fn outcome<B>(result: &Result<Response<B>, BoxError>) -> RequestOutcome {
    match result {
        Ok(response) => match response.status() {
            status if status.is_success() => RequestOutcome::Success,
            StatusCode::NOT_FOUND => RequestOutcome::NotFound,
            StatusCode::CONFLICT => RequestOutcome::Conflict,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RequestOutcome::Denied,
            StatusCode::TOO_MANY_REQUESTS => RequestOutcome::Throttled,
            status if status.is_server_error() => RequestOutcome::ServerError,
            _ => RequestOutcome::Refused,
        },
        Err(error) if error.is::<TimedOut>() => RequestOutcome::TimedOut,
        Err(_) => RequestOutcome::Unreachable,
    }
}

/// What Kubernetes calls the request: `patch` and `tenants/status`. Names of objects are left out.
pub(super) fn verb_and_resource<B>(request: &Request<B>) -> (&'static str, String) {
    let mut parts = request
        .uri()
        .path()
        .split('/')
        .filter(|part| !part.is_empty());
    // `api/v1` or `apis/<group>/<version>`.
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return ("get", "other".to_owned()),
    };
    let rest: Vec<_> = parts.skip(skipped).collect();
    let (resource, name, subresource) = match rest[..] {
        // Something in a namespace, unless it is the namespace itself.
        ["namespaces", _, resource] | [resource] => (resource, None, None),
        ["namespaces", _, resource, name] | [resource, name] => (resource, Some(name), None),
        ["namespaces", _, resource, name, subresource, ..] | [resource, name, subresource, ..] => {
            (resource, Some(name), Some(subresource))
        }
        [] => ("other", None, None),
    };
    let watches = request.uri().query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    });
    let applies = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| *kind == HeaderValue::from_static("application/apply-patch+yaml"));
    let verb = match (request.method(), name) {
        (&Method::GET, _) if watches => "watch",
        (&Method::GET, None) => "list",
        (&Method::GET, Some(_)) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) if applies => "apply",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, None) => "deletecollection",
        (&Method::DELETE, Some(_)) => "delete",
        _ => "other",
    };
    let resource = match subresource {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource.to_owned(),
    };
    (verb, resource)
}
