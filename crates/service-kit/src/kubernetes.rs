//! The client for the Kubernetes API and its watches: configured as kubectl is, with a timeout on
//! every request.
//!
//! [`RequestLayer`] limits every request and reports it to a [`RequestObserver`]. For a watch the
//! timeout covers the time until the response headers; after that, the watcher's own idle timeout
//! applies.

mod request;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};

use crate::error_chain;
use crate::telemetry::Program;

pub use request::{NoObserver, RequestLayer, RequestObserver, RequestOutcome};
pub use watch::{WatchHealth, signal_synced, watch, watch_config};

/// Limit on connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on sending one request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

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

/// Finds the API server and the credentials: from `KUBECONFIG`, `~/.kube/config`, or the Pod's
/// `ServiceAccount`. Reads files only.
pub async fn infer_config() -> Result<Config, KubeClientError> {
    Config::infer()
        .await
        .map_err(|error| KubeClientError::NoCluster(error_chain(&error)))
}

/// Creates the client without sending a request. The API server's audit log shows the program's
/// name and version. `call_timeout` limits each request and its response.
pub fn client(
    mut cluster: Config,
    program: &Program,
    call_timeout: Duration,
    observer: Arc<dyn RequestObserver>,
) -> Result<Client, KubeClientError> {
    let url = cluster.cluster_url.to_string();
    let invalid = |problem| KubeClientError::InvalidConfig { url, problem };
    let user_agent = format!("{}/{}", program.name, program.version);
    let user_agent = match http::HeaderValue::try_from(user_agent) {
        Ok(user_agent) => user_agent,
        Err(error) => return Err(invalid(error.to_string())),
    };
    cluster.headers.push((http::header::USER_AGENT, user_agent));
    cluster.connect_timeout = Some(CONNECT_TIMEOUT);
    cluster.write_timeout = Some(WRITE_TIMEOUT);
    // A watch can be silent for minutes; the layer limits all other requests.
    cluster.read_timeout = None;
    let builder = match ClientBuilder::try_from(cluster) {
        Ok(builder) => builder,
        Err(error) => return Err(invalid(describe_error(&error))),
    };
    let layer = RequestLayer::new(call_timeout, observer);
    Ok(builder.with_layer(&layer).build())
}

/// The error in one line, with the API server's message if it sent one.
pub fn describe_error(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => {
            format!("{} ({})", status.message, status.code)
        }
        kube::Error::Service(source) => error_chain(source.as_ref()),
        error => error_chain(error),
    }
}
