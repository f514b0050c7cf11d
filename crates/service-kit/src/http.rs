//! HTTP/1 servers with limits on connections, on request heads and on time, so that no client can
//! exhaust the process.
//!
//! [`Server`] serves any router within its [`ServerLimits`]. [`operations`] is the router for the
//! kubelet and Prometheus.

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

/// Pause after a failed accept; the process is most likely out of file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Limits on what clients can hold open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Largest request head, in bytes.
    pub max_head_bytes: usize,
    /// Limit on receiving a request head. An idle connection is closed after this time too.
    pub head_timeout: Duration,
    /// Longest life of a connection. It bounds clients that read slowly; they can connect again.
    pub max_connection_age: Duration,
    /// Limit on finishing open requests when the server stops.
    pub drain_timeout: Duration,
}

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the actual port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, then lets open requests finish within
    /// [`ServerLimits::drain_timeout`]. Handlers get the peer's address as
    /// `ConnectInfo<SocketAddr>`.
    pub async fn serve(self, router: Router, limits: ServerLimits, shutdown: CancellationToken) {
        let permits = Arc::new(Semaphore::new(limits.max_connections));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accept(&self.listener, &permits) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let (router, shutdown) = (router.clone(), shutdown.clone());
                    connections.spawn(async move {
                        connection(stream, peer, router, limits, shutdown).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!(error = %error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                }
            }
        }
        connections.close();
        if timeout(limits.drain_timeout, connections.wait())
            .await
            .is_err()
        {
            debug!(
                connections = connections.len(),
                "closed connections with unfinished requests"
            );
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ServerLimits,
    shutdown: CancellationToken,
) {
    // Server-sent events and small pages must not wait for a full packet.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.max_head_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let finished = timeout(limits.max_connection_age, async {
        tokio::select! {
            result = serving.as_mut() => result,
            () = shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.as_mut().await
            }
        }
    });
    if let Ok(Err(error)) = finished.await {
        debug!(error = %error, "connection failed");
    }
}
