//! Proxies between the app and what it stands on.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use xtask::chat_app::ChatAppOptions;
use xtask::chat_app::release::DATABASE;

use crate::Cluster;
use crate::cluster::through;
use crate::proxy::Proxy;

/// The variable with the main database's URI.
const DATABASE_VARIABLE: &str = "CHAT_APP_DATABASE_URL";

/// Proxies between the app and what it stands on.
#[derive(Debug)]
pub struct SiteProxies {
    /// Before the main database.
    pub database: Proxy,
    /// Before the API server.
    pub kube: Proxy,
}

impl SiteProxies {
    /// Leads the app through proxies: rewrites its kubeconfig and its database's URI.
    pub(super) async fn before(
        app: &mut ChatAppOptions,
        direct: &str,
        cluster: &Cluster,
        folder: &Path,
    ) -> Result<Self> {
        let mut url = url::Url::parse(direct)?;
        let database = Proxy::start(url.port().context("a URI without a port")?).await?;
        url.set_port(Some(database.port()))
            .map_err(|()| anyhow::anyhow!("the URI takes no port"))?;
        for (name, value) in &mut app.environment {
            if name == DATABASE_VARIABLE {
                *value = url.as_str().into();
            }
        }
        let server = url::Url::parse(&cluster.plane().url())?;
        let kube = Proxy::start(server.port().context("a URL without a port")?).await?;
        app.kubeconfig = through(&app.kubeconfig, folder, "chat-app", kube.port())?;
        Ok(Self { database, kube })
    }
}

/// The URI of the main database, as the chart gives it.
pub(super) fn database_url(app: &ChatAppOptions) -> Result<String> {
    let found = app
        .environment
        .iter()
        .find(|(name, _)| name == DATABASE_VARIABLE);
    let (_, url) = found.with_context(|| format!("the chart sets no {DATABASE_VARIABLE}"))?;
    let url = url.to_str().context("the URI is not UTF-8")?.to_owned();
    ensure!(url.contains(DATABASE), "the app has another database");
    Ok(url)
}
