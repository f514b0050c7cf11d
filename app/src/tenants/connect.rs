//! Creates the Kubernetes client, from the same sources as kubectl.

use std::time::Duration;

use kube::{Client, Config};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// Identifies the app in the API server's audit log.
const USER_AGENT: &str = concat!("chat-app/", env!("CARGO_PKG_VERSION"));

/// Why the Kubernetes client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "no usable Kubernetes configuration found; set KUBECONFIG, or run in a Pod with a ServiceAccount"
    )]
    NoCluster(#[source] kube::config::InferConfigError),
    #[error("failed to create a client for the Kubernetes API at {url}")]
    Client {
        url: String,
        #[source]
        source: kube::Error,
    },
}

/// Returns a client for the cluster configured by KUBECONFIG, `~/.kube/config` or the Pod's
/// `ServiceAccount`. Sends no request yet.
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
