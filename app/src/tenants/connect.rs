//! The connection to the Kubernetes API: found as kubectl finds it.

use std::time::Duration;

use kube::{Client, Config};

/// Limit on opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on sending one request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// What the app calls itself in the API server's audit log.
const USER_AGENT: &str = concat!("chat-app/", env!("CARGO_PKG_VERSION"));

/// There is no way to the Kubernetes API.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a Pod's `ServiceAccount` was found, or it cannot be used.
    #[error(
        "the Kubernetes API cannot be found; set KUBECONFIG, or run in a Pod with a ServiceAccount"
    )]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The client could not be made, as with certificates that cannot be read.
    #[error("the Kubernetes API at {url} cannot be used")]
    Client {
        /// The API server.
        url: String,
        /// What is wrong.
        #[source]
        source: kube::Error,
    },
}

/// A client for the cluster that KUBECONFIG, `~/.kube/config` or the Pod's `ServiceAccount` names. Nothing is sent yet.
pub async fn client() -> Result<Client, ConnectError> {
    let mut config = Config::infer().await.map_err(ConnectError::NoCluster)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    let url = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| ConnectError::Client { url, source })
}
