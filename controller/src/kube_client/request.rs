//! A Tower layer that limits and records every HTTP request to the Kubernetes API.

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

#[derive(Debug, thiserror::Error)]
#[error("no response to {verb} {resource} within {timeout:?}")]
pub(super) struct RequestTimeout {
    verb: &'static str,
    resource: String,
    timeout: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct RequestLayer {
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl RequestLayer {
    pub(super) fn new(timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self { timeout, metrics }
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService {
            inner,
            settings: self.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct RequestService<S> {
    inner: S,
    settings: RequestLayer,
}

/// A complete body, or the streamed body of a watch.
type ResponseBody<B> = Either<Full<Bytes>, B>;

impl<S, B> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<ResponseBody<B>>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (verb, resource) = verb_and_resource(&request);
        let RequestLayer { timeout, metrics } = self.settings.clone();
        let response = self.inner.call(request);
        Box::pin(async move {
            let started = Instant::now();
            let read = async {
                let response = response.await.map_err(Into::into)?;
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
            let result = timeout_at(started + timeout, read)
                .await
                .unwrap_or_else(|_| {
                    let resource = resource.clone();
                    Err(BoxError::from(RequestTimeout {
                        verb,
                        resource,
                        timeout,
                    }))
                });
            metrics.record_kubernetes_request(verb, &resource, outcome(&result), started.elapsed());
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
            _ => RequestOutcome::Rejected,
        },
        Err(error) if error.is::<RequestTimeout>() => RequestOutcome::TimedOut,
        Err(_) => RequestOutcome::Unreachable,
    }
}

/// The verb and the resource as Kubernetes names them, such as `patch` and `tenants/status`,
/// without the name of the object.
pub(super) fn verb_and_resource<B>(request: &Request<B>) -> (&'static str, String) {
    let mut parts = request
        .uri()
        .path()
        .split('/')
        .filter(|part| !part.is_empty());
    // The number of segments after `api` (version) or `apis` (group and version).
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return ("get", "other".to_owned()),
    };
    let rest: Vec<_> = parts.skip(skipped).collect();
    let (resource, name, subresource) = match rest[..] {
        // A namespaced resource, unless the resource is the namespace itself.
        ["namespaces", _, resource] | [resource] => (resource, None, None),
        ["namespaces", _, resource, name] | [resource, name] => (resource, Some(name), None),
        ["namespaces", _, resource, name, subresource, ..] | [resource, name, subresource, ..] => {
            (resource, Some(name), Some(subresource))
        }
        [] => ("other", None, None),
    };
    let is_watch = request.uri().query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    });
    let is_apply = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| {
            *content_type == HeaderValue::from_static("application/apply-patch+yaml")
        });
    let verb = match (request.method(), name) {
        (&Method::GET, _) if is_watch => "watch",
        (&Method::GET, None) => "list",
        (&Method::GET, Some(_)) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) if is_apply => "apply",
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
