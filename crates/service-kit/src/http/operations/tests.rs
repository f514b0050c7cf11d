//! Probes and metrics over real sockets.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::Server;
use super::*;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reports the readiness that the test sets.
struct FakeProbes(Mutex<Result<&'static str, String>>);

impl Probes for FakeProbes {
    fn live(&self) -> Result<&'static str, String> {
        Ok("alive")
    }
    fn ready(&self) -> Result<&'static str, String> {
        self.0.lock().expect("lock").clone()
    }
    fn metrics(&self) -> Result<String, fmt::Error> {
        Ok("# EOF\n".to_owned())
    }
}

struct Running {
    address: SocketAddr,
    fake: Arc<FakeProbes>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start() -> Running {
    let server = Server::bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).expect("port");
    let fake = Arc::new(FakeProbes(Mutex::new(Err(
        "not ready: warming up".to_owned()
    ))));
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let probes: Arc<dyn Probes> = fake.clone();
    let task = tokio::spawn(server.serve(router(probes), LIMITS, shutdown.clone()));
    Running {
        address,
        fake,
        shutdown,
        task,
    }
}

async fn send(address: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        // The server may reject the request and close the connection before it has read all of it.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        String::from_utf8_lossy(&response).into_owned()
    };
    timeout(RESPONSE_TIMEOUT, exchange)
        .await
        .expect("a response in time")
}

async fn get_path(address: SocketAddr, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn the_endpoints_report_what_the_probes_say() {
    let running = start();
    let response = get_path(running.address, "/livez").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let response = get_path(running.address, "/readyz").await;
    assert!(
        response.starts_with("HTTP/1.1 503") && response.contains("warming up"),
        "{response}"
    );
    *running.fake.0.lock().expect("lock") = Ok("ready");
    let response = get_path(running.address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    running.shutdown.cancel();
    running.task.await.expect("ended");
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let response = get_path(start().address, "/metrics").await;
    assert!(response.contains(OPEN_METRICS), "{response}");
    assert!(response.trim_end().ends_with("# EOF"), "{response}");
}

#[tokio::test]
async fn other_paths_and_methods_are_rejected() {
    let running = start();
    assert!(
        get_path(running.address, "/")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let post =
        "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert!(
        send(running.address, post)
            .await
            .starts_with("HTTP/1.1 405")
    );
}

#[tokio::test]
async fn a_request_head_over_the_limit_is_rejected() {
    let running = start();
    let filler = "a".repeat(2 * LIMITS.max_head_bytes);
    let response = send(
        running.address,
        &format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {filler}\r\n\r\n"),
    )
    .await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}

#[tokio::test]
async fn shutdown_closes_the_port_without_waiting_for_idle_connections() {
    let running = start();
    let idle = TcpStream::connect(running.address)
        .await
        .expect("connected");
    running.shutdown.cancel();
    timeout(RESPONSE_TIMEOUT, running.task)
        .await
        .expect("in time")
        .expect("ended");
    assert!(TcpStream::connect(running.address).await.is_err(), "closed");
    drop(idle);
}
