//! The cluster that the demo runs in: one of our own, or the developer's (`KUBECONFIG`).
//!
//! A cluster of the developer's own is only used when it is on this machine, or named on purpose, and when it is free of
//! what the demo would make: nobody's production becomes a stage by an exported variable.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::KUBECONFIG;
use super::run::output;
use crate::control_plane::{ControlPlane, Options};
use crate::install::{self, Clients, variable};

/// Set to the name of the current context to let the demo use a cluster that is not on this machine.
const CONTEXT_ON_PURPOSE: &str = "DEMO_KUBE_CONTEXT";
/// Servers that are on this machine.
const LOCAL_HOSTS: [&str; 4] = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"];
/// How long a token for the controller is good for.
const TOKEN_DURATION: &str = "24h";

/// A cluster, as its administrator.
#[derive(Debug)]
pub(super) struct Cluster {
    kubeconfig: PathBuf,
    clients: Clients,
    folder: PathBuf,
    /// Ours, if it is ours.
    plane: Option<ControlPlane>,
}

impl Cluster {
    /// The one of `KUBECONFIG`, if that is set, else a control plane of our own. `folder` is the run's.
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let clients = tokio::task::spawn_blocking(install::clients).await??;
        if variable(KUBECONFIG).is_some() {
            return Self::given(folder, clients).await;
        }
        let plane = ControlPlane::start(Options::default()).await?;
        Ok(Self {
            kubeconfig: plane.kubeconfig().to_owned(),
            clients,
            folder: folder.to_owned(),
            plane: Some(plane),
        })
    }

    async fn given(folder: &Path, clients: Clients) -> Result<Self> {
        let unusable = "KUBECONFIG cannot be used; correct it or unset it";
        let mut view = Command::new(&clients.kubectl);
        view.args([
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--output=json",
        ]);
        let config: Value =
            serde_json::from_str(&output(view).await.context(unusable)?).context(unusable)?;
        let context = config["current-context"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let server = config["clusters"][0]["cluster"]["server"]
            .as_str()
            .context(unusable)?
            .to_owned();
        let local = LOCAL_HOSTS
            .iter()
            .any(|host| server.starts_with(&format!("https://{host}:")));
        if !local && env::var(CONTEXT_ON_PURPOSE).ok().as_deref() != Some(&context) {
            bail!(
                "KUBECONFIG leads to {server} (context {context}), which is not on this machine. Unset KUBECONFIG for a \
                 cluster of the demo's own, or set {CONTEXT_ON_PURPOSE}={context} if you do mean that one"
            );
        }
        let kubeconfig = folder.join("admin.kubeconfig");
        crate::control_plane::write_private(&kubeconfig, &config.to_string())?;
        let cluster = Self {
            kubeconfig,
            clients,
            folder: folder.to_owned(),
            plane: None,
        };
        let taken = output(cluster.kubectl(&[
            "get",
            "--ignore-not-found",
            "--output=name",
            "namespace/tenants",
            "namespace/tenant-system",
            "namespace/chat",
            "namespace/chat-tenants",
        ]))
        .await
        .context(unusable)?;
        if !taken.trim().is_empty() {
            bail!(
                "the cluster of context {context} already has {}, which the demo would make; nothing was changed",
                taken.trim().replace('\n', " and ")
            );
        }
        Ok(cluster)
    }

    /// Whether everything in it goes with the run.
    pub(super) fn is_ours(&self) -> bool {
        self.plane.is_some()
    }

    /// The administrator's kubeconfig.
    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The run's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The programs that people are shown.
    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// `kubectl` with these arguments.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Command {
        self.client(&self.clients.kubectl, arguments)
    }

    /// `helm` with these arguments.
    pub(super) fn helm(&self, arguments: &[&str]) -> Command {
        let mut command = self.client(&self.clients.helm, arguments);
        for (name, folder) in [
            ("HELM_CACHE_HOME", "helm-cache"),
            ("HELM_CONFIG_HOME", "helm-config"),
            ("HELM_DATA_HOME", "helm-data"),
        ] {
            command.env(name, self.folder.join(folder));
        }
        command
    }

    fn client(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.folder.join("kubectl-cache"));
        command
    }

    /// A kubeconfig with the token of a `ServiceAccount`: what the controller may do, and no more.
    pub(super) async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf> {
        let token = output(self.kubectl(&[
            "create",
            "token",
            name,
            "--namespace",
            namespace,
            "--duration",
            TOKEN_DURATION,
        ]))
        .await?;
        let view = self.kubectl(&[
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--output=json",
        ]);
        let mut config: Value = serde_json::from_str(&output(view).await?)?;
        config["users"][0]["user"] = json!({"token": token.trim()});
        let path = self.folder.join(format!("{name}.kubeconfig"));
        crate::control_plane::write_private(&path, &config.to_string())?;
        Ok(path)
    }

    /// The last lines of each server's log, if the servers are ours.
    pub(super) fn log_tails(&self, lines: usize) -> String {
        self.plane
            .as_ref()
            .map(|plane| plane.log_tails(lines))
            .unwrap_or_default()
    }

    /// Stops it, if it is ours.
    pub(super) async fn stop(self) {
        if let Some(plane) = self.plane {
            plane.stop().await;
        }
    }
}
