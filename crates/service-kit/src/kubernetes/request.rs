//! A Tower layer that limits every HTTP request to the Kubernetes API and reports it.

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

/// Receives every finished request, for metrics. Must not block.
pub trait RequestObserver: Send + Sync + 'static {
    /// `resource` is the plural name, followed by `/` and the subresource if there is one.
    fn request(
        &self,
        verb: &'static str,
        resource: &str,
        outcome: RequestOutcome,
        elapsed: Duration,
    );
}

/// Ignores all requests.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl RequestObserver for NoObserver {
    fn request(&self, _: &'static str, _: &str, _: RequestOutcome, _: Duration) {}
}

/// How an HTTP request to the Kubernetes API ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    Success,
    NotFound,
    /// The object has changed, or exists already.
    Conflict,
    /// Authentication or authorization failed.
    Denied,
    Throttled,
    /// Any other client error.
    Rejected,
    ServerError,
    TimedOut,
    /// The connection failed or broke.
    Unreachable,
}

impl RequestOutcome {
    /// The value of the metrics' label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no response to {verb} {resource} within {timeout:?}")]
struct RequestTimeout {
    verb: &'static str,
    resource: String,
    timeout: Duration,
}

/// Limits every request, and reports it to an observer.
#[derive(Clone)]
pub struct RequestLayer {
    timeout: Duration,
    observer: Arc<dyn RequestObserver>,
}

impl RequestLayer {
    pub fn new(timeout: Duration, observer: Arc<dyn RequestObserver>) -> Self {
        Self { timeout, observer }
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

#[derive(Clone)]
pub struct RequestService<S> {
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
        let RequestLayer { timeout, observer } = self.settings.clone();
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
            observer.request(verb, &resource, outcome(&result), started.elapsed());
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
