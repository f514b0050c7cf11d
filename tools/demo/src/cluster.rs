//! The cluster that the demo runs in: a new control plane, or the developer's cluster
//! (`KUBECONFIG`).
//!
//! To protect production clusters, the demo uses the developer's cluster only if its API server is
//! on this machine or its context is confirmed in an environment variable, and only if it has none
//! of the demo's namespaces.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use installer::external::KUBECONFIG;
use installer::{Clients, ControllerManager, environment_variable};
use local_stack::control_plane::{ControlPlane, Options, write_private};
use serde_json::{Value, json};

use crate::command::output;

/// The controller's namespace.
pub(crate) const SYSTEM_NAMESPACE: &str = "tenant-system";
/// The namespace of the three Tenants.
pub(crate) const TENANTS_NAMESPACE: &str = "tenants";
/// Must be the name of the current context if the cluster is not on this machine.
const CONFIRMED_CONTEXT: &str = "DEMO_KUBE_CONTEXT";
const LOCAL_HOSTS: [&str; 4] = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"];
/// The validity of the controller's token.
const TOKEN_DURATION: &str = "24h";

/// A cluster with an administrator's credentials.
#[derive(Debug)]
pub(crate) struct Cluster {
    kubeconfig: PathBuf,
    clients: Clients,
    folder: PathBuf,
    /// `None` for the developer's cluster.
    control_plane: Option<ControlPlane>,
}

impl Cluster {
    /// Uses the cluster of `KUBECONFIG` if that is set, or starts a control plane. `folder` is the
    /// run's folder.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let clients = tokio::task::spawn_blocking(installer::clients).await??;
        if environment_variable(KUBECONFIG).is_some() {
            return Self::existing(folder, clients).await;
        }
        let options = Options {
            controller_manager: ControllerManager::Optional,
            ..Options::default()
        };
        let control_plane = ControlPlane::start(options).await?;
        Ok(Self {
            kubeconfig: control_plane.kubeconfig().to_owned(),
            clients,
            folder: folder.to_owned(),
            control_plane: Some(control_plane),
        })
    }

    async fn existing(folder: &Path, clients: Clients) -> Result<Self> {
        let unusable = "KUBECONFIG is not usable; correct it or unset it";
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
        if !local && env::var(CONFIRMED_CONTEXT).ok().as_deref() != Some(&context) {
            bail!(
                "the API server of KUBECONFIG, {server} (context {context}), is not on this machine: unset KUBECONFIG to \
                 let the demo start its own cluster, or set {CONFIRMED_CONTEXT}={context} to use this one"
            );
        }
        let kubeconfig = folder.join("admin.kubeconfig");
        write_private(&kubeconfig, &config.to_string())?;
        let cluster = Self {
            kubeconfig,
            clients,
            folder: folder.to_owned(),
            control_plane: None,
        };
        let existing = output(cluster.kubectl(&[
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
        if !existing.trim().is_empty() {
            bail!(
                "the cluster of context {context} already has {}, which the demo creates; nothing was changed",
                existing.trim().replace('\n', " and ")
            );
        }
        Ok(cluster)
    }

    /// Whether this run started the cluster and stops it.
    pub(crate) fn is_managed(&self) -> bool {
        self.control_plane.is_some()
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The run's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        self.client(&self.clients.kubectl, arguments)
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Command {
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

    /// A kubeconfig with a token of a `ServiceAccount`, and so with exactly its permissions.
    pub(crate) async fn service_account_kubeconfig(
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
        write_private(&path, &config.to_string())?;
        Ok(path)
    }

    /// The last lines of each server's log; empty for the developer's cluster.
    pub(crate) fn log_tails(&self, lines: usize) -> String {
        self.control_plane
            .as_ref()
            .map(|control_plane| control_plane.log_tails(lines))
            .unwrap_or_default()
    }

    /// Stops the cluster, unless it is the developer's.
    pub(crate) async fn stop(self) {
        if let Some(control_plane) = self.control_plane {
            control_plane.stop().await;
        }
    }
}
