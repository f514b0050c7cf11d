//! A relay of HTTP requests that knows which of them are effects.

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

use super::{Cut, Gate, Passage};

/// Path and query that are asked for in the place of others.
pub type Rewrite = Box<dyn Fn(&Method, &Uri) -> String + Send + Sync>;

/// What a relay leads to, and how it reads the requests.
pub struct Upstream {
    /// The client that requests are sent on with.
    pub client: reqwest::Client,
    /// Where to: scheme and authority.
    pub base: String,
    /// The name of the effect that a request has, if it has one.
    pub effect: fn(&Method, &str) -> Option<String>,
    /// What to ask for instead of what was asked for.
    pub rewrite: Rewrite,
}

/// A running relay. Dropping it stops it.
pub struct HttpRelay {
    port: u16,
    listening: AbortHandle,
}

struct Shared {
    gate: Gate,
    upstream: Upstream,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl HttpRelay {
    /// A relay on a port of its own.
    pub async fn start(gate: Gate, upstream: Upstream) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { gate, upstream });
        Ok(Self {
            port,
            listening: tokio::spawn(accept(listener, shared)).abort_handle(),
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for HttpRelay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| relay(Arc::clone(&shared), request));
            // A service that fails cuts the connection without an answer: just what a dead network does.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn relay(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let name = (shared.upstream.effect)(&head.method, head.uri.path());
    let passage = match &name {
        Some(name) => shared.gate.effect(name),
        None if shared.gate.is_shut() => Passage::Shut,
        None => Passage::Through,
    };
    // A renewal of the Lease does not show that the controller goes on with its work.
    let is_work = !head.uri.path().contains("/leases");
    let gate = shared.gate.clone();
    let sent = send(Arc::clone(&shared), head, body);
    match passage {
        // What was sent is done, also when the one who sent it is gone meanwhile.
        Passage::Through if name.is_some() => tokio::spawn(async { whole(sent.await?).await })
            .await
            .map_err(io::Error::other)?,
        Passage::Through => sent.await,
        Passage::Cut(Cut::AfterAnswer) => {
            let answer = whole(sent.await?).await?;
            gate.shut();
            Ok(answer)
        }
        Passage::Cut(Cut::BeforeAnswer) => {
            let done = tokio::spawn(async { whole(sent.await?).await }).await;
            gate.shut();
            gate.opened().await;
            done.map_err(io::Error::other)?
                .and(Err(io::ErrorKind::ConnectionReset.into()))
        }
        Passage::Cut(Cut::Held) => {
            gate.hold(Box::pin(async {
                let _ = async { whole(sent.await?).await }.await;
            }));
            gate.shut();
            gate.opened().await;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Passage::Shut => {
            if is_work {
                gate.attempted();
            }
            gate.opened().await;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

async fn send(
    shared: Arc<Shared>,
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
    for own in [HOST, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(own);
    }
    let request = upstream
        .client
        .request(head.method, url)
        .headers(headers)
        .body(body);
    let answer = request.send().await.map_err(io::Error::other)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let frames = answer
        .bytes_stream()
        .map_ok(Frame::data)
        .map_err(io::Error::other);
    Ok(with_head(
        status,
        &headers,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

/// The answer with its body read to the end.
async fn whole(answer: Response<Body>) -> io::Result<Response<Body>> {
    let (head, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let body = Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync();
    Ok(with_head(head.status, &head.headers, body))
}

fn with_head(status: hyper::StatusCode, headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| ![CONNECTION, TRANSFER_ENCODING].contains(name))
    {
        answer.headers_mut().append(name, value.clone());
    }
    answer
}

/// Effects on the API server: writes to Tenants, classes and Secrets. The Lease and events are none.
pub fn kubernetes_effect(method: &Method, path: &str) -> Option<String> {
    if !is_write(method) {
        return None;
    }
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts
        .iter()
        .position(|part| matches!(*part, "tenants" | "tenantclasses" | "secrets"))?;
    let status = if parts.last() == Some(&"status") {
        "/status"
    } else {
        ""
    };
    Some(format!("{method} {}{status}", parts[at]))
}

/// Effects on the Neon API: whatever is not a question.
pub fn neon_effect(method: &Method, path: &str) -> Option<String> {
    if !is_write(method) {
        return None;
    }
    // /api/v2/projects/ID/endpoints/ID: every other part is an id.
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
    fn writes_to_what_the_controller_owns_are_effects_and_nothing_else_is() {
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
