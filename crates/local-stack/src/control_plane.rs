//! A Kubernetes control plane for tests and the demo: etcd, kube-apiserver and
//! kube-controller-manager, on loopback, with their own certificates.
//!
//! There is no scheduler and no kubelet: Pods stay Pending, so controllers run as processes on the
//! host. Any number of control planes can run at the same time. Each has its own [`RunFolder`] and
//! ends with its owner.

mod certificates;
mod commands;
mod kubeconfig;
mod ports;
mod snapshot;
mod start;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use installer::{Clients, ControlPlaneBinaries, ControllerManager};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use local_servers::process::{StopSignal, Supervised, Supervision};
use parking_lot::Mutex;

use self::certificates::Certificates;
use self::kubeconfig::Identity;
pub(crate) use self::ports::free_port;
use self::start::StartError;
use crate::run_folder::RunFolder;

const READY_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Another process can take a free port before the server listens on it.
const MAX_PORT_ATTEMPTS: usize = 5;
/// How long a server may take to stop before it is killed. The data is deleted anyway.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// The validity of `ServiceAccount` tokens, in seconds: longer than any test.
const TOKEN_SECONDS: i64 = 24 * 3600;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Writes an audit log with the user of every request and the body of every write.
    pub audit: bool,
    /// Whether kube-controller-manager must run. Without it, deleted namespaces keep their contents
    /// and nothing collects garbage.
    pub controller_manager: ControllerManager,
}

/// A running control plane. Dropping it stops its servers and removes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    // In drop order: clients of the API server, the API server, its store, and the folder.
    manager: Mutex<Option<Supervised>>,
    apiserver: Mutex<Option<Supervised>>,
    etcd: Mutex<Option<Supervised>>,
    port: u16,
    certificates: Certificates,
    kubeconfig: PathBuf,
    binaries: ControlPlaneBinaries,
    clients: Clients,
    options: Options,
    folder: RunFolder,
}

impl ControlPlane {
    /// Starts the servers and waits until they are ready.
    pub async fn start(options: Options) -> Result<Self> {
        let manager = options.controller_manager;
        let (binaries, clients) = tokio::task::spawn_blocking(move || {
            anyhow::Ok((installer::control_plane(manager)?, installer::clients()?))
        })
        .await??;
        let folder = RunFolder::new("control-plane")?;
        let certificates = certificates::create(&folder.path().join("certificates"))?;
        let mut plane = Self {
            manager: Mutex::new(None),
            apiserver: Mutex::new(None),
            etcd: Mutex::new(None),
            port: 0,
            certificates,
            kubeconfig: PathBuf::new(),
            binaries,
            clients,
            options,
            folder,
        };
        plane.start_etcd()?;
        plane.start_on_free_port().await?;
        plane.start_controller_manager().await?;
        Ok(plane)
    }

    /// An administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The URL of the API server.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The run's folder, with a log for each server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder after this control plane stops. The next run removes it.
    pub fn keep_folder(&mut self) {
        self.folder.keep();
    }

    /// The audit log, if [`Options::audit`] is set. Each line is an event in JSON.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.options
            .audit
            .then(|| commands::audit_log(self.folder.path()))
    }

    /// A client with administrator permissions. It is bound to the runtime that creates it.
    pub async fn client(&self) -> Result<Client> {
        client_for(&self.kubeconfig).await
    }

    /// `kubectl` with administrator permissions; the caller adds arguments.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.clients.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig);
        // The caches of kubectl and helm are in the run's folder, so the user's own are neither
        // read nor written.
        command.env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"));
        command
    }

    /// `helm` with administrator permissions; the caller adds arguments.
    pub fn helm(&self) -> Command {
        let mut command = Command::new(&self.clients.helm);
        command.env("KUBECONFIG", &self.kubeconfig);
        for (name, folder) in [
            ("HELM_CACHE_HOME", "helm-cache"),
            ("HELM_CONFIG_HOME", "helm-config"),
            ("HELM_DATA_HOME", "helm-data"),
        ] {
            command.env(name, self.folder.path().join(folder));
        }
        command
    }

    /// A kubeconfig with a token of an existing `ServiceAccount`: it has exactly the permissions of
    /// that account's Pods.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let response = accounts
            .create_token_request(name, &kube::api::PostParams::default(), &request)
            .await
            .with_context(|| {
                format!("failed to create a token for the ServiceAccount {namespace}/{name}")
            })?;
        let token = response
            .status
            .and_then(|status| status.token)
            .context("the API server's response to the token request has no token")?;
        let file = format!("{namespace}-{name}.kubeconfig");
        kubeconfig::create(
            self.folder.path(),
            &file,
            &self.url(),
            &self.certificates.ca,
            name,
            &Identity::Token(&token),
        )
    }

    /// Stops the API server and keeps its data, to simulate an outage.
    pub async fn stop_apiserver(&self) {
        stop(&self.apiserver).await;
    }

    /// Starts the API server again on the same port.
    pub async fn start_apiserver(&self) -> Result<()> {
        for attempt in 1..=MAX_PORT_ATTEMPTS {
            match self.try_port(self.port).await {
                Ok(()) => return Ok(()),
                Err(StartError::PortTaken) if attempt < MAX_PORT_ATTEMPTS => {
                    tokio::time::sleep(READY_POLL_INTERVAL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stops all servers, in order.
    pub async fn stop(self) {
        self.stop_servers().await;
    }

    async fn stop_servers(&self) {
        stop(&self.manager).await;
        stop(&self.apiserver).await;
        stop(&self.etcd).await;
    }

    /// The process ids of the running servers.
    pub fn pids(&self) -> Vec<u32> {
        [&self.etcd, &self.apiserver, &self.manager]
            .into_iter()
            .filter_map(|server| server.lock().as_ref()?.pid())
            .collect()
    }

    /// The name of a server that has exited although nothing stopped it.
    pub fn exited_server(&self) -> Result<Option<String>> {
        for server in [&self.etcd, &self.apiserver, &self.manager] {
            if let Some(server) = &mut *server.lock()
                && server.exited()?.is_some()
            {
                return Ok(Some(server.name().to_owned()));
            }
        }
        Ok(None)
    }

    /// The last lines of each server's log, for a failure report.
    pub fn log_tails(&self, lines: usize) -> String {
        let tail = |server: &Mutex<Option<Supervised>>| {
            let server = server.lock();
            let server = server.as_ref()?;
            let (name, log) = (server.name(), server.log_file().display());
            Some(format!("--- {name} ({log})\n{}\n", server.log_tail(lines)))
        };
        [&self.etcd, &self.apiserver, &self.manager]
            .into_iter()
            .filter_map(tail)
            .collect::<Vec<_>>()
            .concat()
    }
}

/// A client for a kubeconfig file.
pub async fn client_for(kubeconfig: &Path) -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn spawn(command: &Command, log: &Path) -> Result<Supervised> {
    let supervision = Supervision {
        stop_signal: StopSignal::Terminate,
        grace: STOP_GRACE,
        run_as: None,
    };
    Ok(Supervised::spawn_with(command, log, supervision)?)
}

async fn stop(server: &Mutex<Option<Supervised>>) {
    let running = server.lock().take();
    if let Some(server) = running {
        server.stop().await;
    }
}

/// Writes a file that only this user can read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let (Some(folder), Some(file)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        bail!("{} is not a path of a file in a folder", path.display());
    };
    certificates::write(folder, file, text).map(drop)
}
