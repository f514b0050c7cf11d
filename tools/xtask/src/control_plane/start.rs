//! Starting the API server on a port that is free, and waiting until it and the controllers do their work.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use local_servers::process::Supervised;

use super::kubeconfig::{self, Identity};
use super::ports::free_port;
use super::{ControlPlane, PORT_TRIES_MAX, READY_POLL, commands, spawn};

/// From the start of the API server to its `/readyz`; 3 s when the machine is idle.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// One question for readiness.
const READY_REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How much of a dead server's log is shown.
const LOG_TAIL_LINES: usize = 20;
/// What the API server writes when the port is taken.
const PORT_TAKEN: &str = "address already in use";

impl ControlPlane {
    /// Another program can take a port between our looking and the server's listening; then the next one is tried.
    pub(super) async fn start_on_a_free_port(&mut self) -> Result<()> {
        for attempt in 1..=PORT_TRIES_MAX {
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
                Err(StartError::PortTaken) if attempt < PORT_TRIES_MAX => {}
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
        let _ = std::fs::remove_file(&log); // an earlier attempt's words must not be taken for this one's
        *self.apiserver() = Some(spawn(&command, &log)?);
        let client = self.client().await?;
        let started = Instant::now();
        loop {
            let question = client.request_text(readyz()?);
            if matches!(
                tokio::time::timeout(READY_REQUEST_LIMIT, question).await,
                Ok(Ok(_))
            ) {
                return Ok(());
            }
            self.check_apiserver_lives()?;
            if started.elapsed() > READY_LIMIT {
                return Err(anyhow!(
                    "kube-apiserver does not serve after {} s\n{}",
                    READY_LIMIT.as_secs(),
                    self.log_tails(LOG_TAIL_LINES)
                )
                .into());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    fn check_apiserver_lives(&self) -> Result<(), StartError> {
        let mut server = self.apiserver();
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
            "kube-apiserver ended with {status} before it served ({}):\n{tail}",
            server.log_file().display()
        )
        .into())
    }

    /// The default `ServiceAccount` is the controller manager's work: when it is there, its controllers run.
    pub(super) async fn wait_for_the_controllers(&mut self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        let started = Instant::now();
        while accounts.get_opt("default").await.ok().flatten().is_none() {
            let ended = self
                .manager
                .as_mut()
                .map(Supervised::exited)
                .transpose()?
                .flatten();
            if let Some(status) = ended {
                bail!(
                    "kube-controller-manager ended with {status}\n{}",
                    self.log_tails(LOG_TAIL_LINES)
                );
            }
            if started.elapsed() > READY_LIMIT {
                bail!(
                    "kube-controller-manager does nothing after {} s\n{}",
                    READY_LIMIT.as_secs(),
                    self.log_tails(LOG_TAIL_LINES)
                );
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }
}

/// Why the API server did not start.
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
                anyhow!("no free port for kube-apiserver after {PORT_TRIES_MAX} tries")
            }
            StartError::Other(error) => error,
        }
    }
}

fn readyz() -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get("/readyz").body(Vec::new())?)
}
