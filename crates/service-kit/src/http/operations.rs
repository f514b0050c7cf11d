//! `/livez`, `/readyz` and `/metrics`. Nothing is read from bodies, and nothing is shown but words about the process and numbers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::warn;

use super::Bounds;

/// What `OpenMetrics` text calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// For a port that a kubelet and a few scrapers ask.
pub const BOUNDS: Bounds = Bounds {
    connections_max: 64,
    head_bytes_max: 16 * 1024,
    head_timeout: Duration::from_secs(30),
    connection_life_max: Duration::from_mins(10),
    drain_timeout: Duration::from_secs(2),
};

/// What a program says of itself.
pub trait Vitals: Send + Sync + 'static {
    /// For `/livez`: a word, or what is wrong. What others do never makes a process not alive, for a restart would mend nothing.
    fn live(&self) -> Result<&'static str, String>;
    /// For `/readyz`: a word, or what is being waited for.
    fn ready(&self) -> Result<&'static str, String>;
    /// For `/metrics`: `OpenMetrics` text.
    fn metrics(&self) -> Result<String, fmt::Error>;
}

/// The three addresses.
pub fn router(vitals: Arc<dyn Vitals>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(vitals)
}

async fn livez(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    verdict(vitals.live())
}

async fn readyz(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    verdict(vitals.ready())
}

fn verdict(result: Result<&'static str, String>) -> Response {
    match result {
        Ok(word) => (StatusCode::OK, format!("{word}\n")).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    match vitals.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            warn!(error = %error, "Metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
