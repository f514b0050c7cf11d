//! A real control plane for tests and the demo: etcd, kube-apiserver and kube-controller-manager, on loopback, with
//! certificates of its own.
//!
//! There is no scheduler and no kubelet: Pods stay Pending, so controllers run as processes beside it. Any number of
//! control planes can run at the same time; each has a [`RunFolder`] of its own, and all of it ends with its owner.

mod certificates;
mod commands;
mod kubeconfig;
mod ports;
mod start;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use local_servers::process::{StopSignal, Supervised, Supervision};

use self::certificates::Certificates;
use self::kubeconfig::Identity;
pub(crate) use self::ports::free_port;
use self::start::StartError;
use crate::install::{self, Clients, ControlPlaneBinaries};
use crate::run_folder::RunFolder;

/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(50);
/// How often another port is tried after somebody else took the one that was free a moment ago.
const PORT_TRIES_MAX: usize = 5;
/// How long a server may take to end before it is killed. Its data is thrown away anyhow.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How long the token of a `ServiceAccount` is good for, in seconds: longer than any test.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// What a control plane should be like.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Write an audit log: every request with its user, and what was written. For tests that ask who did what.
    pub audit: bool,
}

/// A running control plane. Dropping it stops its servers and removes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they must go: those who talk to the API server, it, its store, and then the folder.
    manager: Option<Supervised>,
    apiserver: Mutex<Option<Supervised>>,
    etcd: Option<Supervised>,
    port: u16,
    certificates: Certificates,
    kubeconfig: PathBuf,
    binaries: ControlPlaneBinaries,
    clients: Clients,
    options: Options,
    folder: RunFolder,
}

impl ControlPlane {
    /// Installs what is missing, starts the servers and waits until they serve.
    pub async fn start(options: Options) -> Result<Self> {
        let (binaries, clients) = tokio::task::spawn_blocking(|| {
            anyhow::Ok((install::control_plane()?, install::clients()?))
        })
        .await??;
        let folder = RunFolder::new("control-plane")?;
        let path = folder.path().to_owned();
        let certificates = certificates::make(&path.join("certificates"))?;
        let etcd = spawn(&commands::etcd(&binaries, &path), &path.join("etcd.log"))?;
        let mut plane = Self {
            manager: None,
            apiserver: Mutex::new(None),
            etcd: Some(etcd),
            port: 0,
            certificates,
            kubeconfig: PathBuf::new(),
            binaries,
            clients,
            options,
            folder,
        };
        plane.start_on_a_free_port().await?;
        let manager = commands::kube_controller_manager(
            &plane.binaries,
            &path,
            &plane.certificates,
            &plane.kubeconfig,
        );
        plane.manager = Some(spawn(&manager, &path.join("kube-controller-manager.log"))?);
        plane.wait_for_the_controllers().await?;
        Ok(plane)
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where the API server listens.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The folder of this run, with a log per server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder when this ends, for a person to read; the next start removes it.
    pub fn keep_folder(&mut self) {
        self.folder.keep();
    }

    /// The audit log, if [`Options::audit`] asked for one: one JSON event a line.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.options
            .audit
            .then(|| commands::audit_log(self.folder.path()))
    }

    /// A client with an administrator's rights. Make one in each runtime: it lives on the runtime that made it.
    pub async fn client(&self) -> Result<Client> {
        client_for(&self.kubeconfig).await
    }

    /// `kubectl` with an administrator's rights; arguments are up to the caller.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.clients.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig);
        // Discovery and helm's caches stay in the run's folder: nothing of the user's own is read or written.
        command.env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"));
        command
    }

    /// `helm` with an administrator's rights; arguments are up to the caller.
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

    /// A kubeconfig with the token of a `ServiceAccount` that exists: what a Pod of that account could do, and no more.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &kube::api::PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for the ServiceAccount {namespace}/{name}"))?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .context("the API server answered a token request without a token")?;
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

    /// Takes the API server away, as an outage would; its data stays.
    pub async fn stop_apiserver(&self) {
        let running = self.apiserver().take();
        if let Some(server) = running {
            server.stop().await;
        }
    }

    /// Brings the API server back, on the same port.
    pub async fn start_apiserver(&self) -> Result<()> {
        for attempt in 1..=PORT_TRIES_MAX {
            match self.try_port(self.port).await {
                Ok(()) => return Ok(()),
                Err(StartError::PortTaken) if attempt < PORT_TRIES_MAX => {
                    tokio::time::sleep(READY_POLL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stops everything, in order.
    pub async fn stop(mut self) {
        if let Some(manager) = self.manager.take() {
            manager.stop().await;
        }
        self.stop_apiserver().await;
        if let Some(etcd) = self.etcd.take() {
            etcd.stop().await;
        }
    }

    /// The process ids of the servers that run, for measuring them and for tests that look for what was left behind.
    pub fn pids(&self) -> Vec<u32> {
        let apiserver = self.apiserver();
        [
            self.etcd.as_ref(),
            apiserver.as_ref(),
            self.manager.as_ref(),
        ]
        .into_iter()
        .flatten()
        .filter_map(Supervised::pid)
        .collect()
    }

    /// The last lines of every server's log, for a report of a failure.
    pub fn log_tails(&self, lines: usize) -> String {
        let apiserver = self.apiserver();
        [
            self.etcd.as_ref(),
            apiserver.as_ref(),
            self.manager.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|server| {
            let (name, log) = (server.name(), server.log_file().display());
            format!("--- {name} ({log})\n{}\n", server.log_tail(lines))
        })
        .collect::<Vec<_>>()
        .concat()
    }

    fn apiserver(&self) -> MutexGuard<'_, Option<Supervised>> {
        self.apiserver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client for a kubeconfig file.
pub async fn client_for(kubeconfig: &Path) -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn spawn(command: &Command, log: &Path) -> Result<Supervised> {
    let how = Supervision {
        stop_signal: StopSignal::Terminate,
        grace: STOP_GRACE,
        run_as: None,
    };
    Ok(Supervised::spawn_with(command, log, how)?)
}

/// Writes a file that only this user can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let (Some(folder), Some(file)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        bail!("{} is no place for a file", path.display());
    };
    certificates::write(folder, file, text).map(drop)
}
