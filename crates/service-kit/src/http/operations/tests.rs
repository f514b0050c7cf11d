//! The port as a kubelet and a Prometheus see it, over real sockets.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::Server;
use super::*;

/// Limit on an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that says what the test has it say.
struct Told(Mutex<Result<&'static str, String>>);

impl Vitals for Told {
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
    told: Arc<Told>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("port");
    let told = Arc::new(Told(Mutex::new(Err("not ready: warming up".to_owned()))));
    let (address, stop) = (server.address(), CancellationToken::new());
    let vitals: Arc<dyn Vitals> = told.clone();
    let task = tokio::spawn(server.serve(router(vitals), BOUNDS, stop.clone()));
    Running {
        address,
        told,
        stop,
        task,
    }
}

async fn send(address: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        // A server that has seen enough closes while we still write.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(ANSWER_TIMEOUT, exchange)
        .await
        .expect("an answer in time")
}

async fn get_path(address: SocketAddr, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn probes_say_what_the_process_says() {
    let running = start().await;
    let answer = get_path(running.address, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = get_path(running.address, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("warming up"),
        "{answer}"
    );
    *running.told.0.lock().expect("lock") = Ok("ready");
    let answer = get_path(running.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.stop.cancel();
    running.task.await.expect("ended");
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let answer = get_path(start().await.address, "/metrics").await;
    assert!(answer.contains(OPEN_METRICS), "{answer}");
    assert!(answer.trim_end().ends_with("# EOF"), "{answer}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let running = start().await;
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
async fn a_head_longer_than_the_limit_is_refused() {
    let running = start().await;
    let filler = "a".repeat(2 * BOUNDS.head_bytes_max);
    let answer = send(
        running.address,
        &format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {filler}\r\n\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn stopping_does_not_wait_for_idle_connections_and_closes_the_port() {
    let running = start().await;
    let idle = TcpStream::connect(running.address)
        .await
        .expect("connected");
    running.stop.cancel();
    timeout(ANSWER_TIMEOUT, running.task)
        .await
        .expect("in time")
        .expect("ended");
    assert!(TcpStream::connect(running.address).await.is_err(), "closed");
    drop(idle);
}
