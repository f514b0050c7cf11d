//! The endpoints `/livez`, `/readyz` and `/metrics`, for the kubelet and Prometheus.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{BindError, Server, ServerLimits};

/// The media type of the `OpenMetrics` text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Limits for a port that only a kubelet and a few scrapers use.
const LIMITS: ServerLimits = ServerLimits {
    max_connections: 64,
    max_connections_per_peer: 64,
    max_head_bytes: 16 * 1024,
    head_timeout: Duration::from_secs(30),
    write_timeout: Duration::from_secs(30),
    max_connection_age: Duration::from_mins(10),
    drain_timeout: Duration::from_secs(2),
};

/// What a program reports about itself.
pub trait Probes: Send + Sync + 'static {
    /// The state for `/livez`, or what is wrong. Failures of other services must not make a process
    /// fail its liveness probe: a restart would not repair them.
    fn live(&self) -> Result<&'static str, String> {
        Ok("alive")
    }
    /// The state for `/readyz`, or what the process is waiting for.
    fn ready(&self) -> Result<&'static str, String>;
    /// The metrics for `/metrics`, as `OpenMetrics` text.
    fn metrics(&self) -> Result<String, fmt::Error>;
}

/// The server of the endpoints. It answers from the start of a process until its end.
#[derive(Debug)]
pub struct OperationsServer {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl OperationsServer {
    /// Serves the endpoints on the address that this setting has. Requires a Tokio runtime.
    pub fn start(
        setting: &'static str,
        address: SocketAddr,
        probes: Arc<dyn Probes>,
    ) -> Result<Self, BindError> {
        let server = Server::bind(setting, address)?;
        info!(operations.address = %server.address(), "serving /livez, /readyz and /metrics");
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(router(probes), LIMITS, stop.clone()));
        Ok(Self { stop, serving })
    }

    /// Lets open requests finish within a limit, and closes the port.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.serving.await {
            warn!(error = %error, "the server of /livez, /readyz and /metrics failed");
        }
    }
}

fn router(probes: Arc<dyn Probes>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn livez(State(probes): State<Arc<dyn Probes>>) -> Response {
    probe_response(probes.live())
}

async fn readyz(State(probes): State<Arc<dyn Probes>>) -> Response {
    probe_response(probes.ready())
}

fn probe_response(result: Result<&'static str, String>) -> Response {
    match result {
        Ok(state) => (StatusCode::OK, format!("{state}\n")).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(probes): State<Arc<dyn Probes>>) -> Response {
    match probes.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            warn!(error = %error, "failed to encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
