//! The port as a kubelet and a Prometheus see it, over real sockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::health::Role;

/// Limit on an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    health: Health,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("port");
    let (address, health, stop) = (server.address(), Health::new(), CancellationToken::new());
    let task = tokio::spawn(server.serve(health.clone(), Arc::new(Metrics::new()), stop.clone()));
    Running {
        address,
        health,
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
async fn probes_follow_the_health_of_the_process() {
    let running = start().await;
    assert!(
        get_path(running.address, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let answer = get_path(running.address, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("was not reached"),
        "{answer}"
    );
    running.health.set_role(Role::Standby);
    let answer = get_path(running.address, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("standing by"),
        "{answer}"
    );
    running.stop.cancel();
    running.task.await.expect("ended");
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let running = start().await;
    let answer = get_path(running.address, "/metrics").await;
    assert!(
        answer.contains(OPEN_METRICS) && answer.contains("tenant_controller_leader 0"),
        "{answer}"
    );
    assert!(answer.trim_end().ends_with("# EOF"));
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
    let filler = "a".repeat(2 * HEAD_BYTES_MAX);
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
