//! A relay for HTTP requests that recognizes which of them are effects.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::{Action, CrashInjector, CrashTiming};

/// Maps a request to the path and query that are requested upstream.
pub type Rewrite = Box<dyn Fn(&Method, &Uri) -> String + Send + Sync>;

/// The server behind a relay, and how to interpret its requests.
pub struct Upstream {
    /// Sends the forwarded requests.
    pub client: reqwest::Client,
    /// Scheme and authority.
    pub base: String,
    /// The name of a request's effect, if it has one.
    pub effect: fn(&Method, &str) -> Option<String>,
    pub rewrite: Rewrite,
}

/// A running relay. Dropping it stops the relay.
pub struct HttpRelay {
    port: u16,
    listening: AbortHandle,
}

struct RelayState {
    injector: CrashInjector,
    upstream: Upstream,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl HttpRelay {
    /// A relay with its own port.
    pub async fn start(injector: CrashInjector, upstream: Upstream) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(RelayState { injector, upstream });
        Ok(Self {
            port,
            listening: tokio::spawn(accept(listener, shared)).abort_handle(),
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for HttpRelay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<RelayState>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| relay(Arc::clone(&shared), request));
            // An error of the service closes the connection without a response, like a network
            // failure.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn relay(shared: Arc<RelayState>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let name = (shared.upstream.effect)(&head.method, head.uri.path());
    let action = match &name {
        Some(name) => shared.injector.on_effect(name),
        None if shared.injector.is_blocked() => Action::Block,
        None => Action::Forward,
    };
    // Renewing the Lease does not show that the controller has processed the last response.
    let is_work = !head.uri.path().contains("/leases");
    let injector = shared.injector.clone();
    let sent = send(Arc::clone(&shared), head, body);
    match action {
        // An effect happens even if the controller dies meanwhile.
        Action::Forward if name.is_some() => tokio::spawn(async { read_body(sent.await?).await })
            .await
            .map_err(io::Error::other)?,
        Action::Forward => sent.await,
        Action::Interrupt(CrashTiming::AfterResponse) => {
            let response = read_body(sent.await?).await?;
            injector.block();
            Ok(response)
        }
        Action::Interrupt(CrashTiming::BeforeResponse) => {
            let done = tokio::spawn(async { read_body(sent.await?).await }).await;
            injector.block();
            injector.unblocked().await;
            done.map_err(io::Error::other)?
                .and(Err(io::ErrorKind::ConnectionReset.into()))
        }
        Action::Interrupt(CrashTiming::HoldRequest) => {
            injector.hold(Box::pin(async {
                let _ = async { read_body(sent.await?).await }.await;
            }));
            injector.block();
            injector.unblocked().await;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Action::Block => {
            if is_work {
                injector.record_attempt();
            }
            injector.unblocked().await;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

async fn send(
    shared: Arc<RelayState>,
    head: hyper::http::request::Parts,
    body: Bytes,
) -> io::Result<Response<Body>> {
    let upstream = &shared.upstream;
    let url = format!(
        "{}{}",
        upstream.base,
        (upstream.rewrite)(&head.method, &head.uri)
    );
    let mut headers = head.headers;
    for hop_by_hop in [HOST, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(hop_by_hop);
    }
    let request = upstream
        .client
        .request(head.method, url)
        .headers(headers)
        .body(body);
    let response = request.send().await.map_err(io::Error::other)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let frames = response
        .bytes_stream()
        .map_ok(Frame::data)
        .map_err(io::Error::other);
    Ok(response_with(
        status,
        &headers,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

/// The response with its complete body.
async fn read_body(response: Response<Body>) -> io::Result<Response<Body>> {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let body = Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync();
    Ok(response_with(head.status, &head.headers, body))
}

fn response_with(status: hyper::StatusCode, headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| ![CONNECTION, TRANSFER_ENCODING].contains(name))
    {
        response.headers_mut().append(name, value.clone());
    }
    response
}

/// The name of an effect on the API server: a write to a Tenant, a class or a Secret. Writes to the
/// Lease and events do not count.
pub fn kubernetes_effect(method: &Method, path: &str) -> Option<String> {
    if !is_write(method) {
        return None;
    }
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().position(|part| {
        matches!(
            *part,
            "tenants" | "tenantclasses" | "schemarollouts" | "secrets"
        )
    })?;
    let status = if parts.last() == Some(&"status") {
        "/status"
    } else {
        ""
    };
    Some(format!("{method} {}{status}", parts[at]))
}

/// The name of an effect on the Neon API: any write.
pub fn neon_effect(method: &Method, path: &str) -> Option<String> {
    if !is_write(method) {
        return None;
    }
    // Every second part is an id: /api/v2/projects/ID/endpoints/ID.
    let parts: Vec<&str> = path.trim_start_matches("/api/v2/").split('/').collect();
    let named = parts
        .iter()
        .enumerate()
        .map(|(at, part)| if at % 2 == 0 { *part } else { "*" });
    Some(format!(
        "Neon {method} {}",
        named.collect::<Vec<_>>().join("/")
    ))
}

fn is_write(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_to_objects_that_the_controller_owns_are_effects() {
        let name = |method: Method, path: &str| kubernetes_effect(&method, path);
        let tenants = "/apis/dbpertenant.dev/v1alpha1/namespaces/a/tenants/acme";
        assert_eq!(
            name(Method::PATCH, tenants).as_deref(),
            Some("PATCH tenants")
        );
        assert_eq!(
            name(Method::PATCH, &format!("{tenants}/status")).as_deref(),
            Some("PATCH tenants/status")
        );
        assert_eq!(
            name(Method::POST, "/api/v1/namespaces/a/secrets").as_deref(),
            Some("POST secrets")
        );
        assert_eq!(name(Method::GET, tenants), None);
        assert_eq!(
            name(Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events"),
            None
        );
        assert_eq!(
            name(
                Method::PATCH,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/l"
            ),
            None
        );
        assert_eq!(
            neon_effect(&Method::POST, "/api/v2/projects").as_deref(),
            Some("Neon POST projects")
        );
        let resize = neon_effect(&Method::PATCH, "/api/v2/projects/p-1/endpoints/ep-1");
        assert_eq!(resize.as_deref(), Some("Neon PATCH projects/*/endpoints/*"));
    }
}
