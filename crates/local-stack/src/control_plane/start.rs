//! Starts the API server on a free port, and waits until it and kube-controller-manager are ready.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use local_servers::process::Supervised;

use super::kubeconfig::{self, Identity};
use super::ports::free_port;
use super::{ControlPlane, MAX_PORT_ATTEMPTS, READY_POLL_INTERVAL, commands, spawn};

/// From the start of the API server until `/readyz` succeeds, which takes 3 s on an idle machine.
const READY_TIMEOUT: Duration = Duration::from_mins(2);
/// For one readiness request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How many lines of a failed server's log an error quotes.
const LOG_TAIL_LINES: usize = 20;
/// Part of the API server's error for a port that is in use.
const PORT_TAKEN: &str = "address already in use";

impl ControlPlane {
    /// Starts etcd with the data in the run's folder. The API server waits until it is ready.
    pub(super) fn start_etcd(&self) -> Result<()> {
        let folder = self.folder.path();
        let command = commands::etcd(&self.binaries, folder);
        *self.etcd.lock() = Some(spawn(&command, &folder.join("etcd.log"))?);
        Ok(())
    }

    /// Starts kube-controller-manager, if there is one, and waits until its controllers run.
    pub(super) async fn start_controller_manager(&self) -> Result<()> {
        let Some(program) = &self.binaries.kube_controller_manager else {
            return Ok(());
        };
        let folder = self.folder.path();
        let command = commands::kube_controller_manager(
            program,
            folder,
            &self.certificates,
            &self.kubeconfig,
        );
        let log = folder.join("kube-controller-manager.log");
        *self.manager.lock() = Some(spawn(&command, &log)?);
        self.wait_for_controllers().await
    }

    /// Starts the API server, on another port if a process took the free one before the server
    /// listened on it.
    pub(super) async fn start_on_free_port(&mut self) -> Result<()> {
        for attempt in 1..=MAX_PORT_ATTEMPTS {
            self.port = free_port()?;
            self.kubeconfig = kubeconfig::create(
                self.folder.path(),
                "admin.kubeconfig",
                &self.url(),
                &self.certificates.ca,
                "admin",
                &Identity::Certificate(&self.certificates.admin),
            )?;
            match self.try_port(self.port).await {
                Ok(()) => return Ok(()),
                Err(StartError::PortTaken) if attempt < MAX_PORT_ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(super) async fn try_port(&self, port: u16) -> Result<(), StartError> {
        let folder = self.folder.path();
        let audit = self.audit_log();
        let command = commands::kube_apiserver(
            &self.binaries,
            folder,
            &self.certificates,
            port,
            audit.as_deref(),
        )?;
        let log = folder.join("kube-apiserver.log");
        // The errors of an earlier attempt would be taken for this one's.
        let _ = std::fs::remove_file(&log);
        *self.apiserver.lock() = Some(spawn(&command, &log)?);
        let client = self.client().await?;
        let started = Instant::now();
        loop {
            let request = client.request_text(readyz()?);
            if matches!(
                tokio::time::timeout(REQUEST_TIMEOUT, request).await,
                Ok(Ok(_))
            ) {
                return Ok(());
            }
            self.check_apiserver_is_running()?;
            if started.elapsed() > READY_TIMEOUT {
                return Err(anyhow!(
                    "kube-apiserver is not ready after {} s\n{}",
                    READY_TIMEOUT.as_secs(),
                    self.log_tails(LOG_TAIL_LINES)
                )
                .into());
            }
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
    }

    fn check_apiserver_is_running(&self) -> Result<(), StartError> {
        let mut server = self.apiserver.lock();
        let Some(server) = server.as_mut() else {
            return Ok(());
        };
        let Some(status) = server.exited().map_err(anyhow::Error::from)? else {
            return Ok(());
        };
        let tail = server.log_tail(LOG_TAIL_LINES);
        if tail.contains(PORT_TAKEN) {
            return Err(StartError::PortTaken);
        }
        Err(anyhow!(
            "kube-apiserver exited with {status} before it was ready ({}):\n{tail}",
            server.log_file().display()
        )
        .into())
    }

    /// Waits for the `ServiceAccount` `default`, which kube-controller-manager creates once its
    /// controllers run.
    async fn wait_for_controllers(&self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        let started = Instant::now();
        while accounts.get_opt("default").await.ok().flatten().is_none() {
            let ended = self
                .manager
                .lock()
                .as_mut()
                .map(Supervised::exited)
                .transpose()?
                .flatten();
            if let Some(status) = ended {
                bail!(
                    "kube-controller-manager exited with {status}\n{}",
                    self.log_tails(LOG_TAIL_LINES)
                );
            }
            if started.elapsed() > READY_TIMEOUT {
                bail!(
                    "kube-controller-manager is not ready after {} s\n{}",
                    READY_TIMEOUT.as_secs(),
                    self.log_tails(LOG_TAIL_LINES)
                );
            }
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
        Ok(())
    }
}

pub(super) enum StartError {
    PortTaken,
    Other(anyhow::Error),
}

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<StartError> for anyhow::Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::PortTaken => {
                anyhow!("no free port for kube-apiserver after {MAX_PORT_ATTEMPTS} attempts")
            }
            StartError::Other(error) => error,
        }
    }
}

fn readyz() -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get("/readyz").body(Vec::new())?)
}
