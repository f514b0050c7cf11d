//! The client for the Kubernetes API: configured as kubectl is, with a timeout on every request.
//!
//! A layer around the client limits and records every request. For a watch the timeout covers the
//! time until the response headers; after that, the watcher's own idle timeout applies.

mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::InferConfigError;
use kube::{Client, Config};
use service_kit::error_chain;
use tower::BoxError;

use crate::telemetry::Metrics;
use request::RequestLayer;

/// For sending one request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// As recorded in the API server's audit log.
const USER_AGENT: &str = concat!("tenant-controller/", env!("CARGO_PKG_VERSION"));

/// Why no client could be created.
#[derive(Debug, thiserror::Error)]
pub enum KubeClientError {
    /// Neither a kubeconfig nor a Pod's `ServiceAccount` was found, or it is invalid.
    #[error(
        "failed to find a Kubernetes cluster: {0}. Set KUBECONFIG, or run in a Pod with a ServiceAccount"
    )]
    NoCluster(String),
    /// For example because of invalid certificates.
    #[error("failed to create a client for the Kubernetes API at {url}: {problem}")]
    InvalidConfig { url: String, problem: String },
}

/// Limit on connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the API server and the credentials: from `KUBECONFIG`, `~/.kube/config`, or the Pod's
/// `ServiceAccount`. Reads files only.
pub async fn infer_config() -> Result<Config, KubeClientError> {
    Config::infer()
        .await
        .map_err(|error: InferConfigError| KubeClientError::NoCluster(error_chain(&error)))
}

/// Creates the client without sending a request.
pub fn build(
    mut cluster: Config,
    settings: &crate::config::Kube,
    metrics: Arc<Metrics>,
) -> Result<Client, KubeClientError> {
    let url = cluster.cluster_url.to_string();
    cluster.connect_timeout = Some(CONNECT_TIMEOUT);
    cluster.write_timeout = Some(WRITE_TIMEOUT);
    // A watch can be silent for minutes; the layer limits all other requests.
    cluster.read_timeout = None;
    cluster.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    let builder =
        ClientBuilder::try_from(cluster).map_err(|error| KubeClientError::InvalidConfig {
            url,
            problem: describe_error(&error),
        })?;
    let layer = RequestLayer::new(settings.call_timeout, metrics);
    Ok(builder.with_layer(&layer).build())
}

/// The error in one line, with the API server's message if it sent one.
pub fn describe_error(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => {
            format!("{} ({})", status.message, status.code)
        }
        kube::Error::Service(source) => {
            let source: &BoxError = source;
            error_chain(source.as_ref())
        }
        error => error_chain(error),
    }
}
