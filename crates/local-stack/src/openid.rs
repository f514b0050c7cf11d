//! An OpenID provider for the browser tests: the certified npm package `oidc-provider`, whose
//! sign-in page accepts any name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::control_plane::free_port;
use crate::http_process::HttpProcess;
use crate::repository;

/// From the start until discovery works, which normally takes a second.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The provider has no state to save.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A running provider with one client. Dropping it stops it.
#[derive(Debug)]
pub struct OpenIdProvider {
    issuer: String,
    process: HttpProcess,
}

impl OpenIdProvider {
    pub const CLIENT_ID: &'static str = "chat-app";
    pub const CLIENT_SECRET: &'static str = "a-secret-of-the-tests";

    /// Starts the provider with one client, whose users return to `redirect_uri`.
    pub async fn start(folder: &Path, redirect_uri: &str) -> Result<Self> {
        let (node, modules) = tokio::task::spawn_blocking(|| {
            anyhow::Ok((installer::node()?, installer::browser_modules()?))
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
        let mut process = HttpProcess::spawn("the OpenID provider", command, &log, STOP_GRACE)?;
        let discovery = format!("{issuer}/.well-known/openid-configuration");
        process.wait_until_ready(&discovery, READY_TIMEOUT).await?;
        Ok(Self { issuer, process })
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub async fn stop(self) {
        self.process.terminate().await;
    }
}
