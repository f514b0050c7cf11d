//! Limits on clients, over real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Server, ServerLimits};

const TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);
const LIMITS: ServerLimits = ServerLimits {
    max_connections: 64,
    max_connections_per_peer: 2,
    max_head_bytes: 16 * 1024,
    head_timeout: TIMEOUT,
    write_timeout: WRITE_TIMEOUT,
    max_connection_age: Duration::from_hours(1),
    drain_timeout: Duration::ZERO,
};
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Signals when it is dropped.
struct OnDrop(CancellationToken);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// An endless response; the token is cancelled when the server drops it.
fn endless(dropped: CancellationToken) -> Body {
    let block = Bytes::from(vec![0; 64 * 1024]);
    Body::from_stream(stream::unfold(OnDrop(dropped), move |guard| {
        let block = block.clone();
        async move { Some((Ok::<_, std::io::Error>(block), guard)) }
    }))
}

fn serve(server: Server, router: Router) -> (SocketAddr, TaskTracker) {
    let address = server.address();
    let tasks = TaskTracker::new();
    tasks.spawn(server.serve(router, LIMITS, CancellationToken::new()));
    (address, tasks)
}

fn server() -> Server {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::bind("listen", any).expect("a port")
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("connected")
}

/// Sends a request and returns whether there is a response.
async fn responds(stream: &mut TcpStream) -> bool {
    let exchange = async {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut [0; 12]).await
    };
    timeout(TIMEOUT, exchange).await.expect("in time").is_ok()
}

#[tokio::test]
async fn a_client_that_stops_reading_is_disconnected() {
    let dropped = CancellationToken::new();
    let token = dropped.clone();
    let router = Router::new().route("/", get(async move || endless(token.clone())));
    let (address, _tasks) = serve(server(), router);
    let mut client = connect(address).await;
    assert!(responds(&mut client).await);
    timeout(TIMEOUT, dropped.cancelled())
        .await
        .expect("the server gives up");
}

#[tokio::test]
async fn a_client_that_reads_is_served_for_longer_than_the_write_timeout() {
    let dropped = CancellationToken::new();
    let token = dropped.clone();
    let router = Router::new().route("/", get(async move || endless(token.clone())));
    let (address, _tasks) = serve(server(), router);
    let mut client = connect(address).await;
    client.write_all(REQUEST).await.expect("sent");
    let mut buffer = vec![0; 64 * 1024];
    let started = Instant::now();
    while started.elapsed() < 4 * WRITE_TIMEOUT {
        let count = client.read(&mut buffer).await.expect("served");
        assert!(count > 0, "the server closed the connection");
    }
    assert!(!dropped.is_cancelled());
}

#[tokio::test]
async fn connections_over_the_limit_of_a_peer_are_closed() {
    let router = Router::new().route("/", get(async || "hello"));
    let (address, _tasks) = serve(server(), router);
    let (mut first, mut second) = (connect(address).await, connect(address).await);
    assert!(responds(&mut first).await && responds(&mut second).await);
    assert!(!responds(&mut connect(address).await).await);
    drop(first);
    let again = async {
        while !responds(&mut connect(address).await).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, again).await.expect("room for another");
}

#[tokio::test]
async fn shared_peers_have_no_limit_of_their_own() {
    let router = Router::new().route("/", get(async || "hello"));
    let server = server().with_shared_peers(|peer| peer.is_loopback());
    let (address, _tasks) = serve(server, router);
    let mut open = Vec::new();
    for _ in 0..=LIMITS.max_connections_per_peer {
        let mut stream = connect(address).await;
        assert!(responds(&mut stream).await);
        open.push(stream);
    }
}
