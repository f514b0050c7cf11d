//! An OpenID provider for browser tests: npm's certified `oidc-provider`, whose sign-in page takes any name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::control_plane::free_port;
use crate::http_process::HttpProcess;
use crate::install;
use crate::repository;

/// From start to discovery; a second when nothing is wrong.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// It keeps nothing.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A running provider with one client. Dropping it stops it.
#[derive(Debug)]
pub struct OpenIdProvider {
    issuer: String,
    process: HttpProcess,
}

impl OpenIdProvider {
    /// As the provider knows the app.
    pub const CLIENT_ID: &'static str = "chat-app";
    /// The app's password with it.
    pub const CLIENT_SECRET: &'static str = "a-secret-of-the-tests";

    /// Starts it, and lets it send people back to `redirect_uri`.
    pub async fn start(folder: &Path, redirect_uri: &str) -> Result<Self> {
        let (node, modules) = tokio::task::spawn_blocking(|| {
            anyhow::Ok((install::node()?, install::browser_modules()?))
        })
        .await??;
        let port = free_port()?;
        let issuer = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(node);
        command
            .arg(repository().join("tests/browser/openid-provider.mjs"))
            .env("BROWSER_MODULES", modules)
            .env("ISSUER", &issuer)
            .env("PORT", port.to_string())
            .env("CLIENT_ID", Self::CLIENT_ID)
            .env("CLIENT_SECRET", Self::CLIENT_SECRET)
            .env("REDIRECT_URI", redirect_uri);
        let log = folder.join("openid-provider.log");
        let mut process = HttpProcess::spawn("the OpenID provider", &command, &log, STOP_GRACE)?;
        let discovery = format!("{issuer}/.well-known/openid-configuration");
        process.wait_until_ready(&discovery, READY_LIMIT).await?;
        Ok(Self { issuer, process })
    }

    /// Its issuer URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Stops it.
    pub async fn stop(self) {
        self.process.terminate().await;
    }
}
