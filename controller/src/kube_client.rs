//! The connection to the Kubernetes API: found as kubectl finds it, with a limit on everything.
//!
//! A layer around the client gives every request a deadline, whoever makes it, and counts it. Watches are limited up to their first
//! byte; after that the watcher's own idle timeout holds.

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

/// Limit on sending one request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// What the controller calls itself in the API server's audit log.
const USER_AGENT: &str = concat!("tenant-controller/", env!("CARGO_PKG_VERSION"));

/// There is no way to the Kubernetes API.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a Pod's `ServiceAccount` was found, or it cannot be used.
    #[error(
        "the Kubernetes API cannot be found: {0}. Set KUBECONFIG, or run in a Pod with a ServiceAccount"
    )]
    NoCluster(String),
    /// The client could not be made, as with certificates that cannot be read.
    #[error("the Kubernetes API at {url} cannot be used: {problem}")]
    Client {
        /// The API server.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

/// Where the API server is, and as whom to talk to it: KUBECONFIG, `~/.kube/config`, or the Pod's `ServiceAccount`. Reads files only.
pub async fn find_cluster() -> Result<Config, ConnectError> {
    Config::infer()
        .await
        .map_err(|error: InferConfigError| ConnectError::NoCluster(error_chain(&error)))
}

/// A client for the cluster. Nothing is sent yet.
pub fn client(
    mut cluster: Config,
    settings: &crate::config::Kube,
    metrics: Arc<Metrics>,
) -> Result<Client, ConnectError> {
    let url = cluster.cluster_url.to_string();
    cluster.connect_timeout = Some(settings.connect_timeout);
    cluster.write_timeout = Some(WRITE_TIMEOUT);
    // A watch is silent for minutes; the layer limits everything else.
    cluster.read_timeout = None;
    cluster.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    let builder = ClientBuilder::try_from(cluster).map_err(|error| ConnectError::Client {
        url,
        problem: describe(&error),
    })?;
    let layer = RequestLayer::new(settings.call_deadline, metrics);
    Ok(builder.with_layer(&layer).build())
}

/// The error of a call in one line, with the API server's own words where it answered.
pub fn describe(error: &kube::Error) -> String {
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
