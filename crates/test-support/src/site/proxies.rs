//! Proxies between the app and its servers.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use local_stack::chat_app::ChatAppOptions;
use local_stack::chat_app::release::DATABASE;

use crate::Cluster;
use crate::cluster::through_port;
use crate::proxy::Proxy;

/// The environment variable of the main database's URI.
const DATABASE_VARIABLE: &str = "CHAT_APP_DATABASE_URL";

/// Proxies between the app and its servers.
#[derive(Debug)]
pub struct SiteProxies {
    /// In front of the main database.
    pub database: Proxy,
    /// In front of the API server.
    pub kube: Proxy,
}

impl SiteProxies {
    /// Starts the proxies, and changes the app's kubeconfig and database URI to use them.
    pub(super) async fn install(
        app: &mut ChatAppOptions,
        direct: &str,
        cluster: &Cluster,
        folder: &Path,
    ) -> Result<Self> {
        let mut url = url::Url::parse(direct)?;
        let database = Proxy::start(url.port().context("the database's URI has no port")?).await?;
        url.set_port(Some(database.port()))
            .map_err(|()| anyhow::anyhow!("failed to set the port of the database's URI"))?;
        for (name, value) in &mut app.environment {
            if name == DATABASE_VARIABLE {
                *value = url.as_str().into();
            }
        }
        let server = url::Url::parse(&cluster.plane().url())?;
        let kube = Proxy::start(server.port().context("the API server's URL has no port")?).await?;
        app.kubeconfig = through_port(&app.kubeconfig, folder, "chat-app", kube.port())?;
        Ok(Self { database, kube })
    }
}

/// The URI of the main database that the chart sets.
pub(super) fn database_url(app: &ChatAppOptions) -> Result<String> {
    let found = app
        .environment
        .iter()
        .find(|(name, _)| name == DATABASE_VARIABLE);
    let (_, url) = found.with_context(|| format!("the chart does not set {DATABASE_VARIABLE}"))?;
    let url = url.to_str().context("the URI is not UTF-8")?.to_owned();
    ensure!(url.contains(DATABASE), "the app uses another database");
    Ok(url)
}
