//! HTTP ports: plain HTTP/1 with a limit on everything that a stranger could hold open: connections, heads, time.
//!
//! [`Server`] serves any router under its [`Bounds`]; [`operations`] is the one with `/livez`, `/readyz` and `/metrics`, for the
//! kubelet and for Prometheus.

pub mod operations;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// Wait after the listener failed (out of file descriptors, most likely).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What strangers may hold open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Longest head of a request, in bytes: the buffer that hyper reads into.
    pub head_bytes_max: usize,
    /// Limit on receiving the head of a request; an idle connection is closed after it too.
    pub head_timeout: Duration,
    /// Longest life of a connection. It bounds clients that read slowly; they just connect again.
    pub connection_life_max: Duration,
    /// Limit on finishing open requests when the server stops.
    pub drain_timeout: Duration,
}

/// A port that is open and not served yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Opens the port.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then lets open requests finish within the time for it. Handlers find the peer's address as
    /// `ConnectInfo<SocketAddr>`.
    pub async fn serve(self, router: Router, bounds: Bounds, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(bounds.connections_max));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, peer, router, bounds, stop).await;
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
        if timeout(bounds.drain_timeout, connections.wait())
            .await
            .is_err()
        {
            debug!(connections = connections.len(), "Connections were cut off");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    // Events and small pages are worth their packet at once.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(bounds.head_bytes_max)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let finished = timeout(bounds.connection_life_max, async {
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
