//! HTTP/1 servers with limits on connections, on request heads and on time, so that no client can
//! exhaust the process.
//!
//! [`Server`] serves any router within its [`ServerLimits`]. [`operations`] is the router for the
//! kubelet and Prometheus.

pub mod operations;
mod peers;
#[cfg(test)]
mod tests;
mod write_timeout;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use peers::{PeerConnection, Peers};
use write_timeout::WriteTimeout;

/// Pause after a failed accept; the process is most likely out of file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The kernel's buffer for bytes that the client has not taken yet. It is small, so that the write
/// timeout notices a client that takes a few bytes now and then: at least about a third of the buffer
/// must become free in that time.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;
/// Connections that wait in the kernel's queue.
const BACKLOG: u32 = 1024;

/// Limits on what clients can hold open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Most open connections of one peer, which is an IPv4 address or an IPv6 /64; further ones are
    /// closed. Peers that many clients share are exempt, see [`Server::with_shared_peers`].
    pub max_connections_per_peer: usize,
    /// Largest request head, in bytes.
    pub max_head_bytes: usize,
    /// Limit on receiving a request head. An idle connection is closed after this time too.
    pub head_timeout: Duration,
    /// Limit on waiting for a client that does not read the response.
    pub write_timeout: Duration,
    /// Longest life of a connection. Clients can connect again.
    pub max_connection_age: Duration,
    /// Limit on finishing open requests when the server stops.
    pub drain_timeout: Duration,
}

/// A port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} (setting `{setting}`)")]
pub struct BindError {
    /// The setting with the address.
    pub setting: &'static str,
    pub address: SocketAddr,
    #[source]
    pub source: io::Error,
}

/// A bound port that is not served yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    is_shared_peer: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the address that this setting has.
    pub fn bind(setting: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        Self::listen(address).map_err(|source| BindError {
            setting,
            address,
            source,
        })
    }

    fn listen(listen: SocketAddr) -> io::Result<Self> {
        let socket = match listen {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        #[cfg(unix)] // on Windows, it would let another process take the port
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?; // accepted connections inherit it
        socket.bind(listen)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            is_shared_peer: Box::new(|_| false),
        })
    }

    /// Exempts the peers that many clients share, such as proxies, from
    /// [`ServerLimits::max_connections_per_peer`].
    #[must_use]
    pub fn with_shared_peers(
        mut self,
        is_shared: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_shared_peer = Box::new(is_shared);
        self
    }

    /// The address, with the actual port if port 0 was requested.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, then lets open requests finish within
    /// [`ServerLimits::drain_timeout`]. Handlers get the peer's address as
    /// `ConnectInfo<SocketAddr>`.
    pub async fn serve(self, router: Router, limits: ServerLimits, shutdown: CancellationToken) {
        let permits = Arc::new(Semaphore::new(limits.max_connections));
        let (connections, peers) = (TaskTracker::new(), Peers::default());
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accept(&self.listener, &permits) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let Ok(counted) = self.count(&peers, peer.ip(), limits) else {
                        debug!(client.address = %peer.ip(), "closed a connection over the limit of its peer");
                        continue;
                    };
                    let (router, shutdown) = (router.clone(), shutdown.clone());
                    connections.spawn(async move {
                        connection(stream, peer, router, limits, shutdown).await;
                        drop((permit, counted));
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

    /// Counts a connection of a peer that is not shared.
    fn count(
        &self,
        peers: &Peers,
        peer: IpAddr,
        limits: ServerLimits,
    ) -> Result<Option<PeerConnection>, TooManyConnections> {
        if (self.is_shared_peer)(peer) {
            return Ok(None);
        }
        peers
            .connect(peer, limits.max_connections_per_peer)
            .map(Some)
            .ok_or(TooManyConnections)
    }
}

/// The peer has as many open connections as it may have.
struct TooManyConnections;

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
    let stream = WriteTimeout::new(stream, limits.write_timeout);
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
