//! The controller's own port: `/livez`, `/readyz`, `/metrics`.
//!
//! Plain HTTP/1 for the kubelet and for Prometheus, with a limit on everything a stranger could hold open: connections, heads, time.
//! Nothing is read from bodies, and nothing of a Tenant is shown but numbers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::health::Health;
use crate::telemetry::Metrics;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Longest head of a request, in bytes: the buffer that hyper reads into.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Limit on receiving the head of a request; an idle connection is closed after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest life of a connection. It bounds clients that read slowly; Prometheus just connects again.
const CONNECTION_LIFE_MAX: Duration = Duration::from_mins(10);
/// Limit on finishing open requests when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait after the listener failed (out of file descriptors, most likely).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// What `OpenMetrics` text calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A port that is open and not served yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Clone, Debug)]
struct App {
    health: Health,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Opens the port and logs the address as `http.address`.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        info!(http.address = %address, "Serving /livez, /readyz and /metrics on {address}");
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then lets open requests finish within `DRAIN_TIMEOUT`.
    pub async fn serve(self, health: Health, metrics: Arc<Metrics>, stop: CancellationToken) {
        let router = router(App { health, metrics });
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, router, stop).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(error = %error, "A connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
        connections.close();
        if timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
            debug!(connections = connections.len(), "Connections were cut off");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let finished = timeout(CONNECTION_LIFE_MAX, async {
        tokio::select! {
            result = serving.as_mut() => result,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.as_mut().await
            }
        }
    });
    if let Ok(Err(error)) = finished.await {
        debug!(error = %error, "A connection ended early");
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(app)
}

async fn livez(State(app): State<App>) -> Response {
    verdict(app.health.live())
}

async fn readyz(State(app): State<App>) -> Response {
    verdict(app.health.ready())
}

fn verdict(result: Result<&'static str, String>) -> Response {
    match result {
        Ok(word) => (StatusCode::OK, format!("{word}\n")).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    match app.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            warn!(error = %error, "Metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
